import { assert, assertEquals, assertThrows } from "@std/assert";
import { CpuSettings, DiskSettings, MemorySettings, NetSettings } from "../api/schemas.ts";
import type { GuestRecord } from "../store/guests.ts";
import { PeerError } from "./frames.ts";
import { goingOn, pack, Parcel, unpackRecord } from "./parcel.ts";
import { disksHere } from "./shared_stores.ts";

const ID = (n: number) => `01ARZ3NDEKTSV4RRFFQ69G5F0${n}`;

const RECORD: GuestRecord = {
  ...{ id: ID(0), name: "web", cpus: 4, memoryMiB: 1024, kernel: "k2", initrd: null },
  cpu: CpuSettings.parse({}),
  memory: MemorySettings.parse({}),
  cmdline: "quiet",
  disks: [1, 2, 3].map((n) => ({
    ...DiskSettings.parse({}),
    ...{ id: ID(n), name: `disk-${n}`, file: `${ID(n)}.img`, sizeMiB: 1, image: null },
    serial: `S${n}`,
    store: n === 2 ? "nas" : null,
  })),
  nets: [{ ...NetSettings.parse({}), id: ID(4), mac: "52:00:00:00:00:02" }],
  ...{
    hotplugPorts: 2,
    agent: true,
    cloudInit: null,
    autostart: false,
    atShutdown: null,
    startOrder: null,
    error: "once",
  },
  createdAt: "2026-01-01T00:00:00.000Z",
};

/** By which both hosts know where the second disk is. */
const TOKEN = "0123456789abcdef".repeat(2);
const tokenOf = ({ store }: { store: string | null }) => store === null ? undefined : TOKEN;

/** It runs with fewer CPUs than it is to have, one disk in a port, and one not at all. */
const SAID = pack(RECORD, {
  frozen: false,
  started: {
    ...{ cpus: 2, memoryMiB: 512, cpu: RECORD.cpu, memory: RECORD.memory, kernel: "k1" },
    ...{ initrd: null, cmdline: "loud", hotplugPorts: 2, agent: true, cloudInit: null },
  },
  devices: {
    block1: { kind: "disk", id: ID(3), at: "port", settings: DiskSettings.parse({}) },
    block0: { kind: "disk", id: ID(1), at: "boot", settings: DiskSettings.parse({}) },
    net0: {
      kind: "net",
      id: ID(4),
      at: "boot",
      settings: { ...NetSettings.parse({}), mac: "52:00:00:00:00:01" },
    },
  },
}, tokenOf);
const PARCEL = Parcel.parse(SAID);

const PLACES = {
  ...{ kernel: "/k", initrd: null, kernelCache: "/c", agentSocket: "/a", seed: "/s" },
  disk: ({ file }: { file: string }) => `/disks/${file}`,
  tap: () => "tap0",
};

const goingOnHere = ({ record, run }: Parcel) =>
  goingOn(
    { record: unpackRecord(record, disksHere(record, new Map([[TOKEN, "nas"]]))), run },
    PLACES,
  );

Deno.test("a guest goes on with what it runs with, and keeps what it is to have", () => {
  const parcel = Parcel.parse(JSON.parse(JSON.stringify(SAID)));
  const { config, record } = goingOnHere(parcel);
  assertEquals([config.cpus, config.memoryMiB, config.cmdline], [2, 512, "loud"]);
  assertEquals(config.disks.map(({ path }) => path), [`/disks/${ID(1)}.img`]);
  assertEquals(config.nets[0].mac, "52:00:00:00:00:01");
  assertEquals(Object.keys(config.plugged), ["block1"]);
  assertEquals(record, { ...RECORD, error: null });
});

const CLOUD_INIT = {
  ...{ instanceId: "i-1", hostname: null, userData: "#!/bin/sh", networkConfig: null },
  sshKeys: [],
};

