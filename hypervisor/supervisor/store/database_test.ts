import { assertEquals, assertThrows } from "@std/assert";
import { join } from "@std/path";
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
  diskMiB: 10,
  diskImage: "debian",
  network: true,
  mac: "52:00:00:00:00:01",
  autostart: false,
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

Deno.test("version 1 keeps a guest, a setting and a session", () => {
  withFile((path) => {
    const database = openDatabase(path, MIGRATIONS.slice(0, 1));
    new GuestStore(database).put(GUEST);
    database.exec("INSERT INTO settings VALUES ('password', 'x')");
    database.exec("INSERT INTO sessions VALUES ('hash', 1, 2)");
    database.close();
    const later = openDatabase(path);
    assertEquals(new GuestStore(later).list(), [GUEST]);
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
    openDatabase(path, newer).close();
    assertThrows(
      () => openDatabase(path),
      RangeError,
      `its schema is version ${newer.length} and this supervisor knows versions up to ${MIGRATIONS.length}`,
    );
    openDatabase(path, newer).close();
  });
});

Deno.test("a transaction that throws leaves nothing", () => {
  const database = openDatabase(":memory:");
  assertThrows(() =>
    transaction(database, () => {
      new GuestStore(database).put(GUEST);
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
  const changed = { ...GUEST, name: "db", network: false, autostart: true, error: "broke" };
  store.put(changed);
  assertEquals(store.list(), [changed]);
  assertEquals(store.findByName("web"), null);
  assertThrows(() => store.put({ ...GUEST, id: "other", name: "db" }), Error, "another guest");
  store.delete(GUEST.id);
  assertEquals(store.list(), []);
  database.close();
});
