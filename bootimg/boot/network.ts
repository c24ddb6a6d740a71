/**
 * The network: a bridge over the first wired card, with an address by DHCP.
 *
 * @module
 */
import { addBridge, addPort, setMac, setUp } from "../../hypervisor/sys/links.ts";
import { type Coldplug, wiredCards } from "./coldplug.ts";
import { attempt, log } from "./log.ts";
import { number, read } from "./sysfs.ts";

/** The bridge on which the host and its guests are. */
export const BRIDGE = "br0";

/** How long a card may take to find out that a cable is plugged in. */
const CARRIER_LIMIT_MS = 5000;

/** Creates the bridge and, as soon as there is a wired card, puts it in; returns the card's name. */
export async function bringUpNetwork(coldplug: Coldplug): Promise<string> {
  setUp("lo");
  addBridge(BRIDGE);
  // Guests may be started before a cable is plugged in: taps need the bridge, not the card.
  await attempt("Cannot bring the bridge up", () => setUp(BRIDGE));
  const cards = await coldplug.until("net", () => {
    const names = wiredCards();
    return names.length > 0 ? names : undefined;
  }, Infinity);
  for (const name of cards!) await attempt(`Cannot use the card ${name}`, () => setUp(name));
  const card = await withCarrier(coldplug);
  const mac = read(`/sys/class/net/${card}/address`);
  if (mac) await attempt("Cannot give the bridge the card's address", () => setMac(BRIDGE, mac));
  addPort(BRIDGE, card);
  log(`the network is ${BRIDGE} over ${card} (${mac})`);
  return card;
}

/** The first card with a cable in it; the first of all if there is none in any for a while. */
async function withCarrier(coldplug: Coldplug): Promise<string> {
  const end = performance.now() + CARRIER_LIMIT_MS;
  while (true) {
    const card = chooseCard(
      wiredCards().map((name) => ({
        name,
        hasCarrier: number(`/sys/class/net/${name}/carrier`) === 1,
      })),
      performance.now() >= end,
    );
    if (card !== null) return card;
    // Linux sends no device event when a cable is found.
    await coldplug.until("net", () => undefined, 100);
  }
}

/** The card to use, or null to wait for one with a cable. */
export function chooseCard(
  cards: readonly { name: string; hasCarrier: boolean }[],
  isLate: boolean,
): string | null {
  const connected = cards.find((it) => it.hasCarrier);
  return connected?.name ?? (isLate ? cards[0]?.name ?? null : null);
}
