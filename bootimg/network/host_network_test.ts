import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { delay } from "@std/async";
import { Network, type NetworkCard } from "../../hypervisor/supervisor/api/network_schemas.ts";
import { FakeLinks } from "../testing/fake_links.ts";
import { HostNetwork, type HostNetworkOptions, NetworkRefusal } from "./host_network.ts";

const CARD: NetworkCard = { name: "eth0", mac: "52:54:00:00:00:01", hasCarrier: true };
const FIXED = Network.parse({
  bridges: [{ name: "br0", ipv4: { method: "static", address: "192.0.2.7/24" } }, {
    name: "br1",
    uplink: null,
    ipv4: { method: "none" },
  }],
});

class Rig implements Disposable {
  readonly links = new FakeLinks();
  readonly kept: Network[] = [];
  problem: string | null = null;
  readonly options: HostNetworkOptions;
  readonly network: HostNetwork;

  constructor(options: Partial<HostNetworkOptions> = {}) {
    this.links.setCards([CARD]);
    this.options = {
      ground: this.links,
      network: Network.parse({}),
      keep: (network) => this.kept.push(network),
      onProblem: (problem) => this.problem = problem,
      ...{ confirmMs: 60_000, graceMs: 0, lateMs: 20 },
      ...options,
    };
    this.network = new HostNetwork(this.options);
  }

  get addresses(): string[] {
    return this.links.links.get("br0")?.addresses ?? [];
  }

  /** Keeps what is tried, as soon as it may be. */
  async confirm(): Promise<void> {
    await this.until("the trial's coming into force", () => {
      try {
        return this.network.confirm() !== null;
      } catch (error) {
        if (/not in force yet/.test(String(error))) return false;
        throw error;
      }
    });
  }

  /** Waits for what timers and steps bring about. */
  async until(what: string, is: () => boolean): Promise<void> {
    for (let i = 0; i < 500; i++) {
      if (is()) return;
      await delay(10);
    }
    throw new Error(`${what} did not come about`);
  }

  [Symbol.dispose](): void {
    this.network.close();
  }
}

Deno.test("the network follows cards that come and go", async () => {
  using rig = new Rig();
  rig.links.setCards([]);
  await rig.network.settle();
  assertEquals(rig.links.links.get("br0")?.isUp, true, "taps need the bridge, not the card");
  assertEquals(rig.links.clients.map(({ port }) => port), [null]);
  rig.links.setCards([CARD]);
  await rig.network.settle();
  assertEquals(rig.links.links.get("eth0")?.master, "br0");
  assertEquals(rig.links.clients.map(({ port }) => port), ["eth0"], "asks anew on the new network");
  const { length } = rig.links.steps;
  await rig.network.settle();
  assertEquals(rig.links.steps.length, length, "nothing to do");
});

Deno.test("without a cable it waits, and then takes the first card", async () => {
  using rig = new Rig();
  rig.links.setCards([{ ...CARD, hasCarrier: false }]);
  await rig.network.settle();
  assertEquals(rig.links.links.get("eth0")?.master, null);
  await rig.until("the card's part", () => rig.links.links.get("eth0")?.master === "br0");
});

Deno.test("a change that is confirmed is kept, and not before", async () => {
  using rig = new Rig();
  await rig.network.settle();
  const { trial, network } = rig.network.try(FIXED);
  assertEquals([trial?.secondsLeft, network.bridges.length], [60, 1]);
  await rig.until("the new address", () => rig.addresses.includes("192.0.2.7/24"));
  assertEquals([rig.kept, rig.links.clients], [[], []]);
  await rig.confirm();
  const told = rig.network.tell();
  assertEquals([told.trial, told.network, rig.kept], [null, FIXED, [FIXED]]);
  assertThrows(() => rig.network.confirm(), NetworkRefusal, "none is being tried");
});

Deno.test("a change that nobody confirms is undone, and nothing of it is kept", async () => {
  using rig = new Rig({ confirmMs: 100 });
  await rig.network.settle();
  const before = rig.links.picture;
  rig.network.try(FIXED);
  await rig.until("the new address", () => rig.addresses.includes("192.0.2.7/24"));
  await rig.until("the end of the trial", () => rig.network.tell().trial === null);
  await rig.network.settle();
  assertEquals([rig.links.picture, rig.kept], [before, []]);
  assertStringIncludes(rig.network.tell().problem!, "nobody confirmed it");
  assertEquals(rig.problem, null, "the screen has no problem: all is as it was");
});

