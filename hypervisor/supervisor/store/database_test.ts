import { assertEquals, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { CpuSettings, DiskSettings, MemorySettings, NetSettings } from "../api/schemas.ts";
import { openDatabase, schemaVersion, transaction } from "./database.ts";
import { type GuestRecord, GuestStore } from "./guests.ts";
import { MIGRATIONS } from "./migrations.ts";

function withFile(use: (path: string) => void) {
  const directory = Deno.makeTempDirSync();
  try {
    use(join(directory, "db"));
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

const GUEST: GuestRecord = {
  id: "01ARZ3NDEKTSV4RRFFQ69G5FAV",
  name: "web",
  cpus: 2,
  memoryMiB: 512,
  kernel: "k",
  initrd: null,
  cmdline: "console=ttyS0",
  cpu: CpuSettings.parse({ nested: true }),
  memory: MemorySettings.parse({ balloonMiB: 64 }),
  disks: [
    {
      ...DiskSettings.parse({ rateLimit: { bytesPerSecond: 1000 } }),
      id: "01ARZ3NDEKTSV4RRFFQ69G5FD1",
      name: "disk",
      file: "disk.img",
      sizeMiB: 10,
      image: "debian",
      serial: "RZ3NDEKTSV4RRFFQ69G5FD1",
      store: null,
    },
    {
      ...DiskSettings.parse({ readonly: true }),
      id: "01ARZ3NDEKTSV4RRFFQ69G5FD0",
      name: "data",
      file: "data.img",
      sizeMiB: 20,
      image: null,
      serial: "another",
      store: "nas",
    },
  ],
  nets: [
    { ...NetSettings.parse({}), id: "01ARZ3NDEKTSV4RRFFQ69G5FN1", mac: "52:00:00:00:00:01" },
    {
      ...NetSettings.parse({ mtu: 9000 }),
      id: "01ARZ3NDEKTSV4RRFFQ69G5FN0",
      mac: "52:00:00:00:00:00",
    },
  ],
  hotplugPorts: 2,
  agent: true,
  cloudInit: {
    ...{ instanceId: "i-1", hostname: null, userData: "#!/bin/sh", networkConfig: null },
    sshKeys: [],
  },
  autostart: false,
  atShutdown: null,
  startOrder: null,
  createdAt: "2026-01-01T00:00:00.000Z",
  error: null,
};

Deno.test("a new database has the present schema, a write-ahead log and full syncs", () => {
  withFile((path) => {
    const database = openDatabase(path);
    assertEquals(schemaVersion(database), MIGRATIONS.length);
    assertEquals(database.prepare("PRAGMA journal_mode").get()!.journal_mode, "wal");
    assertEquals(database.prepare("PRAGMA synchronous").get()!.synchronous, 2);
    const tables = database.prepare(
      "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND strict = 0 AND name NOT LIKE 'sqlite_%'",
    ).all();
    assertEquals(tables, [], "every table is STRICT");
    database.close();
  });
});

Deno.test("every older version is brought to the present one, with what it holds", () => {
  for (let version = 0; version < MIGRATIONS.length; version++) {
    withFile((path) => {
      openDatabase(path, MIGRATIONS.slice(0, version)).close();
      const database = openDatabase(path);
      assertEquals(schemaVersion(database), MIGRATIONS.length);
      new GuestStore(database).put(GUEST);
      database.close();
    });
  }
});

Deno.test("version 1 keeps its guests, a setting and a session", () => {
  withFile((path) => {
    const database = openDatabase(path, MIGRATIONS.slice(0, 1));
    const insert = database.prepare(
      "INSERT INTO guests VALUES (?, ?, 2, 512, 'k', 'i', 'console=ttyS0', ?, ?, ?, ?, 1, ?, 'broke')",
    );
    const { createdAt } = GUEST;
    insert.run("A", "web", 10, "debian", 1, "52:00:00:00:00:0a", createdAt);
    insert.run("B", "bare", null, null, 0, "52:00:00:00:00:0b", createdAt);
    database.exec("INSERT INTO settings VALUES ('password', 'x')");
    database.exec("INSERT INTO sessions VALUES ('hash', 1, 2)");
    database.close();
    const later = openDatabase(path);
    const bare: GuestRecord = {
      id: "B",
      name: "bare",
      cpus: 2,
      memoryMiB: 512,
      cpu: CpuSettings.parse({}),
      memory: MemorySettings.parse({}),
      kernel: "k",
      initrd: "i",
      cmdline: "console=ttyS0",
      disks: [],
      nets: [],
      hotplugPorts: 2,
      agent: true,
      cloudInit: null,
      autostart: true,
      atShutdown: null,
      startOrder: null,
      createdAt,
      error: "broke",
    };
    const disk = {
      id: "A",
      name: "disk",
      file: "disk.img",
      sizeMiB: 10,
      image: "debian",
      serial: "A",
      store: null,
    };
    assertEquals(new GuestStore(later).list(), [bare, {
      ...bare,
      id: "A",
      name: "web",
      disks: [{ ...disk, ...DiskSettings.parse({}) }],
      nets: [{ id: "A", mac: "52:00:00:00:00:0a", ...NetSettings.parse({}) }],
    }]);
    assertEquals(later.prepare("PRAGMA foreign_key_check").all(), []);
    assertEquals(later.prepare("SELECT value FROM settings").get()!.value, "x");
    later.close();
  });
});

Deno.test("a migration that fails changes nothing", () => {
  withFile((path) => {
    openDatabase(path, MIGRATIONS.slice(0, 1)).close();
    const broken = [MIGRATIONS[0], "CREATE TABLE extra (a) STRICT; nonsense"];
    assertThrows(() => openDatabase(path, broken));
    const database = openDatabase(path, MIGRATIONS.slice(0, 1));
    assertEquals(schemaVersion(database), 1);
    assertEquals(database.prepare("SELECT 1 FROM pragma_table_list('extra')").all(), []);
    database.close();
  });
});

Deno.test("a newer schema is refused, and left as it is", () => {
  withFile((path) => {
    const newer = [...MIGRATIONS, "CREATE TABLE later (a TEXT) STRICT"];
    const options = { readableFrom: newer.length };
    openDatabase(path, newer, options).close();
    assertThrows(
      () => openDatabase(path),
      RangeError,
      `its schema is version ${newer.length} and this supervisor knows versions up to ${MIGRATIONS.length}`,
    );
    openDatabase(path, newer, options).close();
  });
});

Deno.test("a newer schema that only adds is worked with, and stays what it is", () => {
  withFile((path) => {
    const newer = [
      ...MIGRATIONS,
      "ALTER TABLE guests ADD COLUMN later TEXT NOT NULL DEFAULT 'new'; CREATE TABLE more (a TEXT) STRICT",
    ];
    const options = { readableFrom: MIGRATIONS.length };
    openDatabase(path, newer, options).close();
    const before = openDatabase(path);
    const store = new GuestStore(before);
    store.put(GUEST);
    before.exec("UPDATE guests SET later = 'kept'");
    store.put({ ...GUEST, cpus: 3 });
    assertEquals(store.get(GUEST.id)?.cpus, 3);
    assertEquals(before.prepare("SELECT later FROM guests").get()?.later, "kept");
    before.close();
    const again = openDatabase(path, newer, options);
    assertEquals(schemaVersion(again), newer.length);
    again.close();
  });
});

Deno.test("a transaction that throws leaves nothing", () => {
  const database = openDatabase(":memory:");
  assertThrows(() =>
    transaction(database, () => {
      new GuestStore(database).put(GUEST);
      assertEquals(new GuestStore(database).list().length, 1);
      throw new Error("no");
    })
  );
  assertEquals(new GuestStore(database).list(), []);
  database.close();
});

Deno.test("a guest is read back as it was put, and put again in its place", () => {
  const database = openDatabase(":memory:");
  const store = new GuestStore(database);
  store.put(GUEST);
  assertEquals(store.get(GUEST.id), GUEST);
  const changed = {
    ...GUEST,
    name: "db",
    disks: GUEST.disks.toReversed(),
    nets: [],
    agent: false,
    autostart: true,
    atShutdown: null,
    startOrder: null,
    error: "broke",
  };
  store.put(changed);
  assertEquals(store.list(), [changed]);
  assertThrows(() => store.put({ ...GUEST, id: "other", name: "db" }), Error, "another guest");
  const [mine] = GUEST.nets;
  store.put({ ...changed, nets: [mine] });
  const other = { ...GUEST, id: "other", disks: [], nets: [{ ...mine, id: "theirs" }] };
  assertThrows(() => store.put(other), Error, "another network card has it");
  assertEquals(store.list(), [{ ...changed, nets: [mine] }]);
  store.delete(GUEST.id);
  assertEquals(store.list(), []);
  for (const table of ["disks", "nets"]) {
    assertEquals(database.prepare(`SELECT * FROM ${table}`).all(), [], "its devices go with it");
  }
  database.close();
});
