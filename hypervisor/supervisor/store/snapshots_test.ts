import { assertEquals, assertThrows } from "@std/assert";
import { CpuSettings, DiskSettings, MemorySettings, NetSettings } from "../api/schemas.ts";
import { openDatabase } from "./database.ts";
import { type GuestRecord, GuestStore } from "./guests.ts";
import { MIGRATIONS } from "./migrations.ts";
import { type SnapshotRecord, SnapshotStore } from "./snapshots.ts";

const GUEST: GuestRecord = {
  id: "GUEST",
  name: "web",
  cpus: 2,
  memoryMiB: 512,
  cpu: CpuSettings.parse({}),
  memory: MemorySettings.parse({}),
  kernel: "k",
  initrd: "i",
  cmdline: "quiet",
  disks: [{
    ...DiskSettings.parse({}),
    ...{ id: "D", name: "disk", file: "d.img", sizeMiB: 10, image: null, serial: "serial" },
    store: null,
  }],
  nets: [{ ...NetSettings.parse({ linkUp: false }), id: "N", mac: "52:00:00:00:00:01" }],
  hotplugPorts: 2,
  agent: true,
  cloudInit: null,
  autostart: false,
  atShutdown: null,
  startOrder: null,
  createdAt: "2026-01-01T00:00:00.000Z",
  error: null,
};

function snapshot(id: string, more: Partial<SnapshotRecord> = {}): SnapshotRecord {
  return {
    ...{ id, guest: GUEST.id, name: id.toLowerCase(), description: "", parent: null },
    ...{ template: false, frozen: false, memoryBytes: 5, diskBytes: 6, pauseMs: 1.5 },
    ...{ createdAt: `2026-01-01T00:00:0${id.length}.000Z`, record: GUEST, run: { started: {} } },
    ...more,
  };
}

function stores() {
  const database = openDatabase(":memory:");
  const guests = new GuestStore(database);
  guests.put(GUEST);
  return { database, guests, snapshots: new SnapshotStore(database) };
}

Deno.test("a snapshot is read back as it was added, and its guest comes from it", () => {
  const { snapshots } = stores();
  assertEquals(snapshots.standing(GUEST.id), { current: null, resumesFrom: null });
  const first = snapshot("A");
  const disks = { run: null, pauseMs: null, frozen: true };
  const second = snapshot("BB", { parent: "A", template: true, ...disks });
  snapshots.add(first);
  snapshots.add(second);
  assertEquals(snapshots.list(GUEST.id), [first, second]);
  assertEquals(snapshots.templates(), [second]);
  assertEquals(snapshots.get(GUEST.id, "BB"), second);
  assertEquals(snapshots.standing(GUEST.id).current, "BB");
  assertThrows(() => snapshots.get("other", "A"), Error, "Cannot find a snapshot");
  assertThrows(() => snapshots.add(snapshot("C", { name: "a" })), Error, "has this name");
  assertEquals(snapshots.standing(GUEST.id).current, "BB", "neither, then");
});

Deno.test("what a version before wrote of a guest has the defaults of this one", () => {
  const { database, snapshots } = stores();
  snapshots.add(snapshot("A"));
  const older = structuredClone(GUEST) as unknown as Record<string, Record<string, unknown>[]>;
  delete older.disks[0].rateLimit;
  delete older.nets[0].mtu;
  delete (older as Partial<typeof older>).cloudInit;
  (older.memory as unknown as Record<string, unknown>).unknown = 1;
  database.prepare("UPDATE snapshots SET record = ?").run(JSON.stringify(older));
  assertEquals(snapshots.get(GUEST.id, "A").record, GUEST);
});

Deno.test("one that is deleted gives its place to the one before", () => {
  const { snapshots } = stores();
  snapshots.add(snapshot("A"));
  snapshots.add(snapshot("BB", { parent: "A" }));
  snapshots.add(snapshot("CCC", { parent: "BB" }));
  snapshots.delete(snapshots.get(GUEST.id, "BB"));
  assertEquals(snapshots.get(GUEST.id, "CCC").parent, "A");
  snapshots.delete(snapshots.get(GUEST.id, "CCC"));
  assertEquals(snapshots.standing(GUEST.id).current, "A");
  snapshots.delete(snapshots.get(GUEST.id, "A"));
  assertEquals(snapshots.standing(GUEST.id).current, null);
});

Deno.test("a revert changes all of a guest or nothing of it", () => {
  const { guests, snapshots } = stores();
  snapshots.add(snapshot("A"));
  guests.put({ ...GUEST, id: "OTHER", name: "db", disks: [], nets: [] });
  const then = { ...GUEST, cpus: 4, disks: [{ ...GUEST.disks[0], file: "new.img" }] };
  const standing = { current: "A", resumesFrom: "A" };
  assertThrows(() => snapshots.revert({ ...then, name: "db" }, standing));
  assertThrows(() => snapshots.revert(then, { current: "A", resumesFrom: "none" }));
  assertEquals(guests.get(GUEST.id), GUEST);
  assertEquals(snapshots.standing(GUEST.id).resumesFrom, null);
  snapshots.revert(then, standing);
  assertEquals(guests.get(GUEST.id), then);
  assertEquals(snapshots.standing(GUEST.id), standing);
  // What else is kept of the guest leaves that alone.
  guests.put({ ...then, name: "renamed" });
  assertEquals(snapshots.standing(GUEST.id), standing);
  snapshots.setResumesFrom(GUEST.id, null);
  assertEquals(snapshots.standing(GUEST.id), { current: "A", resumesFrom: null });
});

Deno.test("images that snapshots boot from are known; a guest's snapshots go with it", () => {
  const { database, guests, snapshots } = stores();
  snapshots.add(snapshot("A"));
  snapshots.add(snapshot("BB"));
  assertEquals(snapshots.usersOf("kernel", "k"), ["web"]);
  assertEquals([snapshots.usersOf("initrd", "i"), snapshots.usersOf("initrd", "k")], [["web"], []]);
  guests.delete(GUEST.id);
  assertEquals(database.prepare("SELECT * FROM snapshots").all(), []);
});

Deno.test("version 2 keeps its guests, whose disks keep their serial numbers", () => {
  const path = Deno.makeTempFileSync();
  try {
    const id = "01ARZ3NDEKTSV4RRFFQ69G5FD1";
    const before = openDatabase(path, MIGRATIONS.slice(0, 2));
    before.exec(
      `INSERT INTO guests VALUES ('G', 'web', 2, 512, '{}', '{}', 'k', NULL, '', 2, 1, 0, 'then', 'broke')`,
    );
    before.prepare("INSERT INTO disks VALUES (?, 'G', 0, 'disk', 'd.img', 10, 'debian', '{}')").run(
      id,
    );
    before.exec(`INSERT INTO nets VALUES ('N', 'G', 0, '52:00:00:00:00:01', '{"mtu": 9000}')`);
    before.close();
    const after = openDatabase(path);
    const [guest] = new GuestStore(after).list();
    assertEquals([guest.name, guest.error, guest.agent], ["web", "broke", true]);
    assertEquals(guest.disks[0].serial, id.slice(-20));
    assertEquals(guest.nets[0].mtu, 9000);
    const snapshots = new SnapshotStore(after);
    assertEquals(snapshots.standing("G"), { current: null, resumesFrom: null });
    snapshots.add(snapshot("A", { guest: "G" }));
    assertEquals(after.prepare("PRAGMA foreign_key_check").all(), []);
    after.close();
  } finally {
    Deno.removeSync(path);
  }
});
