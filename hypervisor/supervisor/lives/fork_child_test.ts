import { assert, assertEquals, assertThrows } from "@std/assert";
import { CpuSettings, DiskSettings, MemorySettings, NetSettings } from "../api/schemas.ts";
import type { GuestRecord } from "../store/guests.ts";
import { childOf, replugged, whyNotReplug } from "./fork_child.ts";
import { diskDevice, firstRun, netDevice, type RunFile } from "./run.ts";
import { configOf, guestOf, netsOf, orderOf, pluggedOf } from "./source.ts";

const disk = (id: string) => ({
  ...DiskSettings.parse({}),
  ...{ id, name: id.toLowerCase(), file: `${id}.img`, sizeMiB: 1, image: null, serial: `s${id}` },
  store: null,
});
const net = (id: string) => ({ ...NetSettings.parse({}), id, mac: `52:00:00:00:00:0${id.at(-1)}` });

const GUEST: GuestRecord = {
  id: "GUEST",
  name: "web",
  cpus: 4,
  memoryMiB: 1024,
  cpu: CpuSettings.parse({}),
  memory: MemorySettings.parse({}),
  kernel: "new",
  initrd: null,
  cmdline: "",
  // In another order than the VMM has them, and one that it has not.
  disks: [disk("LATE"), disk("ROOT"), disk("DATA"), disk("NEXT")],
  nets: [net("N1"), net("N2")],
  hotplugPorts: 2,
  agent: true,
  cloudInit: null,
  autostart: true,
  atShutdown: null,
  startOrder: null,
  createdAt: "2026-01-01T00:00:00.000Z",
  error: "broke",
};

/** It was started with less, and has two devices plugged in. */
function run(): RunFile {
  const then = { ...GUEST, cpus: 1, kernel: "old", disks: [disk("ROOT"), disk("DATA")] };
  const begun = firstRun({ ...then, nets: [net("N2")] });
  const late = diskDevice({ ...disk("LATE"), readonly: true }, "port");
  return {
    ...begun,
    devices: { ...begun.devices, block2: late, net1: netDevice(net("N1"), "port") },
  };
}

const PLACES = { disk: ({ file }: { file: string }) => `/d/${file}`, tap: () => "tap" };
const FILES = { kernel: "/k", initrd: null, kernelCache: "/c", agentSocket: "/a", seed: "/s" };

Deno.test("a guest goes on as the machine that ran, not as what it is to be", () => {
  const { cpus, kernel, disks, nets } = guestOf(GUEST, run());
  assertEquals([cpus, kernel], [1, "old"]);
  assertEquals([disks.map(({ id }) => id), nets.map(({ id }) => id)], [["ROOT", "DATA"], ["N2"]]);
  assertEquals(netsOf(GUEST, run()).map(({ id }) => id).sort(), ["N1", "N2"]);
  assertEquals(pluggedOf(GUEST, run(), PLACES), {
    block2: { disk: { path: "/d/LATE.img", serial: "sLATE", readonly: true } },
    net1: { net: { tap: "tap", mac: "52:00:00:00:00:01" } },
  });
  const without = { ...GUEST, disks: GUEST.disks.slice(1) };
  assertThrows(() => pluggedOf(without, run(), PLACES), Error, "Cannot go on");
});

Deno.test("a guest starts with its cards in ports, as far as there are ports and it wants that", () => {
  const inPort = (id: string) => ({ ...net(id), inPort: true });
  const guest = { ...GUEST, nets: [inPort("N1"), net("N2"), inPort("N3"), inPort("N4")] };
  const cards = (hotplugPorts: number) =>
    Object.entries(firstRun({ ...guest, hotplugPorts }).devices)
      .filter(([, { kind }]) => kind === "net")
      .map(([name, { id, at }]) => [name, id, at]);
  assertEquals(cards(2), [
    ["net0", "N2", "boot"],
    ["net1", "N4", "boot"],
    ["net2", "N1", "port"],
    ["net3", "N3", "port"],
  ]);
  assertEquals(cards(0).map(([, id, at]) => [id, at]), guest.nets.map(({ id }) => [id, "boot"]));
  const { nets, plugged } = configOf(guest, firstRun(guest), { ...PLACES, ...FILES });
  assertEquals(nets.map(({ mac }) => mac), ["52:00:00:00:00:02", "52:00:00:00:00:04"]);
  assertEquals(Object.keys(plugged!), ["net2", "net3"]);
  // Those of a guest from before are where its system knows them.
  assertEquals(net("N1").inPort, false);
});