Deno.test("a change that Linux refuses is undone at once", async () => {
  using rig = new Rig();
  await rig.network.settle();
  const before = rig.links.picture;
  rig.links.broken = /address add/;
  rig.network.try(FIXED);
  await rig.until("the end of the trial", () => rig.network.tell().trial === null);
  await rig.network.settle();
  assertEquals(rig.links.picture, before);
  assertStringIncludes(rig.network.tell().problem!, "broken");
});

Deno.test("what cannot be kept stays tried", async () => {
  let isFull = true;
  using rig = new Rig({
    keep: () => {
      if (isFull) throw new Error("the disk is full");
    },
  });
  await rig.network.settle();
  rig.network.try(FIXED);
  await assertRejects(() => rig.confirm(), Error, "the disk is full");
  assert(rig.network.tell().trial);
  isFull = false;
  assertEquals(rig.network.confirm().network, FIXED);
});

Deno.test("another change takes the place of the one that is tried; giving up goes back", async () => {
  using rig = new Rig();
  await rig.network.settle();
  const before = rig.links.picture;
  rig.network.try(FIXED);
  await rig.until("the new bridge", () => rig.links.links.has("br1"));
  rig.network.try(Network.parse({ dns: ["192.0.2.1"] }));
  await rig.until("the end of the bridge", () => !rig.links.links.has("br1"));
  rig.network.undo();
  await rig.network.settle();
  assertEquals(rig.links.picture, before);
  assertEquals(rig.network.tell().problem, null);
});

Deno.test("a card that is missing and a bridge with guests in it are refused beforehand", async () => {
  using rig = new Rig({ network: FIXED });
  await rig.network.settle();
  const other = { bridges: [{ name: "br0", uplink: "52:54:00:00:00:99" }] };
  const words = "Cannot use the card 52:54:00:00:00:99: this host has none";
  assertThrows(() => rig.network.try(Network.parse(other)), NetworkRefusal, words);
  rig.links.addTap("dv1", "br1");
  const gone = "Cannot remove the bridge br1: 1 network card of guests is in it";
  assertThrows(() => rig.network.try(Network.parse({})), NetworkRefusal, gone);
  assertEquals(rig.network.tell().trial, null);
});

Deno.test("a card that the settings name and that is missing is told", async () => {
  const mac = "52:54:00:00:00:02";
  using rig = new Rig({ network: Network.parse({ bridges: [{ name: "br0", uplink: mac }] }) });
  await rig.network.settle();
  assertStringIncludes(rig.problem!, `lacks the card ${mac}`);
  rig.links.setCards([CARD, { name: "eth1", mac, hasCarrier: true }]);
  await rig.network.settle();
  assertEquals([rig.problem, rig.links.links.get("eth1")?.master], [null, "br0"]);
});

Deno.test("the first card is the first card again when another part of it was only tried", async () => {
  using rig = new Rig();
  rig.links.setCards([CARD, { name: "eth1", mac: "52:54:00:00:00:02", hasCarrier: true }]);
  await rig.network.settle();
  const before = rig.links.picture;
  const swapped = { bridges: [{ name: "br0" }, { name: "br1", uplink: CARD.mac }] };
  rig.network.try(Network.parse(swapped));
  await rig.until("the other card's part", () => rig.links.links.get("eth1")?.master === "br0");
  rig.network.undo();
  await rig.network.settle();
  assertEquals(rig.links.picture, before);
});

Deno.test("a change is not confirmed before it is in force", async () => {
  using rig = new Rig({ graceMs: 50 });
  await rig.network.settle();
  const early = () =>
    assertThrows(() => rig.network.confirm(), NetworkRefusal, "it is not in force yet");
  const gate = Promise.withResolvers<void>();
  const run = rig.links.run.bind(rig.links);
  let isAt = false;
  rig.links.run = async (step) => {
    isAt = true;
    await gate.promise;
    await run(step);
  };
  rig.network.try(FIXED);
  early();
  await rig.until("the first step", () => isAt);
  early();
  assertEquals(rig.kept, []);
  gate.resolve();
  await rig.confirm();
  assertEquals([rig.kept, rig.addresses], [[FIXED], ["192.0.2.7/24"]]);
});

