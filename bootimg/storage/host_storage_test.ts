import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import type { DiskTarget, HostStorage as Told } from "../../hypervisor/supervisor/api/schemas.ts";
import { readAt, readTable, writeTable } from "../disk/disk_table.ts";
import { PARTITION_TYPES, type PartitionTable } from "../disk/gpt.ts";
import { BOOT_NAME, DATA_NAME, MIRROR_NAME, UNFINISHED_NAME } from "../disk/names.ts";
import { FakeDisks } from "../testing/fake_disks.ts";
import type { DiskRef } from "./ground.ts";
import { HostStorage, StorageRefusal } from "./host_storage.ts";
import { planData } from "./place.ts";
import { makePool } from "./pool.ts";

const BOOT_ID = "aaaaaaaa-2222-3333-4444-555555555555";
const LARGE_MIB = 2048;

function imageTable(): PartitionTable {
  return {
    diskId: crypto.randomUUID(),
    partitions: [{
      ...{ number: 1, type: PARTITION_TYPES.efiSystem, id: BOOT_ID, name: BOOT_NAME },
      ...{ firstSector: 2048, lastSector: 8191 },
    }],
  };
}

/** A host that was booted from sda, with its pool there too, and what else a test adds. */
class Host implements AsyncDisposable {
  readonly disks = new FakeDisks();
  readonly alarms: string[][] = [];
  readonly kept: string[] = [];
  now = Date.parse("2026-05-06T12:00:00Z");
  storage!: HostStorage;

  static async start(): Promise<Host> {
    const host = new Host();
    const sda = host.disks.add("sda", LARGE_MIB);
    await writeTable(sda.path, imageTable(), sda.sectors);
    {
      using file = await Deno.open(sda.path, { write: true });
      await file.seek(2048 * 512, Deno.SeekMode.Start);
      await file.write(new TextEncoder().encode("the system"));
    }
    const unfinished = planData((await readTable(sda.path, sda.sectors))!, sda.sectors);
    const number = 2;
    const partitions = unfinished.partitions.map((it) =>
      it.number === number ? { ...it, name: DATA_NAME } : it
    );
    const part = { disk: sda, unfinished, finished: { ...unfinished, partitions }, number };
    const pool = await makePool(host.disks, [part], { sync() {}, log() {} });
    host.storage = new HostStorage({
      ...{ ground: host.disks, pool, bootId: BOOT_ID, sync() {}, log() {} },
      scrub: { file: null, timeZone: () => "UTC", schedule: () => "monthly" },
      keepSchedule: (schedule) => host.kept.push(schedule),
      fill: (folder) => Deno.writeTextFileSync(`${folder}/carried`, ""),
      onAlarms: (alarms) => host.alarms.push(alarms),
      now: () => host.now,
    });
    return host;
  }

  async target(name: string): Promise<DiskTarget> {
    const { disks } = await this.storage.tell();
    const { confirm, revision } = disks.find((it) => it.name === name)!;
    return { disk: name, confirm, revision };
  }

  async [Symbol.asyncDispose]() {
    await this.disks[Symbol.asyncDispose]();
  }
}

const states = ({ pool }: Told) => pool.members.map(({ disk, state }) => `${disk} ${state}`);
const namesOn = async ({ path, sectors }: DiskRef) =>
  (await readTable(path, sectors))!.partitions.map(({ name }) => name);

Deno.test("a host's disks are told with what is on them and what they are for", async () => {
  await using host = await Host.start();
  host.disks.add("sdb", 100);
  const { disks: [a, b], pool, alarms } = await host.storage.tell();
  assertEquals([a.isBoot, a.isData, a.isBlank, a.confirm], [true, true, false, "SERIAL-sda"]);
  assertEquals(a.partitions.map(({ name }) => name), [BOOT_NAME, DATA_NAME]);
  assertEquals(a.inUse, "The data of this host are on it");
  assertEquals([b.isBoot, b.isData, b.isBlank, b.inUse], [false, false, true, null]);
  assertEquals([pool.kind, pool.refusal, alarms], ["mirror", null, []]);
});

Deno.test("a disk is added to the pool, boots too, and is brought in step", async () => {
  await using host = await Host.start();
  const sdb = host.disks.add("sdb", LARGE_MIB);
  const told = await host.storage.mirror(await host.target("sdb"));
  assertEquals(states(told), ["sda in-sync", "sdb rebuilding"]);
  assertEquals([told.pool.sync?.kind, told.alarms], ["rebuild", []]);
  assertEquals(await namesOn(sdb), [BOOT_NAME, MIRROR_NAME]);
  const table = (await readTable(sdb.path, sdb.sectors))!;
  assert(table.partitions[0].id !== BOOT_ID, "the two disks can be told apart");
  assertEquals(table.partitions[0].type, PARTITION_TYPES.efiSystem);
  const [a] = await host.disks.look();
  assertEquals(await namesOn(a), [BOOT_NAME, MIRROR_NAME]);
  using file = await Deno.open(sdb.path);
  assertEquals(new TextDecoder().decode(await readAt(file, 2048 * 512, 10)), "the system");
  host.disks.settle();
  const after = await host.storage.tell();
  assertEquals(states(after), ["sda in-sync", "sdb in-sync"]);
  assertEquals(after.pool.refusal, "It is on two disks already");
});