Deno.test("a child that goes on has all its parent's devices, each its own", () => {
  const { record, run: own } = childOf({ record: GUEST, run: run() }, { network: "down" });
  assert(record.id !== GUEST.id);
  assertEquals([record.autostart, record.error, record.cpus], [false, null, 4]);
  assertEquals(record.disks.map(({ serial }) => serial), ["sLATE", "sROOT", "sDATA", "sNEXT"]);
  assertEquals(record.nets.map(({ linkUp }) => linkUp), [false, false]);
  const all = [...GUEST.disks, ...GUEST.nets, ...record.disks, ...record.nets];
  assertEquals(new Set(all.map(({ id }) => id)).size, 12);
  assertEquals(new Set([...GUEST.nets, ...record.nets].map(({ mac }) => mac)).size, 4);
  for (const { id, file } of record.disks) assertEquals(file, `${id}.img`);

  const goesOn = guestOf(record, own!);
  assertEquals(goesOn.disks.map(({ serial }) => serial), ["sROOT", "sDATA"]);
  assertEquals(goesOn.nets.map(({ mac, linkUp }) => [mac, linkUp]), [[record.nets[1].mac, false]]);
  const { block2, net1 } = pluggedOf(record, own!, PLACES);
  assertEquals(block2, {
    disk: { path: `/d/${record.disks[0].file}`, serial: "sLATE", readonly: true },
  });
  assertEquals(net1, { net: { tap: "tap", mac: record.nets[0].mac, linkUp: false } });
});

Deno.test("cards in ports are replugged, and others go on with or without a link", () => {
  const parent = { record: GUEST, run: run() };
  const linksOf = (network?: "replug" | "down" | "up") => {
    const { record, run } = childOf(parent, { network });
    const { net0, net1 } = run!.devices;
    const goingOn = [net0, net1].map(({ settings }) => "linkUp" in settings && settings.linkUp);
    return [record.nets.map(({ linkUp }) => linkUp), goingOn];
  };
  // N1 is in a port and N2 is not; whatever they are to be, the other's addresses are not seen before.
  assertEquals(linksOf(), [[true, false], [false, false]]);
  assertEquals(linksOf("replug"), linksOf());
  assertEquals(linksOf("down"), [[false, false], [false, false]]);
  assertEquals(linksOf("up"), [[true, true], [true, true]]);
  const child = childOf(parent);
  assertEquals(replugged(child), [child.record.nets[0]]);
  assertEquals(replugged({ ...child, run: null }), []);

  assertEquals(
    whyNotReplug(parent),
    'Cannot replug the network cards of new guests of "web": it has 52:00:00:00:00:02 since its ' +
      "start, and not in a hot-plug port",
  );
  assertEquals(whyNotReplug({ ...parent, run: null }), null);
  const { net0 } = parent.run.devices;
  Object.assign(net0.settings, { linkUp: false });
  assertEquals(whyNotReplug(parent), null);
});

Deno.test("a child that boots has its links as its parent's are", () => {
  const nets = [{ ...net("N1"), linkUp: false }, net("N2")];
  const { record, run: own } = childOf({ record: { ...GUEST, nets }, run: null });
  assertEquals([own, record.nets.map(({ linkUp }) => linkUp)], [null, [false, true]]);
});

Deno.test("an order says where a guest goes on from, and a guest that goes back is a new one", () => {
  // deno-lint-ignore no-explicit-any
  const config = {} as any;
  assertEquals(orderOf(undefined, config), { op: "run", config });
  assertEquals(orderOf({ kind: "fork", run: run(), descriptors: [] }, config), {
    ...{ op: "run", config, fork: true },
  });
  const snapshot = { kind: "snapshot", run: run(), directory: "/s", hold: true } as const;
  assertEquals(orderOf(snapshot, config), {
    ...{ op: "run", config, restore: "/s", identity: "new", hold: true },
  });
});