Deno.test("a card that comes brings no change forward, whose author is still being answered", async () => {
  using rig = new Rig({ graceMs: 60_000 });
  await rig.network.settle();
  const before = rig.links.picture;
  rig.network.try(FIXED);
  await rig.network.settle();
  assertEquals(rig.links.picture, before);
});

Deno.test("until its successor comes into force, a change that is tried stays", async () => {
  using rig = new Rig();
  await rig.network.settle();
  rig.network.try(FIXED);
  await rig.until("the new bridge", () => rig.links.links.has("br1"));
  Object.assign(rig.options, { graceMs: 60_000 });
  rig.network.try(Network.parse({ dns: ["192.0.2.1"] }));
  await rig.network.settle();
  assert(rig.links.links.has("br1"));
  rig.network.undo();
  await rig.network.settle();
  assert(!rig.links.links.has("br1"));
});

Deno.test("what failed at the start undoes no change that is good", async () => {
  using rig = new Rig({ network: FIXED });
  rig.links.broken = /address add/;
  await rig.network.settle();
  assertStringIncludes(rig.problem!, "broken");
  rig.links.broken = null;
  const same = Network.parse({ ...FIXED });
  rig.network.try(same);
  await rig.confirm();
  assertEquals(rig.kept, [same]);
  assertStringIncludes(rig.problem!, "broken", "it is as it was");
});

Deno.test("a bridge that guests came into while it was tried stays until they have left", async () => {
  using rig = new Rig();
  await rig.network.settle();
  const before = rig.links.picture;
  const tried = { bridges: [...FIXED.bridges, { name: "br2", uplink: CARD.mac, vlan: 20 }] };
  rig.network.try(Network.parse(tried));
  await rig.until("the new bridge", () => rig.links.links.get("eth0.20")?.master === "br2");
  await rig.network.settle();
  rig.links.addTap("dv1", "br2");
  rig.network.undo();
  await rig.network.settle();
  assertEquals([rig.links.portsOf("br2"), rig.links.links.has("br1")], [["dv1"], false]);
  assertEquals(rig.links.links.has("eth0.20"), false, "nothing of the trial's leads out");
  const words = "Cannot remove the bridge br2: 1 network card of guests is in it";
  assertEquals([rig.problem, rig.network.tell().problem], [words, words]);
  assert(rig.network.try(Network.parse({ dns: ["192.0.2.1"] })).trial, "it is in nobody's way");
  rig.network.undo();
  rig.links.links.delete("dv1");
  await rig.network.settle();
  assertEquals([rig.links.picture, rig.problem], [before, null]);
});

Deno.test("a change that removes a bridge is undone if a guest comes into it at the last moment", async () => {
  using rig = new Rig({ network: FIXED, graceMs: 20 });
  await rig.network.settle();
  const before = rig.links.picture;
  rig.network.try(Network.parse({}));
  rig.links.addTap("dv1", "br1");
  await rig.until("the end of the trial", () => rig.network.tell().trial === null);
  await rig.network.settle();
  assertStringIncludes(rig.network.tell().problem!, "was undone: Cannot remove the bridge br1");
  assertEquals(rig.links.portsOf("br1"), ["dv1"]);
  rig.links.links.delete("dv1");
  assertEquals([rig.links.picture, rig.problem], [before, null]);
});

Deno.test("a card that is chosen before a change is in force stays chosen when that is given up", async () => {
  using rig = new Rig({ graceMs: 60_000 });
  rig.links.setCards([]);
  await rig.network.settle();
  rig.network.try(Network.parse({ dns: ["192.0.2.1"] }));
  rig.links.setCards([CARD]);
  await rig.network.settle();
  rig.links.setCards([{ name: "eth1", mac: "52:54:00:00:00:02", hasCarrier: true }, CARD]);
  rig.network.undo();
  await rig.network.settle();
  assertEquals(rig.links.portsOf("br0"), ["eth0"]);
});
