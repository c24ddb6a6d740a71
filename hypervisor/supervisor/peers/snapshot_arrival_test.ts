import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { CpuSettings, DiskSettings, MemorySettings } from "../api/schemas.ts";
import type { MoveGround } from "../lives/move_ground.ts";
import { SnapshotFiles } from "../lives/snapshot_files.ts";
import type { SnapshotRecord } from "../store/snapshots.ts";
import { sharedFiles } from "../testing/shared_files.ts";
import { contentDigestOf } from "./digests.ts";
import { PeerError } from "./frames.ts";
import { disksHere } from "./shared_stores.ts";
import { SnapshotArrival } from "./snapshot_arrival.ts";
import { SnapshotDeparture } from "./snapshot_departure.ts";
import { unpackRecord } from "./parcel.ts";
import { packSnapshot, parentsFirst, SnapshotParcel } from "./snapshot_parcel.ts";

const ID = (n: number) => `01ARZ3NDEKTSV4RRFFQ69G5F${String(n).padStart(2, "0")}`;
const GUEST = ID(0);
const DISK = { name: "disk", store: null };
/** All of a disk goes. */
const tokenOf = () => undefined;

function snapshot(n: number, parent: number | null): SnapshotRecord {
  return {
    ...{ id: ID(n), guest: GUEST, name: `s${n}`, description: "" },
    ...{ template: false, frozen: false },
    ...{ memoryBytes: 0, diskBytes: 0, pauseMs: null, createdAt: "2026-01-01T00:00:00.000Z" },
    parent: parent === null ? null : ID(parent),
    run: null,
    record: {
      ...{ id: GUEST, name: "web", cpus: 1, memoryMiB: 512, kernel: "k", initrd: null },
      cpu: CpuSettings.parse({}),
      memory: MemorySettings.parse({}),
      cmdline: "",
      disks: [{
        ...DiskSettings.parse({}),
        ...{ id: ID(50), name: "disk", file: "disk.img", sizeMiB: 1, image: null, serial: "S" },
        store: null,
      }],
      nets: [],
      ...{
        hotplugPorts: 0,
        agent: false,
        cloudInit: null,
        autostart: false,
        atShutdown: null,
        startOrder: null,
        error: null,
      },
      createdAt: "2026-01-01T00:00:00.000Z",
    },
  };
}

/** Two directories of guests: one has a snapshot, and it comes to the other. */
function places() {
  const directory = Deno.makeTempDirSync();
  const shared = sharedFiles();
  const here = new SnapshotFiles(`${directory}/here`, { shared, canShare: false });
  Deno.mkdirSync(`${directory}/here/${GUEST}/snapshots/${ID(1)}`, { recursive: true });
  Deno.writeFileSync(here.disk({ guest: GUEST, id: ID(1) }, DISK), new Uint8Array(5000).fill(3));
  Deno.mkdirSync(`${directory}/there/${GUEST}`, { recursive: true });
  const arrival = new SnapshotArrival({
    guest: GUEST,
    offer: { count: 1, current: ID(1), dataBytes: 0, sharedBytes: 0 },
    ground: {
      store: { refuseTakenDevices: () => {} },
      disks: { shared },
      snapshotFiles: new SnapshotFiles(`${directory}/there`, { shared, canShare: false }),
    } as unknown as MoveGround,
    here: (record) => unpackRecord(record, disksHere(record, new Map())),
    runHere: (run) => run,
    share: () => false,
  });
  return {
    here,
    arrival,
    names: () =>
      [...Deno.readDirSync(`${directory}/there/${GUEST}/snapshots`)].map((it) => it.name),
    [Symbol.dispose]: () => Deno.removeSync(directory, { recursive: true }),
  };
}

/** As the other host hears of it. */
const told = ({ parcel }: ReturnType<typeof packSnapshot>) =>
  SnapshotParcel.parse(JSON.parse(JSON.stringify(parcel)));

Deno.test("a snapshot appears once it is what was sent, and not before", async () => {
  using place = places();
  const { arrival, here } = place;
  const parcel = told(packSnapshot(snapshot(1, null), { files: here, tokenOf }));
  assertEquals([parcel.record.nets, parcel.run], [snapshot(1, null).record.nets, null]);
  const sha256 = [await contentDigestOf(here.disk({ guest: GUEST, id: ID(1) }, DISK))];
  assertEquals(arrival.begin(parcel), []);
  arrival.file(0)!.write(0, new Uint8Array(4999).fill(3));
  assertThrows(() => arrival.complete, PeerError, "not all of the snapshots came");
  await assertRejects(
    () => arrival.end({ op: "snapshot_end", sha256 }),
    Error,
    'Cannot keep the snapshot "s1": it came damaged',
  );
  assertEquals(place.names(), [`.new-${ID(1)}`]);
});

