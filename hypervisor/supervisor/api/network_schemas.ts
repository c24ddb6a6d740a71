/**
 * The host's own network: its bridges, what they reach the world by, and their addresses.
 *
 * @module
 */
import * as z from "zod";

/** The bridge that every host has: guests' cards are put into it unless they ask for another. */
export const MAIN_BRIDGE = "br0";
/** How long a change of the network waits to be confirmed before it is undone. */
export const CONFIRM_SECONDS = 60;

const MOST_BRIDGES = 16;
const MOST_BONDS = 8;

const CardMac = z.string().regex(
  /^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/,
  "must be a card's MAC address such as 52:54:00:12:34:56, in small letters",
);
const BondName = z.string().regex(/^bond[0-9]{1,2}$/, 'must be "bond" and a number, such as bond0');
const Uplink = z.string().regex(
  /^(any|bond[0-9]{1,2}|[0-9a-f][02468ace](:[0-9a-f]{2}){5})$/,
  'must be "any", a card\'s MAC address in small letters, or a bond such as bond0',
);

const Ipv4 = z.ipv4("must be an IPv4 address such as 192.0.2.1");
const Ipv6 = z.ipv6("must be an IPv6 address such as 2001:db8::1");
const Ipv4Prefix = z.cidrv4("must be an IPv4 address and its prefix, such as 192.0.2.7/24");
const Ipv6Prefix = z.cidrv6("must be an IPv6 address and its prefix, such as 2001:db8::7/64");

const IpAddress = z.string().refine(
  (text) => Ipv4.safeParse(text).success || Ipv6.safeParse(text).success,
  "must be an IP address",
);

const BridgeIpv4 = z.strictObject({
  method: z.enum(["dhcp", "static", "none"]),
  /** With its prefix. */
  address: Ipv4Prefix.nullable().default(null),
  gateway: Ipv4.nullable().default(null),
}).superRefine((it, context) => {
  for (const { path, message } of staticIssues(it)) {
    context.addIssue({ code: "custom", path: [path], message });
  }
  if (it.address !== null && it.gateway !== null && !inNetwork(it.address, it.gateway)) {
    const message = `must be in the network of ${it.address}`;
    context.addIssue({ code: "custom", path: ["gateway"], message });
  }
});

const BridgeIpv6 = z.strictObject({
  /** "auto" takes what routers announce. */
  method: z.enum(["auto", "static", "none"]),
  /** With its prefix. */
  address: Ipv6Prefix.nullable().default(null),
  gateway: Ipv6.nullable().default(null),
}).superRefine((it, context) => {
  for (const { path, message } of staticIssues(it)) {
    context.addIssue({ code: "custom", path: [path], message });
  }
});

export const Bridge = z.strictObject({
  name: z.string().regex(
    /^br[a-z0-9-]{1,12}$/,
    'must begin with "br" and have 3 to 14 of a-z, 0-9 and "-"',
  ),
  /** "any" is the first card with a cable; null leaves the bridge to guests of this host. */
  uplink: Uplink.nullable().default("any"),
  /** The uplink's VLAN that the bridge is on; null for what comes without a tag. */
  vlan: z.int().min(1).max(4094).nullable().default(null),
  ipv4: BridgeIpv4.prefault({ method: "dhcp" }),
  ipv6: BridgeIpv6.prefault({ method: "auto" }),
});

export const BOND_MODES = ["active-backup", "802.3ad", "balance-xor"] as const;

export const Bond = z.strictObject({
  name: BondName,
  cards: z.array(CardMac).min(1).max(8),
  mode: z.enum(BOND_MODES).default("active-backup"),
});

export const Network = z.strictObject({
  bridges: z.array(Bridge).min(1).max(MOST_BRIDGES).prefault([{ name: MAIN_BRIDGE }]),
  bonds: z.array(Bond).max(MOST_BONDS).default([]),
  /** Instead of those that DHCP names. */
  dns: z.array(IpAddress).max(3).default([]),
}).superRefine((network, context) => {
  for (const { path, message } of networkIssues(network)) {
    context.addIssue({ code: "custom", path, message });
  }
});

