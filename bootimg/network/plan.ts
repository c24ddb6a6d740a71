/**
 * The steps from one layout of the network to another.
 *
 * @module
 */
import type { LaidBridge, Layout } from "./layout.ts";

/** One thing for Linux to do. */
export type Step =
  /** Arguments for `ip`. What `mayFail` may find done already. */
  | { kind: "ip"; args: string[]; mayFail?: true }
  | { kind: "write"; path: string; text: string };

/** What a bridge's DHCP client is told; it is started anew when any of it changes. */
export interface DhcpClient {
  bridge: string;
  /** The network that it is on, so that a move to another asks anew. */
  port: string | null;
  /** Whether it sets the default route, ... */
  route: boolean;
  /** ... and the name servers. */
  dns: boolean;
}

export const RESOLV_CONF = "/run/denovisor/resolv.conf";

/** The DHCP clients of a layout. */
export function dhcpClients({ bridges, dns }: Layout): DhcpClient[] {
  return bridges.filter(({ ipv4 }) => ipv4.method === "dhcp").map(({ name, port, leads }) => ({
    bridge: name,
    port,
    route: leads,
    dns: leads && dns.length === 0,
  }));
}

/**
 * The steps that make `after` of `before`. Nothing that both have in the same way is touched, and no
 * bridge that stays is ever taken away: guests are in it.
 */
export function planChange(before: Layout, after: Layout): Step[] {
  const steps: Step[] = [];
  const ip = (...args: string[]) => steps.push({ kind: "ip", args });
  const tryIp = (...args: string[]) => steps.push({ kind: "ip", args, mayFail: true });
  const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);
  const bondsBefore = byName(before.bonds);
  const bondsAfter = byName(after.bonds);
  const isMade = ({ name, mode }: Layout["bonds"][number]) => bondsBefore.get(name)?.mode !== mode;
  const goneBonds = before.bonds.filter(({ name, mode }) => bondsAfter.get(name)?.mode !== mode);
  const newBonds = after.bonds.filter(isMade);
  // What lies over a bond goes with it.
  const stays = (vlan: Layout["vlans"][number]) =>
    !goneBonds.some(({ name }) => name === vlan.link) &&
    after.vlans.some((it) => same(it, vlan)) && before.vlans.some((it) => same(it, vlan));
  const newVlans = after.vlans.filter((it) => !stays(it));
  const anew = new Set([...newBonds, ...newVlans].map(({ name }) => name));

  // First what is given up, from the top down.
  for (const { name, port } of before.bridges) {
    const kept = after.bridges.find((it) => it.name === name);
    if (port !== null && kept?.port !== port) tryIp("link", "set", port, "nomaster");
    if (!kept) tryIp("link", "delete", name);
  }
  for (const vlan of before.vlans) if (!stays(vlan)) tryIp("link", "delete", vlan.name);
  const released = goneBonds.flatMap(({ cards }) => cards);
  for (const { name } of goneBonds) tryIp("link", "delete", name);
  for (const { name, cards } of before.bonds) {
    const kept = bondsAfter.get(name)?.cards ?? [];
    for (const card of cards) {
      if (released.includes(card) || kept.includes(card)) continue;
      tryIp("link", "set", card, "nomaster");
      released.push(card);
    }
  }

  // Then what is new, from the bottom up.
  const bonded = new Set(after.bonds.flatMap(({ cards }) => cards));
  for (const name of after.cards) {
    if (bonded.has(name) || before.cards.includes(name) && !released.includes(name)) continue;
    ip("link", "set", name, "up");
  }
  for (const bond of after.bonds) {
    const { name, mode, cards, mac } = bond;
    if (isMade(bond)) {
      ip("link", "add", name, "type", "bond");
      steps.push({ kind: "write", path: `/sys/class/net/${name}/bonding/mode`, text: mode });
      steps.push({ kind: "write", path: `/sys/class/net/${name}/bonding/miimon`, text: "100" });
    }
    for (const card of cards) {
      if (!isMade(bond) && bondsBefore.get(name)?.cards.includes(card)) continue;
      // A card joins only while it is down, and is brought up by the bond.
      ip("link", "set", card, "down");
      ip("link", "set", card, "master", name);
    }
    // By itself it keeps the address of the card that came first, also when that has gone elsewhere.
    if (isMade(bond) || bondsBefore.get(name)?.mac !== mac) ip("link", "set", name, "address", mac);
    if (isMade(bond)) ip("link", "set", name, "up");
  }
  for (const { name, link, id } of newVlans) {
    ip("link", "add", "link", link, "name", name, "type", "vlan", "id", String(id));
    ip("link", "set", name, "up");
  }
  for (const bridge of after.bridges) {
    const old = before.bridges.find(({ name }) => name === bridge.name);
    if (!old) {
      // One that is there already is as good.
      tryIp("link", "add", bridge.name, "type", "bridge");
      ip("link", "set", bridge.name, "up");
    }
    const hasMac = old !== undefined && old.port !== null && old.mac === bridge.mac;
    if (bridge.port !== null && bridge.mac !== null && !hasMac) {
      ip("link", "set", bridge.name, "address", bridge.mac);
    }
    if (bridge.port !== null && (old?.port !== bridge.port || anew.has(bridge.port))) {
      ip("link", "set", bridge.port, "master", bridge.name);
    }
    steps.push(...addressSteps(old, bridge));
  }
  // Else the DHCP client writes them.
  if (!same(before.dns, after.dns) && !dhcpClients(after).some(({ dns }) => dns)) {
    const text = after.dns.map((it) => `nameserver ${it}\n`).join("");
    steps.push({ kind: "write", path: RESOLV_CONF, text });
  }
  return steps;
}

function addressSteps(old: LaidBridge | undefined, bridge: LaidBridge): Step[] {
  const { name, ipv4, ipv6 } = bridge;
  const steps: Step[] = [];
  if (JSON.stringify(old?.ipv4) !== JSON.stringify(ipv4)) {
    // The routes go with the last address.
    if (old) {
      const args = ["-4", "address", "flush", "dev", name];
      steps.push({ kind: "ip", args, mayFail: true });
    }
    if (ipv4.address !== null) {
      steps.push({ kind: "ip", args: ["-4", "address", "add", ipv4.address, "dev", name] });
    }
    if (ipv4.gateway !== null) steps.push(defaultRoute("-4", ipv4.gateway, name));
  }
  if (JSON.stringify(old?.ipv6) !== JSON.stringify(ipv6)) {
    const set = (field: string, on: boolean) =>
      steps.push({
        kind: "write",
        path: `/proc/sys/net/ipv6/conf/${name}/${field}`,
        text: on ? "1" : "0",
      });
    // Switched off it forgets its addresses and routes; switched on it asks routers again.
    set("disable_ipv6", true);
    if (ipv6.method !== "none") {
      set("accept_ra", ipv6.method === "auto");
      set("autoconf", ipv6.method === "auto");
      set("disable_ipv6", false);
    }
    if (ipv6.address !== null) {
      steps.push({ kind: "ip", args: ["-6", "address", "add", ipv6.address, "dev", name] });
    }
    if (ipv6.gateway !== null) steps.push(defaultRoute("-6", ipv6.gateway, name));
  }
  return steps;
}

function defaultRoute(family: "-4" | "-6", gateway: string, bridge: string): Step {
  return {
    kind: "ip",
    args: [family, "route", "replace", "default", "via", gateway, "dev", bridge],
  };
}

function byName<T extends { name: string }>(list: readonly T[]): Map<string, T> {
  return new Map(list.map((it) => [it.name, it]));
}
