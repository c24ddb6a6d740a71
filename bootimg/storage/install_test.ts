import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { readAt, readTable, writeAt, writeTable } from "../disk/disk_table.ts";
import { PARTITION_TYPES, type PartitionTable } from "../disk/gpt.ts";
import { BOOT_NAME, DATA_NAME, UNFINISHED_NAME } from "../disk/names.ts";
import { FakeDisks } from "../testing/fake_disks.ts";
import type { DiskRef } from "./ground.ts";
import { install, type InstallOptions } from "./install.ts";
import { dataPartition } from "./place.ts";
import { type FoundPart, makePool, openPool } from "./pool.ts";
import { chooseDataDisks, chooseInstallTarget, unusedInstall, wishesOf } from "./wishes.ts";

const LARGE_MIB = 1024;
const BOOT_MIB = 20;

/** A stick with a system on it, and an empty disk. */
class Bench implements AsyncDisposable {
  readonly disks = new FakeDisks();
  readonly stick = this.disks.add("sda", 64);
  readonly target = this.disks.add("sdb", LARGE_MIB);
  readonly table: PartitionTable = {
    diskId: crypto.randomUUID(),
    partitions: [{
      ...{ number: 1, type: PARTITION_TYPES.efiSystem, id: crypto.randomUUID(), name: BOOT_NAME },
      ...{ firstSector: 2048, lastSector: (BOOT_MIB + 1) * 2048 - 1 },
    }],
  };
  readonly system = crypto.getRandomValues(new Uint8Array(65536));

  static async open(): Promise<Bench> {
    const bench = new Bench();
    await writeTable(bench.stick.path, bench.table, bench.stick.sectors);
    using file = await Deno.open(bench.stick.path, { write: true });
    await writeAt(file, 2048 * 512, bench.system);
    return bench;
  }

  async install(options: Partial<InstallOptions> = {}): Promise<void> {
    const target = (await this.disks.look()).find(({ name }) => name === "sdb")!;
    const boot = { path: this.stick.path, table: this.table };
    await install(this.disks, { target, boot, sync() {}, log() {}, ...options });
  }

  async head({ path }: DiskRef, length: number): Promise<Uint8Array> {
    using file = await Deno.open(path);
    return await readAt(file, 2048 * 512, length);
  }

  async [Symbol.asyncDispose]() {
    await this.disks[Symbol.asyncDispose]();
  }
}

async function partsOf(disk: DiskRef): Promise<PartitionTable["partitions"]> {
  return (await readTable(disk.path, disk.sectors))?.partitions ?? [];
}

Deno.test("what is installed is the system that was booted, and an empty pool", async () => {
  await using bench = await Bench.open();
  const steps: number[] = [];
  await bench.install({ onProgress: (bytes, total) => steps.push(bytes / total) });
  assertEquals((await partsOf(bench.target)).map(({ name }) => name), [BOOT_NAME, DATA_NAME]);
  assertEquals(await bench.head(bench.target, bench.system.length), bench.system);
  assertEquals([steps.at(-1), steps.length > 1], [1, true]);
  assertEquals(steps.toSorted((a, b) => a - b), steps);
});

Deno.test("whenever the power goes, the disk is unfinished and the stick as it was", async () => {
  await using bench = await Bench.open();
  const before = await Deno.readFile(bench.stick.path);
  let steps = 0;
  const count = () => void steps++;
  bench.disks.before = count;
  await bench.install({ onProgress: count });
  assert(steps >= 10, `${steps}`);
  for (let cut = 0; cut < steps; cut++) {
    let step = 0;
    const cutNow = () => {
      if (step++ >= cut) throw new Error("the power has gone");
    };
    bench.disks.before = cutNow;
    await assertRejects(() => bench.install({ onProgress: cutNow }), Error, "the power has gone");
    const parts = await partsOf(bench.target);
    // The last step of all only has Linux look at what is finished.
    if (cut < steps - 1) {
      assertEquals(new Set(parts.map(({ name }) => name)), new Set([UNFINISHED_NAME]), `${cut}`);
      const none = new Uint8Array(4096);
      assertEquals(await bench.head(bench.target, 4096), none, "nothing can be booted");
    }
    assertEquals(await Deno.readFile(bench.stick.path), before);
    // What is left does not keep the next try from coming to its end.
    bench.disks.before = () => {};
    bench.disks.arrays.clear();
    await bench.install();
    assertEquals((await partsOf(bench.target)).map(({ name }) => name), [BOOT_NAME, DATA_NAME]);
  }
});

Deno.test("an installation that is given up leaves nothing that counts", async () => {
  await using bench = await Bench.open();
  const abort = new AbortController();
  const onProgress = () => abort.abort(new Error("It was cancelled"));
  await assertRejects(
    () => bench.install({ signal: abort.signal, onProgress }),
    Error,
    "cancelled",
  );
  const names = (await partsOf(bench.target)).map(({ name }) => name);
  assertEquals(names, [UNFINISHED_NAME, UNFINISHED_NAME]);
});