Deno.test("a disk that fails raises an alarm, and another takes its place", async () => {
  await using host = await Host.start();
  host.disks.add("sdb", LARGE_MIB);
  await host.storage.mirror(await host.target("sdb"));
  host.disks.settle();
  await host.storage.watch();
  assertEquals(host.alarms, []);
  host.disks.pull("sdb");
  await host.storage.watch();
  assertMatch(host.alarms[0][0], /has failed\. The data are on one disk alone: replace it/);
  host.disks.add("sdc", LARGE_MIB);
  const told = await host.storage.mirror(await host.target("sdc"));
  assertEquals(states(told), ["sda in-sync", "sdc rebuilding"]);
  host.disks.settle();
  await host.storage.watch();
  assertEquals(host.alarms.at(-1), []);
});

Deno.test("a disk is taken out of the mirror, but never the only one with all data", async () => {
  await using host = await Host.start();
  const sdb = host.disks.add("sdb", LARGE_MIB);
  await host.storage.mirror(await host.target("sdb"));
  const out = (disk: string) => host.storage.unmirror({ disk, confirm: `SERIAL-${disk}` });
  await assertRejects(() => out("sda"), StorageRefusal, "no other has all of the data");
  host.disks.settle();
  await assertRejects(
    () => host.storage.unmirror({ disk: "sdb", confirm: "SERIAL-sda" }),
    StorageRefusal,
    "it is another disk than was listed",
  );
  assertEquals(states(await out("sdb")), ["sda in-sync"]);
  assertEquals(await namesOn(sdb), [BOOT_NAME, UNFINISHED_NAME]);
  const [a] = await host.disks.look();
  assertEquals(await namesOn(a), [BOOT_NAME, DATA_NAME]);
});

Deno.test("no disk is written over that is not the one that was looked at", async () => {
  await using host = await Host.start();
  const sdb = host.disks.add("sdb", LARGE_MIB);
  const before = await host.target("sdb");
  const refused = async (target: DiskTarget, why: string) => {
    for (const what of ["mirror", "install"] as const) {
      await assertRejects(() => host.storage[what](target), StorageRefusal, why);
    }
  };
  await refused({ ...before, confirm: "OTHER" }, "its serial number is SERIAL-sdb, not OTHER");
  await refused({ ...before, disk: "sdx" }, "there is none of that name now");
  await refused({ ...await host.target("sda") }, "The data of this host are on it");
  await writeTable(sdb.path, imageTable(), sdb.sectors);
  await refused(before, "it has changed since it was listed");
  host.disks.mounted.set("sdb1", "/mnt");
  await refused(await host.target("sdb"), "sdb1 is mounted on /mnt");
  assertEquals(await namesOn(sdb), [BOOT_NAME], "nothing was done to it");
});

Deno.test("a disk that is too small for the pool is refused before anything is lost", async () => {
  await using host = await Host.start();
  const sdb = host.disks.add("sdb", 900);
  await writeTable(sdb.path, imageTable(), sdb.sectors);
  const target = await host.target("sdb");
  await assertRejects(() => host.storage.mirror(target), StorageRefusal, "smaller than the pool");
  assertEquals(await namesOn(sdb), [BOOT_NAME]);
});

Deno.test("an installation goes on by itself, tells how far it is, and carries settings over", async () => {
  await using host = await Host.start();
  const sdb = host.disks.add("sdb", LARGE_MIB);
  const told = await host.storage.install(await host.target("sdb"));
  assertEquals(told.installation?.disk, "sdb");
  while (host.storage.installation?.state === "running") {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assertEquals(host.storage.installation?.error, null);
  assertEquals(host.storage.installation?.state, "done");
  assertEquals(await namesOn(sdb), [BOOT_NAME, DATA_NAME]);
  assert((await Deno.stat(`${host.disks.folder}/mounted/carried`)).isFile);
  assertEquals([...host.disks.arrays.keys()], ["md0"], "the new pool was let go of");
});

Deno.test("only one thing is done to disks at a time", async () => {
  await using host = await Host.start();
  host.disks.add("sdb", LARGE_MIB);
  host.disks.add("sdc", LARGE_MIB);
  const [b, c] = [await host.target("sdb"), await host.target("sdc")];
  await host.storage.install(b);
  await assertRejects(
    () => host.storage.mirror(c),
    StorageRefusal,
    "Cannot do this now: An installation is under way",
  );
  while (host.storage.installation?.state === "running") {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assertEquals(states(await host.storage.mirror(c)), ["sda in-sync", "sdc rebuilding"]);
});

Deno.test("the disks are compared once a month at night, slowly, and never by one alone", async () => {
  await using host = await Host.start();
  const night = () => host.now = Date.parse("2026-06-20T02:30:00Z");
  const compared = () => host.disks.wrote.filter((it) => it === "sync_action check").length;
  night();
  await host.storage.watch();
  assertEquals(compared(), 0, "there is one disk");
  host.disks.add("sdb", LARGE_MIB);
  await host.storage.mirror(await host.target("sdb"));
  await host.storage.watch();
  assertEquals(compared(), 0, "it is being brought in step");
  host.disks.settle();
  await host.storage.watch();
  assertEquals(compared(), 1);
  assertEquals(host.disks.wrote[0], "sync_speed_max 61440");
  assertEquals((await host.storage.tell()).pool.sync?.kind, "scrub");
  host.disks.settle();
  await host.storage.watch();
  const { pool: { scrub } } = await host.storage.tell();
  assertEquals(scrub.last, { at: "2026-06-20T02:30:00.000Z", mismatchedSectors: 0 });
  assertEquals(scrub.nextAt, "2026-07-18T02:30:00.000Z");
  assertEquals(host.disks.wrote.at(-1), "sync_speed_max system");
  await host.storage.watch();
  assertEquals(compared(), 1, "once is enough");
});
