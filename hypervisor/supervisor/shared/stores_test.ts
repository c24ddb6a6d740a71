import { assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { join } from "@std/path";
import fc from "fast-check";
import { openDatabase } from "../store/database.ts";
import { SharedFileStore } from "../store/shared_files.ts";
import { type StoreOption, Stores } from "./stores.ts";
import { makeToken, readToken, TOKEN } from "./token.ts";

/** A directory with others in it, and a host's database. */
class Ground implements Disposable {
  readonly path = Deno.makeTempDirSync();
  readonly database = openDatabase(":memory:");
  readonly table = new SharedFileStore(this.database);
  readonly #stores: Stores[] = [];

  directory(name: string): string {
    const path = join(this.path, name);
    Deno.mkdirSync(path);
    return path;
  }

  stores(...options: StoreOption[]): Stores {
    const stores = new Stores(options, { table: this.table, log: () => {}, answerMs: 200 });
    this.#stores.push(stores);
    return stores;
  }

  /** Has a guest's disk on a store. */
  use(store: string) {
    this.database.exec("PRAGMA foreign_keys = OFF");
    this.database.exec(
      `INSERT INTO disks VALUES ('D', 'G', 0, 'disk', 'D.img', 1, NULL, '{}', 'S', '${store}')`,
    );
  }

  [Symbol.dispose](): void {
    this.#stores.forEach((it) => it.close());
    this.database.close();
    Deno.removeSync(this.path, { recursive: true });
  }
}

Deno.test("a store is known by its token on every host, whatever it is called there", async () => {
  using ground = new Ground();
  const directory = ground.directory("nas");
  const here = ground.stores({ name: "nas", directory });
  assertThrows(() => here.directory("nas"), Error, "nobody has looked yet");
  await here.look();
  assertEquals(here.directory("nas"), directory);
  const [{ problem, sizeMiB, freeMiB }] = here.list();
  assertEquals([problem, sizeMiB > 0, freeMiB > 0], [null, true, true]);
  using other = new Ground();
  const there = other.stores({ name: "fast", directory });
  await there.look();
  assertEquals(there.named(here.token("nas")), "fast");
  assertEquals(there.named("0".repeat(32)), null);
  assertThrows(() => there.directory("nas"), Error, "not started with --shared-store nas=DIR");
});

Deno.test("however many hosts make a token at once, there is one", async () => {
  using ground = new Ground();
  const directory = ground.directory("nas");
  const tokens = await Promise.all(Array.from({ length: 20 }, () => makeToken(directory)));
  assertEquals(new Set(tokens).size, 1);
  assertMatch(tokens[0], TOKEN);
  assertEquals([...Deno.readDirSync(directory)].map(({ name }) => name), [".denovisor-store"]);
});

Deno.test("a store that a disk is on is not made anew where it is not mounted, or another is", async () => {
  using ground = new Ground();
  const directory = ground.directory("nas");
  const away = join(ground.path, "away");
  const stores = ground.stores({ name: "nas", directory });
  await stores.look();
  const token = stores.token("nas");
  ground.use("nas");
  Deno.renameSync(directory, away);
  await assertRejects(() => stores.require("nas"), Error, "there is no directory");
  Deno.mkdirSync(directory);
  await assertRejects(() => stores.require("nas"), Error, "has no store in it: is it mounted?");
  assertEquals([...Deno.readDirSync(directory)], []);
  assertEquals([stores.list()[0].sizeMiB, stores.named(token)], [0, null]);
  await makeToken(directory);
  await assertRejects(() => stores.require("nas"), Error, "is another store than it was");
  Deno.removeSync(directory, { recursive: true });
  Deno.renameSync(away, directory);
  assertEquals(await stores.require("nas"), directory);
  assertEquals(stores.named(token), "nas");
});

Deno.test("one that nothing is on may be another one by now", async () => {
  using ground = new Ground();
  const [first, second] = [ground.directory("a"), ground.directory("b")];
  await ground.stores({ name: "nas", directory: first }).look();
  const later = ground.stores({ name: "nas", directory: second });
  await later.look();
  assertEquals(ground.table.token("nas"), later.token("nas"));
});

Deno.test("the same storage has one name", async () => {
  using ground = new Ground();
  const directory = ground.directory("nas");
  Deno.symlinkSync(directory, join(ground.path, "link"));
  const stores = ground.stores({ name: "a", directory }, {
    name: "b",
    directory: join(ground.path, "link"),
  });
  await stores.look();
  const problems = stores.list().map(({ problem }) => problem);
  assertEquals(problems.filter((it) => it === null).length, 1);
  assertMatch(problems.find((it) => it !== null)!, /^it is the store "[ab]"$/);
});

Deno.test("a store that does not answer is not waited for", async () => {
  using ground = new Ground();
  const directory = ground.directory("nas");
  // Who opens a FIFO waits for somebody at its other end.
  const path = join(directory, ".denovisor-store");
  await new Deno.Command("mkfifo", { args: [path] }).output();
  const stores = ground.stores({ name: "nas", directory });
  await assertRejects(() => stores.require("nas"), Error, "does not answer");
  await assertRejects(() => stores.require("nas"), Error, "does not answer");
  await Deno.writeTextFile(path, "no token");
  for (let why = "not answer"; why.includes("not answer");) {
    why = await stores.require("nas").catch(({ message }) => message);
    if (!why.includes("not answer")) assertMatch(why, /has no token in it/);
  }
});

Deno.test("whatever lies where a token should, it is one or none", async () => {
  using ground = new Ground();
  const directory = ground.directory("nas");
  assertEquals(await readToken(directory), null);
  const path = join(directory, ".denovisor-store");
  await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 100 }), async (bytes) => {
    Deno.writeFileSync(path, bytes);
    await assertRejects(() => readToken(directory), Error, "has no token in it");
  }));
});