Deno.test("a disk with anything on it is used only where the settings allow it by its number", async () => {
  await using bench = await Bench.open();
  const { disks, target } = bench;
  const wish = (erase: boolean) => ({ disk: "SERIAL-sdb", erase });
  const choose = async (...wanted: ReturnType<typeof wish>[]) =>
    chooseDataDisks(await disks.look(), wanted, { boot: "sda" });
  assertEquals((await choose(wish(false)))[0].disk.name, "sdb");
  using file = await Deno.open(target.path, { write: true });
  await writeAt(file, 4096, new Uint8Array([1]));
  await assertRejects(() => choose(wish(false)), RangeError, "something is on it");
  const facts = await disks.look();
  assertThrows(
    () => chooseInstallTarget(facts, wish(false), { boot: "sda" }),
    RangeError,
    'Write { disk: "SERIAL-sdb", erase: true } if all of that may be lost',
  );
});

Deno.test("a disk that nobody has, or that two are called, is told", async () => {
  await using bench = await Bench.open();
  const { disks } = bench;
  const choose = async (...words: string[]) =>
    chooseDataDisks(await disks.look(), words.map((disk) => ({ disk, erase: true })), {
      boot: "sda",
    });
  await assertRejects(() => choose("NONE"), RangeError, "it has SERIAL-sda, SERIAL-sdb");
  await assertRejects(() => choose("SERIAL-sdb", "SERIAL-sdb"), RangeError, "is named twice");
  disks.add("sdc", 600, "SERIAL-sdb");
  await assertRejects(() => choose("SERIAL-sdb"), RangeError, "2 have that number");
});

Deno.test("what an installation was cut off on is used again without being asked for", async () => {
  await using bench = await Bench.open();
  bench.disks.before = (what) => {
    if (what.startsWith("mkfs")) throw new Error("it cannot be written to");
  };
  await assertRejects(() => bench.install());
  const [, sdb] = await bench.disks.look();
  assertEquals(sdb.isBlank, false);
  const wish = { disk: "SERIAL-sdb", erase: false };
  assertEquals(chooseInstallTarget([sdb], wish, { boot: "sda" }), sdb);
});

Deno.test("a disk that has been installed on is left alone the next time the stick is started", async () => {
  await using bench = await Bench.open();
  await bench.install();
  const facts = await bench.disks.look();
  const install = { disk: "SERIAL-sdb", erase: true };
  assertThrows(
    () => chooseInstallTarget(facts, install, { boot: "sda" }),
    RangeError,
    "it has a Denovisor's data on it",
  );
  assertEquals(unusedInstall(facts, wishesOf({ install })), null);
  const other = { disk: "SERIAL-sda", erase: true };
  assertThrows(
    () => chooseInstallTarget(facts, other, { boot: "sda" }),
    RangeError,
    "started from",
  );
  assert(unusedInstall(facts, wishesOf({ install: other }))?.includes("install from the console"));
});

/** The pool of settings that name two disks. */
async function mirrored(bench: Bench): Promise<FoundPart[]> {
  const { disks } = bench;
  disks.add("sdc", LARGE_MIB);
  const wanted = ["SERIAL-sdb", "SERIAL-sdc"].map((disk) => ({ disk, erase: false }));
  const chosen = chooseDataDisks(await disks.look(), wanted, { boot: "sda" });
  const parts = await Promise.all(chosen.map(({ part }) => part!()));
  await makePool(disks, parts, { sync() {}, log() {} });
  disks.arrays.clear();
  return (await disks.look()).flatMap((disk) => {
    const part = disk.table && dataPartition(disk.table);
    return part
      ? [{ disk, table: disk.table!, part, device: `/dev/${disk.name}${part.number}` }]
      : [];
  });
}

const opening = (others: FoundPart[]) => ({
  others: () => Promise.resolve(others),
  wait: <T>(find: () => Promise<T | undefined>) => find(),
  log() {},
});

Deno.test("settings that name two disks make a mirror, which is found again whole", async () => {
  await using bench = await Bench.open();
  const found = await mirrored(bench);
  assertEquals(found.map(({ part }) => part.name), ["denovisor-mirror", "denovisor-mirror"]);
  assertEquals(await openPool(bench.disks, found[1], opening(found)), {
    ...{ device: "/dev/md0", kind: "mirror" },
  });
  assertEquals(bench.disks.ran.at(-1), "mdadm --assemble /dev/md0 --run /dev/sdc1 /dev/sdb1");
});

Deno.test("a mirror with a disk missing begins without it", async () => {
  await using bench = await Bench.open();
  const [one] = await mirrored(bench);
  await openPool(bench.disks, one, opening([one]));
  assertEquals(bench.disks.ran.at(-1), "mdadm --assemble /dev/md0 --run /dev/sdb1");
});

Deno.test("half of a mirror is never mounted by itself", async () => {
  await using bench = await Bench.open();
  const found = await mirrored(bench);
  bench.disks.before = (what) => {
    if (what.includes("--assemble")) throw new Error("md is not there");
  };
  await assertRejects(
    () => openPool(bench.disks, found[0], opening(found)),
    Error,
    "md is not there",
  );
});