export const NetworkCard = z.strictObject({
  /** As Linux calls it today; another start may call it otherwise. */
  name: z.string(),
  mac: z.string(),
  hasCarrier: z.boolean(),
});

/** The network as it is kept, and the change that is tried. */
export const HostNetwork = z.strictObject({
  /** What the next start begins with. */
  network: Network,
  /** What is in force until it is confirmed, or undone when the time is over. */
  trial: z.strictObject({ network: Network, secondsLeft: z.int() }).nullable(),
  cards: z.array(NetworkCard),
  /** What of it does not work, or why the last change was undone, for a person. */
  problem: z.string().nullable(),
});

export type Network = z.output<typeof Network>;
export type NetworkInput = z.input<typeof Network>;
export type Bridge = z.output<typeof Bridge>;
export type Bond = z.output<typeof Bond>;
export type NetworkCard = z.output<typeof NetworkCard>;
export type HostNetwork = z.output<typeof HostNetwork>;

function staticIssues(
  { method, address, gateway }: { method: string; address: string | null; gateway: string | null },
): { path: string; message: string }[] {
  if (method === "static") {
    return address === null ? [{ path: "address", message: "is missing" }] : [];
  }
  const message = "belongs to the method static only";
  return [
    ...(address === null ? [] : [{ path: "address", message }]),
    ...(gateway === null ? [] : [{ path: "gateway", message }]),
  ];
}

/** Whether an IPv4 address is in the network that another one has with its prefix. */
function inNetwork(prefix: string, address: string): boolean {
  const number = (text: string) => text.split(".").reduce((sum, it) => sum * 256 + Number(it), 0);
  const [own, length] = prefix.split("/");
  const size = 2 ** (32 - Number(length));
  return Math.floor(number(own) / size) === Math.floor(number(address) / size);
}

interface Issue {
  path: (string | number)[];
  message: string;
}

/** What is wrong between fields that are right by themselves. */
function networkIssues({ bridges, bonds }: { bridges: Bridge[]; bonds: Bond[] }): Issue[] {
  const issues: Issue[] = [];
  const seen = new Map<string, string>();
  const own = (key: string, path: Issue["path"], message: string) => {
    if (seen.has(key)) issues.push({ path, message });
    seen.set(key, key);
  };
  bonds.forEach((bond, i) => {
    own(bond.name, ["bonds", i, "name"], "is the name of another bond");
    bond.cards.forEach((mac, j) => own(mac, ["bonds", i, "cards", j], "is in a bond already"));
  });
  const bonded = new Set(bonds.flatMap(({ cards }) => cards));
  const gateways = { ipv4: 0, ipv6: 0 };
  bridges.forEach((bridge, i) => {
    own(bridge.name, ["bridges", i, "name"], "is the name of another bridge");
    const { uplink, vlan } = bridge;
    const path = ["bridges", i, "uplink"];
    if (uplink !== null) {
      own(`${uplink} ${vlan}`, path, "is another bridge's, with the same VLAN");
      if (bonded.has(uplink)) issues.push({ path, message: "is a card of a bond" });
      if (uplink.startsWith("bond") && !bonds.some(({ name }) => name === uplink)) {
        issues.push({ path, message: "is a bond that is not among the bonds" });
      }
    } else if (vlan !== null) {
      issues.push({ path: ["bridges", i, "vlan"], message: "needs an uplink" });
    }
    for (const family of ["ipv4", "ipv6"] as const) {
      if (bridge[family].gateway !== null && ++gateways[family] > 1) {
        issues.push({
          path: ["bridges", i, family, "gateway"],
          message: "can stand at one bridge only",
        });
      }
    }
  });
  if (!bridges.some(({ name }) => name === MAIN_BRIDGE)) {
    const message = `must have one with the name ${MAIN_BRIDGE}, which guests use by default`;
    issues.push({ path: ["bridges"], message });
  }
  return issues;
}
