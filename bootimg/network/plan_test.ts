import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  Network,
  type NetworkCard,
  type NetworkInput,
} from "../../hypervisor/supervisor/api/network_schemas.ts";
import { FakeLinks } from "../testing/fake_links.ts";
import { chooseCard, layOut, NOTHING } from "./layout.ts";
import { dhcpClients, planChange, type Step } from "./plan.ts";

const MACS = [1, 2, 3, 4].map((it) => `52:54:00:00:00:0${it}`);
const CARDS: NetworkCard[] = MACS.map((mac, i) => ({ name: `eth${i}`, mac, hasCarrier: true }));

function words(steps: Step[]): string[] {
  return steps.map((it) => it.kind === "ip" ? it.args.join(" ") : `${it.path} = ${it.text}`);
}

function layout(input: NetworkInput, cards = CARDS, any: string | null = MACS[0]) {
  return layOut(Network.parse(input), cards, { any });
}

Deno.test("a new host has one bridge over its first card, with DHCP", () => {
  const laid = layout({}, CARDS.slice(0, 1));
  const conf = "/proc/sys/net/ipv6/conf/br0";
  assertEquals(words(planChange(NOTHING, laid)), [
    "link set eth0 up",
    "link add br0 type bridge",
    "link set br0 up",
    `link set br0 address ${MACS[0]}`,
    "link set eth0 master br0",
    `${conf}/disable_ipv6 = 1`,
    `${conf}/accept_ra = 1`,
    `${conf}/autoconf = 1`,
    `${conf}/disable_ipv6 = 0`,
  ]);
  assertEquals(dhcpClients(laid), [{ bridge: "br0", port: "eth0", route: true, dns: true }]);
});

Deno.test("a change to fixed addresses touches nothing else", () => {
  const fixed = layout({
    bridges: [{
      name: "br0",
      ipv4: { method: "static", address: "192.0.2.7/24", gateway: "192.0.2.1" },
      ipv6: { method: "static", address: "2001:db8::7/64", gateway: "fe80::1" },
    }],
    dns: ["192.0.2.1"],
  });
  const conf = "/proc/sys/net/ipv6/conf/br0";
  assertEquals(words(planChange(layout({}), fixed)), [
    "-4 address flush dev br0",
    "-4 address add 192.0.2.7/24 dev br0",
    "-4 route replace default via 192.0.2.1 dev br0",
    `${conf}/disable_ipv6 = 1`,
    `${conf}/accept_ra = 0`,
    `${conf}/autoconf = 0`,
    `${conf}/disable_ipv6 = 0`,
    "-6 address add 2001:db8::7/64 dev br0",
    "-6 route replace default via fe80::1 dev br0",
    "/run/denovisor/resolv.conf = nameserver 192.0.2.1\n",
  ]);
  assertEquals(dhcpClients(fixed), []);
});

Deno.test("a bond has its mode before its cards, and carries VLANs", () => {
  const bonded = layout({
    bridges: [
      { name: "br0", uplink: "bond0", ipv6: { method: "none" } },
      {
        name: "br1",
        uplink: "bond0",
        vlan: 20,
        ipv4: { method: "none" },
        ipv6: { method: "none" },
      },
    ],
    bonds: [{ name: "bond0", cards: [MACS[1], MACS[3]], mode: "802.3ad" }],
  });
  const sys = "/sys/class/net/bond0/bonding";
  assertEquals(words(planChange(NOTHING, bonded)), [
    "link set eth0 up",
    "link set eth2 up",
    "link add bond0 type bond",
    `${sys}/mode = 802.3ad`,
    `${sys}/miimon = 100`,
    "link set eth1 down",
    "link set eth1 master bond0",
    "link set eth3 down",
    "link set eth3 master bond0",
    `link set bond0 address ${MACS[1]}`,
    "link set bond0 up",
    "link add link bond0 name bond0.20 type vlan id 20",
    "link set bond0.20 up",
    "link add br0 type bridge",
    "link set br0 up",
    `link set br0 address ${MACS[1]}`,
    "link set bond0 master br0",
    "/proc/sys/net/ipv6/conf/br0/disable_ipv6 = 1",
    "link add br1 type bridge",
    "link set br1 up",
    `link set br1 address ${MACS[1]}`,
    "link set bond0.20 master br1",
    "/proc/sys/net/ipv6/conf/br1/disable_ipv6 = 1",
  ]);
});