Deno.test("a snapshot out of turn, or one of another guest, is no snapshot", async () => {
  using place = places();
  const { arrival, here } = place;
  const parcel = told(packSnapshot(snapshot(1, null), { files: here, tokenOf }));
  assertThrows(() => arrival.begin({ ...parcel, parent: ID(7) }), PeerError, "out of turn");
  const record = { ...parcel.record, id: ID(9) };
  assertThrows(() => arrival.begin({ ...parcel, record }), PeerError, "out of turn");
  assertEquals(arrival.file(0), null);
  arrival.begin(parcel);
  assertThrows(() => arrival.begin({ ...parcel, id: ID(2) }), PeerError, "out of turn");
  assertThrows(() => arrival.file(0)!.write(4999, new Uint8Array(2)), PeerError);
  arrival.file(0)!.write(0, new Uint8Array(5000).fill(3));
  const sha256 = [await contentDigestOf(here.disk({ guest: GUEST, id: ID(1) }, DISK))];
  await arrival.end({ op: "snapshot_end", sha256 });
  assertEquals(place.names(), [ID(1)]);
  assertEquals(arrival.complete.snapshots.map(({ id }) => id), [ID(1)]);
  assertThrows(() => arrival.begin({ ...parcel, id: ID(2) }), PeerError, "out of turn");
});

Deno.test("whatever another host says of a snapshot, only what can be one is taken", () => {
  using place = places();
  const { parcel } = packSnapshot(snapshot(1, null), { files: place.here, tokenOf });
  const wrong = (change: object) => SnapshotParcel.safeParse({ ...parcel, ...change }).success;
  const file = { disk: ID(50), bytes: 1, dataBytes: 1 };
  assertEquals(wrong({ files: [] }), false, "a disk without a copy");
  assertEquals(wrong({ files: [file, file] }), false, "two copies");
  assertEquals(wrong({ files: [file, { ...file, disk: ID(51) }] }), false, "of no disk");
  const memory = (name: string) => ({ memory: name, bytes: 1, dataBytes: 1 });
  assertEquals(wrong({ files: [file, memory("state")] }), false, "memory without a run");
  for (const name of ["../state", ".new", "a/b", ""]) {
    assertEquals(wrong({ files: [file, memory(name)] }), false, name);
  }
  fc.assert(fc.property(fc.jsonValue(), fc.constantFrom(...Object.keys(parcel)), (value, key) => {
    SnapshotParcel.safeParse({ ...parcel, [key]: value });
  }));
});

Deno.test("each snapshot goes after the one that it comes from, whatever the clock said", () => {
  fc.assert(fc.property(fc.infiniteStream(fc.nat()), fc.nat(20), (random, count) => {
    const tree = Array.from({ length: count }, (_, n) => {
      const parent = n === 0 ? null : random.next().value % (n + 1);
      return snapshot(n + 1, parent === null || parent === 0 ? null : parent);
    });
    const shuffled = tree.map((it) => ({ it, at: random.next().value }))
      .sort((a, b) => a.at - b.at).map(({ it }) => it);
    const seen = new Set<string>();
    for (const { id, parent } of parentsFirst(shuffled)) {
      assertEquals(parent === null || seen.has(parent), true);
      seen.add(id);
    }
    assertEquals(seen.size, count);
  }));
});

Deno.test("what snapshots take is told before the first byte, whole and where blocks are shared", () => {
  const directory = Deno.makeTempDirSync();
  try {
    const snapshotFiles = new SnapshotFiles(directory, { shared: sharedFiles() });
    const records = [snapshot(1, null), snapshot(2, 1)];
    for (const [i, { id }] of records.entries()) {
      Deno.mkdirSync(`${directory}/${GUEST}/snapshots/${id}`, { recursive: true });
      const bytes = new Uint8Array((i + 1) * 65536).fill(1);
      Deno.writeFileSync(snapshotFiles.disk({ guest: GUEST, id }, DISK), bytes);
    }
    const ground = {
      snapshots: { list: () => records, standing: () => ({ current: ID(2) }) },
      snapshotFiles,
    } as unknown as MoveGround;
    const { record } = records[0];
    const going = SnapshotDeparture.of(record, { ground, without: false, tokenOf });
    const offer = { count: 2, current: ID(2), dataBytes: 3 * 65536, sharedBytes: 2 * 65536 };
    assertEquals(going.offer([{ dataBytes: 65536 }]), offer);
    assertEquals(going.offer([{ dataBytes: 5 * 65536 }]).sharedBytes, 5 * 65536);
    const without = SnapshotDeparture.of(record, { ground, without: true, tokenOf });
    const none = { count: 0, current: null, dataBytes: 0, sharedBytes: 65536 };
    assertEquals(without.offer([{ dataBytes: 65536 }]), none);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});
