/**
 * What the settings of the network mean on the cards that this host has now.
 *
 * @module
 */
import type {
  Bond,
  Bridge,
  Network,
  NetworkCard,
} from "../../hypervisor/supervisor/api/network_schemas.ts";

/** The links that there should be, by the names that Linux has for them. */
export interface Layout {
  /** All wired cards, which are up whether they are used or not: only so a cable is found. */
  cards: string[];
  /** With the address of the first card that the settings name, whichever are there. */
  bonds: { name: string; mode: Bond["mode"]; cards: string[]; mac: string }[];
  vlans: { name: string; link: string; id: number }[];
  bridges: LaidBridge[];
  dns: string[];
}

export interface LaidBridge extends Pick<Bridge, "name" | "ipv4" | "ipv6"> {
  /** The one link of the bridge that is no guest's; null where there is none, or none yet. */
  port: string | null;
  /** The address of its card, so that the bridge keeps its own whatever guests come; null for any. */
  mac: string | null;
  /** Whether DHCP may say where all else is, and name servers. */
  leads: boolean;
}

/** What there is before anything has been done. */
export const NOTHING: Layout = { cards: [], bonds: [], vlans: [], bridges: [], dns: [] };

/**
 * Cards are known by their addresses, so that one that is added changes no other's part. `any` is the
 * address of the card that was chosen for the uplink of that name, if one was.
 */
export function layOut(
  network: Network,
  cards: readonly NetworkCard[],
  options: { any: string | null },
): Layout {
  const nameOf = (mac: string | null) => cards.find((it) => it.mac === mac)?.name ?? null;
  const vlans: Layout["vlans"] = [];
  const leader = leaderOf(network);
  const bonds = network.bonds.map(({ name, mode, cards }) => ({
    name,
    mode,
    cards: cards.map(nameOf).filter((it) => it !== null),
    mac: cards[0],
  }));
  const bridges = network.bridges.map(({ name, uplink, vlan, ipv4, ipv6 }): LaidBridge => {
    const bond = network.bonds.find((it) => it.name === uplink);
    const mac = bond ? bond.cards[0] : uplink === "any" ? options.any : uplink;
    const link = bond ? bond.name : nameOf(mac);
    let port = link;
    if (link !== null && vlan !== null) {
      port = `${link}.${vlan}`;
      vlans.push({ name: port, link, id: vlan });
    }
    return { name, port, mac, leads: name === leader, ipv4, ipv6 };
  });
  return { cards: cards.map(({ name }) => name), bonds, vlans, bridges, dns: network.dns };
}

/** A bridge that no settings name any more, while guests are in it: they keep each other, and no more. */
export function bareBridge(name: string): LaidBridge {
  const none = { method: "none", address: null, gateway: null } as const;
  return { name, port: null, mac: null, leads: false, ipv4: none, ipv6: none };
}

/** The bridge whose DHCP server is asked for the way out: none where that is fixed. */
function leaderOf({ bridges }: Network): string | null {
  if (bridges.some(({ ipv4 }) => ipv4.gateway !== null)) return null;
  return bridges.find(({ ipv4 }) => ipv4.method === "dhcp")?.name ?? null;
}

/** The addresses of cards that the settings name. */
export function namedCards({ bridges, bonds }: Network): string[] {
  const uplinks = bridges.map(({ uplink }) => uplink).filter((it) => it?.includes(":"));
  return [...new Set([...bonds.flatMap(({ cards }) => cards), ...uplinks])] as string[];
}

/**
 * The card for the uplink "any": the one that it was, else the first with a cable; without a cable the
 * first of all once it is late, and null before. Cards that have a part by name are not taken.
 */
export function chooseCard(
  network: Network,
  cards: readonly NetworkCard[],
  options: { before: string | null; isLate: boolean },
): string | null {
  const named = namedCards(network);
  const free = cards.filter(({ mac }) => !named.includes(mac));
  const found = free.find(({ mac }) => mac === options.before) ??
    free.find(({ hasCarrier }) => hasCarrier) ??
    (options.isLate ? free[0] : undefined);
  return found?.mac ?? null;
}

/** Whether a card is still to be chosen. */
export function wantsAny({ bridges }: Network): boolean {
  return bridges.some(({ uplink }) => uplink === "any");
}
