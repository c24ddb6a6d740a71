import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { ApiError } from "../api/client.ts";
import type { Guest, NetCreate, NetUpdate } from "../api/schemas.ts";
import { tapName } from "../network.ts";
import { TestHost } from "../testing/test_host.ts";

async function refused(promise: Promise<unknown>, code: string): Promise<ApiError> {
  const error = await assertRejects(() => promise, ApiError);
  assertEquals(error.problem.code, code, error.message);
  return error;
}

/** A guest's network cards through the API. */
function netsOf(host: TestHost, guest: Guest) {
  const { client } = host.local;
  const { id } = guest;
  const params = (net: string) => ({ params: { id, net } });
  return {
    add: (body: NetCreate) => client.call("addNet", { params: { id }, body }),
    change: (net: string, body: NetUpdate) => client.call("updateNet", { ...params(net), body }),
    delete: (net: string) => client.call("deleteNet", params(net)),
    plug: (net: string) => client.call("plugNet", params(net)),
    unplug: (net: string) => client.call("unplugNet", params(net)),
  };
}

function tapsOf({ nets }: Guest): string[] {
  return nets.map(({ id }) => tapName(id)).sort();
}

Deno.test("a guest has several cards, each with a tap and settings of its own", async () => {
  await using host = await TestHost.start();
  const guest = await host.guest({
    cpus: 2,
    nets: [
      { inPort: false },
      { mac: "52:54:00:00:00:99", mtu: 9000, queues: 2, linkUp: false },
      { bridge: "br7", queues: 1, sendLimit: { bytesPerSecond: 1000 } },
    ],
  });
  assertMatch(guest.nets[0].mac, /^52(:[0-9a-f]{2}){5}$/);
  const { nets, freePorts } = await host.start(guest.id);
  assertEquals([nets.map(({ attached }) => attached), freePorts], [["boot", "port", "port"], 1]);
  assertEquals([...host.network.taps].sort(), tapsOf(guest));
  assertEquals(host.network.lastOptions, { bridge: "br7", multiQueue: false });
  const config = JSON.parse(
    Deno.readTextFileSync(host.path("run/guests", guest.id, "config.json")),
  );
  const [first, second, third] = guest.nets;
  assertEquals(config.nets, [{ tap: tapName(first.id), mac: first.mac }]);
  const [mac, sendLimit] = ["52:54:00:00:00:99", { bytesPerSecond: 1000 }];
  assertEquals(Object.entries(config.plugged), [
    ["net1", { net: { tap: tapName(second.id), mac, queues: 2, mtu: 9000, linkUp: false } }],
    ["net2", { net: { tap: tapName(third.id), mac: third.mac, queues: 1, sendLimit } }],
  ]);
  await host.stop(guest.id);
  host.assertNothingLeft();
});

Deno.test("a card is in a port at the next start, or is not, as it is wanted", async () => {
  await using host = await TestHost.start();
  const guest = await host.guest();
  const nets = netsOf(host, guest);
  const [{ id, inPort }] = guest.nets;
  assertEquals([inPort, (await host.start(guest.id)).nets[0].attached], [true, "port"]);
  const later = await nets.change(id, { inPort: false });
  assertEquals([later.nets[0].attached, later.nets[0].restartNeeded], ["port", true]);
  await host.stop(guest.id);
  const fixed = await host.start(guest.id);
  assertEquals([fixed.nets[0].attached, fixed.nets[0].restartNeeded], ["boot", false]);
  await refused(nets.unplug(id), "wrong_state");
  await nets.change(id, { inPort: true });
  await host.stop(guest.id);
  assertEquals((await host.start(guest.id)).nets[0].attached, "port");
  await nets.unplug(id);
  await host.until(guest.id, ({ nets }) => nets[0].attached === null);
  assertEquals(host.network.taps.size, 0);
});