Deno.test("a card that is added or called otherwise changes no other's part", () => {
  const input: NetworkInput = { bridges: [{ name: "br0", uplink: MACS[2] }] };
  // The new card comes first, so that Linux gives it the other's name.
  const [renamed] = [[1, 2].map((i) => ({ ...CARDS[i], name: `eth${2 - i}` }))];
  assertEquals(layout(input, renamed).bridges[0].port, "eth0");
  assertEquals(layout(input, [CARDS[2]]).bridges[0].port, "eth2");
  const any = Network.parse({});
  const before = { before: MACS[2], isLate: false };
  assertEquals(chooseCard(any, CARDS, before), MACS[2], "the one that it was");
});

Deno.test("for any, the first card with a cable is taken, and late the first of all", () => {
  const any = Network.parse({});
  const cards = CARDS.map((it, i) => ({ ...it, hasCarrier: i === 2 }));
  const dark = CARDS.map((it) => ({ ...it, hasCarrier: false }));
  assertEquals(chooseCard(any, cards, { before: null, isLate: false }), MACS[2]);
  assertEquals(chooseCard(any, dark, { before: null, isLate: false }), null);
  assertEquals(chooseCard(any, dark, { before: null, isLate: true }), MACS[0]);
  const bonds = [{ name: "bond0", cards: [MACS[2]] }];
  const named = Network.parse({ bridges: [{ name: "br0" }], bonds });
  assertEquals(chooseCard(named, cards, { before: null, isLate: false }), null, "it is the bond's");
});

const bridge = (name: string) =>
  fc.record({
    name: fc.constant(name),
    uplink: fc.constantFrom("any", "bond0", null, ...MACS),
    vlan: fc.constantFrom(null, null, 20, 30),
    ipv4: fc.constantFrom(
      { method: "dhcp" as const },
      { method: "none" as const },
      { method: "static" as const, address: "192.0.2.7/24" },
      { method: "static" as const, address: "192.0.2.9/24", gateway: "192.0.2.1" },
    ),
    ipv6: fc.constantFrom(
      { method: "auto" as const },
      { method: "none" as const },
      { method: "static" as const, address: "2001:db8::7/64", gateway: "2001:db8::1" },
    ),
  });
const network = fc.record({
  bridges: fc.tuple(bridge("br0"), fc.option(bridge("br1"))).map((it) =>
    it.filter((x) => x !== null)
  ),
  bonds: fc.option(
    fc.record({
      name: fc.constant("bond0"),
      cards: fc.uniqueArray(fc.constantFrom(...MACS), { minLength: 1 }),
      mode: fc.constantFrom("active-backup" as const, "802.3ad" as const),
    }).map((it) => [it]),
    { nil: [] },
  ),
}).map((it) => Network.safeParse(it)).filter(({ success }) => success).map(({ data }) => data!);
const cards = fc.subarray(CARDS);

Deno.test("whatever the network was, it becomes what it is to be, as if it had been so at once", async () => {
  const run = async (links: FakeLinks, from: typeof NOTHING, to: typeof NOTHING) => {
    for (const step of planChange(from, to)) {
      const done = links.run(step);
      await (step.kind === "ip" && step.mayFail ? done.catch(() => {}) : done);
    }
  };
  await fc.assert(
    fc.asyncProperty(network, cards, network, cards, async (a, cardsA, b, cardsB) => {
      const chosen = (it: Network, cards: NetworkCard[]) =>
        layOut(it, cards, { any: chooseCard(it, cards, { before: null, isLate: true }) });
      const [first, second] = [chosen(a, cardsA), chosen(b, cardsB)];
      const [changed, fresh] = [new FakeLinks(), new FakeLinks()];
      changed.setCards(cardsA);
      await run(changed, NOTHING, first);
      for (const { name } of first.bridges) {
        if (second.bridges.some((it) => it.name === name)) changed.addTap(`tap-${name}`, name);
      }
      changed.setCards(cardsB);
      await run(changed, first, second);
      for (const { name } of first.bridges) {
        const tap = changed.links.get(`tap-${name}`);
        if (tap) assertEquals(tap.master, name, "no guest loses its bridge");
        changed.links.delete(`tap-${name}`);
      }
      fresh.setCards(cardsB);
      await run(fresh, NOTHING, second);
      assertEquals(changed.picture, fresh.picture);
      assertEquals(planChange(second, second), []);
    }),
    { numRuns: 300 },
  );
});