/** It was started with a disk for cloud-init that tells other things than it is to tell later. */
const SEEDED = pack({ ...RECORD, cloudInit: CLOUD_INIT }, {
  ...PARCEL.run,
  devices: {
    ...{ block2: PARCEL.run.devices.block1, block0: PARCEL.run.devices.block0 },
    net0: PARCEL.run.devices.net0,
  },
  started: { ...PARCEL.run.started, cloudInit: { ...CLOUD_INIT, hostname: "then" } },
}, tokenOf);

Deno.test("a guest's disk for cloud-init is the last of those that it was started with", () => {
  const parcel = Parcel.parse(JSON.parse(JSON.stringify(SEEDED)));
  const { config, record } = goingOnHere(parcel);
  assertEquals(config.disks.map(({ path }) => path), [`/disks/${ID(1)}.img`, "/s"]);
  assertEquals(Object.keys(config.plugged), ["block2"]);
  assertEquals(record.cloudInit, CLOUD_INIT);
  assertEquals(parcel.run.started.cloudInit?.hostname, "then");
});

Deno.test("a host that knows nothing of cloud-init takes a guest without it", () => {
  assertEquals("cloudInit" in PARCEL.record, false);
  const { cloudInit: _, ...started } = PARCEL.run.started;
  const parcel = Parcel.parse({ ...PARCEL, run: { ...PARCEL.run, started } });
  assertEquals(goingOnHere(parcel).record.cloudInit, null);
});

Deno.test("of cards in no port a host from before hears nothing that it does not know", () => {
  assert(!JSON.stringify(SAID).includes("inPort"));
  const inPort = { ...RECORD, nets: RECORD.nets.map((net) => ({ ...net, inPort: true })) };
  const { record } = Parcel.parse(pack(inPort, PARCEL.run, tokenOf));
  assertEquals(record.nets.map((net) => net.inPort), [true]);
});

Deno.test("a disk stays where it is only on storage that was shown; nothing is said of the others", () => {
  assertEquals(PARCEL.record.disks.map((disk) => "store" in disk), [false, true, false]);
  const other = new Map([["f".repeat(32), "nas"]]);
  assertThrows(() => disksHere(PARCEL.record, other), PeerError, "a store that it does not show");
});

Deno.test("a guest that cannot be one is refused", () => {
  const broken: ((parcel: typeof PARCEL) => void)[] = [
    ({ record }) => record.disks[0].file = "../../etc/passwd",
    ({ record }) => record.disks[1].file = record.disks[0].file,
    ({ record }) => record.disks[1].id = record.disks[0].id,
    ({ record }) => record.nets.push({ ...record.nets[0], id: ID(5) }),
    ({ record }) => record.kernel = "../k",
    ({ record }) => record.cpu.topology = { sockets: 3, cores: 1, threads: 1 },
    ({ run }) => run.started.cpus = 4096,
    ({ run }) => run.devices.block0.id = ID(9),
    ({ run }) => run.devices.block0.id = ID(3),
    ({ run }) => run.devices.net0 = run.devices.block0,
    ({ run }) => run.devices["../x"] = run.devices.block0,
    ({ record }) => record.disks[0].store = "nas",
    (parcel) => Object.assign(parcel.record, { isAdmin: true }),
    ({ record }) => record.cloudInit = { ...CLOUD_INIT, instanceId: "a\nb" },
    ({ record }) => record.cloudInit = { ...CLOUD_INIT, userData: "x".repeat(70_000) },
    ({ run }) => run.started.cloudInit = { ...CLOUD_INIT, hostname: "a b" },
    // A plugged disk cannot have the name of that for cloud-init.
    ({ run }) => run.started.cloudInit = { ...CLOUD_INIT, hostname: "web" },
  ];
  for (const [i, breakIt] of broken.entries()) {
    const parcel = structuredClone(PARCEL);
    breakIt(parcel);
    assertEquals(Parcel.safeParse(parcel).success, false, `case ${i}`);
  }
});