Deno.test("an address is one card's alone, whoever's it is", async () => {
  await using host = await TestHost.start();
  const mac = "52:54:00:00:00:01";
  const guest = await host.guest({ nets: [{ mac }] });
  const other = await host.guest({ name: "other" });
  await refused(netsOf(host, other).add({ mac }), "mac_taken");
  const taken = await refused(
    netsOf(host, other).change(other.nets[0].id, { mac }),
    "mac_taken",
  );
  assertEquals(taken.problem.fields, [{ path: "mac", message: "another network card has it" }]);
  await refused(host.guest({ name: "third", nets: [{ mac }] }), "mac_taken");
  await refused(netsOf(host, guest).add({ mac: "53:54:00:00:00:01" }), "invalid_body");
  // Its own is no other's.
  assertEquals((await netsOf(host, guest).change(guest.nets[0].id, { mac })).nets[0].mac, mac);
  assertEquals(host.names("data/guests").sort(), [guest.id, other.id].sort());
});

Deno.test("link and limits change at once, the rest at the next start", async () => {
  await using host = await TestHost.start();
  const guest = await host.guest();
  const nets = netsOf(host, guest);
  const [{ id }] = guest.nets;
  await host.start(guest.id);
  const receiveLimit = { operationsPerSecond: 50 };
  const down = await nets.change(id, { linkUp: false, receiveLimit });
  assertEquals([down.nets[0].linkUp, down.nets[0].restartNeeded], [false, false]);
  const { net0 } = await host.processFor(guest.id).devices();
  assertEquals([net0.linkUp, net0.receiveLimit], [false, receiveLimit]);
  const later = await nets.change(id, { mtu: 1400, bridge: "br9" });
  assertEquals(later.nets[0].restartNeeded, true);
  await host.stop(guest.id);
  assertEquals((await host.start(guest.id)).nets[0].restartNeeded, false);
  assertEquals(host.network.lastOptions.bridge, "br9");
});

Deno.test("a card is plugged in and out, and its tap comes and goes with it", async () => {
  await using host = await TestHost.start();
  const guest = await host.guest({ nets: [] });
  const nets = netsOf(host, guest);
  await host.start(guest.id);
  const added = await nets.add({ mac: "52:54:00:00:00:07" });
  assertEquals(host.network.taps.size, 0);
  const [{ id }] = added.nets;
  const plugged = await nets.plug(id);
  assertEquals([plugged.nets[0].attached, plugged.freePorts], ["port", 2]);
  assertEquals([...host.network.taps], tapsOf(added));
  await refused(nets.delete(id), "device_in_use");
  await nets.unplug(id);
  await host.until(guest.id, ({ nets }) => nets[0].attached === null);
  assertEquals(host.network.taps.size, 0);
  assertEquals((await nets.delete(id)).nets, []);
});

Deno.test("a card that cannot be plugged in leaves no tap", async () => {
  await using host = await TestHost.start();
  const guest = await host.guest({ nets: [], cmdline: "no-plugging" });
  const nets = netsOf(host, guest);
  await host.start(guest.id);
  const [{ id }] = (await nets.add({})).nets;
  await refused(nets.plug(id), "device_refused");
  assertEquals(host.network.taps.size, 0);
  host.network.attachError = new Error('the host has no bridge "br0" for its network card');
  const error = await refused(nets.plug(id), "device_refused");
  assertStringIncludes(error.message, 'no bridge "br0"');
  assertEquals((await host.get(guest.id)).nets[0].attached, null);
});

Deno.test("cards that were plugged in leave no tap when their guest ends", async () => {
  await using host = await TestHost.start();
  const guest = await host.guest();
  const nets = netsOf(host, guest);
  await host.start(guest.id);
  const [, { id }] = (await nets.add({})).nets;
  await nets.plug(id);
  assertEquals(host.network.taps.size, 2);
  await host.down();
  await host.up();
  await host.reaches(guest.id, "running");
  assert(host.network.taps.has(tapName(id)), "a card that is in use keeps its tap");
  await host.stop(guest.id);
  host.assertNothingLeft();
});

Deno.test("a guest has at most eight cards", async () => {
  await using host = await TestHost.start();
  const guest = await host.guest({ nets: Array.from({ length: 8 }, () => ({})) });
  await refused(netsOf(host, guest).add({}), "too_many_devices");
});
