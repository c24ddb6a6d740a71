/**
 * The host's storage on real disks, with Linux's md and XFS: what process 1 does, step by step.
 */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { readTool } from "../../bootimg/boot/children.ts";
import { LinuxDisks } from "../../bootimg/boot/disks.ts";
import { blockDevices } from "../../bootimg/boot/sysfs.ts";
import { readAt, readTable, writeAt, writeTable } from "../../bootimg/disk/disk_table.ts";
import { PARTITION_TYPES, type PartitionTable } from "../../bootimg/disk/gpt.ts";
import { BOOT_NAME, DATA_NAME, MIRROR_NAME } from "../../bootimg/disk/names.ts";
import { HostStorage, StorageRefusal } from "../../bootimg/storage/host_storage.ts";
import { dataPartition } from "../../bootimg/storage/place.ts";
import { arrayOf, type FoundPart, type OpenPool, openPool } from "../../bootimg/storage/pool.ts";
import { diskTools } from "../../scripts/setup/disk_tools.ts";
import { run } from "../../scripts/setup/command.ts";

const MIB = 2048;
const SECONDS = 180;
/** As an earlier release left it: the pool at the disk's end, and before it what was there already. */
const POOL_MIB = 600;
const BOOT_ID = "aaaaaaaa-2222-3333-4444-555555555555";
const DATA = "/mnt/storage-test";

const tools = `${await diskTools()}/usr/sbin`;
await run(["modprobe", "-a", "raid1", "xfs"]);

/** What process 1 has Linux tell it by uevents. */
async function until<T>(find: () => T | undefined | Promise<T | undefined>, limitMs: number) {
  const end = performance.now() + limitMs;
  while (true) {
    const found = await find();
    if (found !== undefined || performance.now() > end) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const disks = new LinuxDisks({
  until: (_, find, limitMs) => until(find, limitMs),
  scratch: "/mnt/storage-scratch",
  runTool: readTool,
  programs: {
    "mdadm": `${tools}/mdadm`,
    "mkfs.xfs": "/usr/sbin/mkfs.xfs",
    "blkid": "/usr/sbin/blkid",
    "smartctl": `${tools}/smartctl`,
  },
});

const sync = () => void new Deno.Command("sync").outputSync();
const device = (name: string) => blockDevices().find((it) => it.name === name)!;

/** The finished data partitions that there are. */
async function foundParts(): Promise<FoundPart[]> {
  const found: FoundPart[] = [];
  for (const disk of blockDevices().filter((it) => /^vd[b-z]$/.test(it.name))) {
    const table = await readTable(disk.path, disk.sectors).catch(() => null);
    const part = table && dataPartition(table);
    if (part) found.push({ disk, table, part, device: `${disk.path}${part.number}` });
  }
  return found;
}

/** What a start does, as far as disks go; `from` names the disk that it looks at first. */
async function start(from = "vdb"): Promise<{ pool: OpenPool; storage: HostStorage }> {
  const own = (await foundParts()).find(({ disk }) => disk.name === from)!;
  const pool = await openPool(disks, own, {
    others: foundParts,
    wait: (find) => until(find, 500),
    log: (text) => console.log(text),
  });
  await Deno.mkdir(DATA, { recursive: true });
  await run(["mount", "-t", "xfs", pool.device, DATA]);
  const storage = new HostStorage({
    ...{ ground: disks, pool, bootId: BOOT_ID, sync, log: (text: string) => console.log(text) },
    scrub: { file: null, timeZone: () => "UTC", schedule: () => "monthly" },
    keepSchedule() {},
    fill: (folder) => Deno.writeTextFileSync(`${folder}/settings`, "carried"),
    onAlarms: (told) => alarms = told,
  });
  return { pool, storage };
}

let alarms: string[] = [];

async function stop({ device }: OpenPool): Promise<void> {
  await run(["umount", DATA]);
  if (device === "/dev/md0") await disks.run("mdadm", ["--stop", device]);
}

/** The name now of a disk: one that was pulled may come back under another. */
async function named(storage: HostStorage, serial: string): Promise<string> {
  const { disks } = await storage.tell({ fresh: true });
  return disks.find((it) => it.serial === serial)!.name;
}

async function target(storage: HostStorage, serial: string) {
  const { disks } = await storage.tell({ fresh: true });
  const { name, confirm, revision } = disks.find((it) => it.serial === serial)!;
  return { disk: name, confirm, revision };
}

async function states(storage: HostStorage): Promise<string[]> {
  const { disks, pool } = await storage.tell();
  const serials = new Map(disks.map(({ name, serial }) => [name, serial]));
  return pool.members.map(({ disk, state }) => `${serials.get(disk ?? "")} ${state}`).sort();
}

async function inStep(storage: HostStorage): Promise<void> {
  const both = await until(async () => {
    const now = await states(storage);
    return now.join() === "scratch0 in-sync,scratch1 in-sync" ? true : undefined;
  }, SECONDS * 1000);
  assert(both, `${await states(storage)}`);
}

/** Takes a disk away; what comes back gives it back. */
function pull(name: string): () => Promise<void> {
  const id = Deno.realPathSync(`/sys/block/${name}/device`).split("/").at(-1)!;
  const driver = "/sys/bus/virtio/drivers/virtio_blk";
  Deno.writeTextFileSync(`${driver}/unbind`, id);
  const before = new Set(blockDevices().map((it) => it.disk));
  return async () => {
    Deno.writeTextFileSync(`${driver}/bind`, id);
    const isBack = () =>
      blockDevices().some((it) => !before.has(it.disk) && it.partition > 0) || undefined;
    assert(await until(isBack, 5000));
  };
}

const MARK = `${DATA}/mark`;

Deno.test("the pool goes through its life on real disks", async (t) => {
  await t.step(
    "what an earlier release made is made ready for a mirror, and keeps its files",
    async () => {
      const b = device("vdb");
      const filler = b.sectors - (POOL_MIB + 1) * MIB;
      const table: PartitionTable = {
        diskId: crypto.randomUUID(),
        partitions: [
          {
            ...{ number: 1, type: PARTITION_TYPES.efiSystem, id: BOOT_ID, name: BOOT_NAME },
            ...{ firstSector: MIB, lastSector: 17 * MIB - 1 },
          },
          {
            ...{
              number: 2,
              type: PARTITION_TYPES.basicData,
              id: crypto.randomUUID(),
              name: "else",
            },
            ...{ firstSector: 17 * MIB, lastSector: filler - 1 },
          },
          {
            ...{ number: 3, type: PARTITION_TYPES.linuxData, id: crypto.randomUUID() },
            ...{ name: DATA_NAME, firstSector: filler, lastSector: filler + POOL_MIB * MIB - 1 },
          },
        ],
      };
      await writeTable(b.path, table, b.sectors);
      const path = await disks.showPartition(b, 3);
      await run(["mkfs.xfs", "-q", "-f", "-m", "reflink=1", path]);
      await Deno.mkdir(DATA, { recursive: true });
      await run(["mount", path, DATA]);
      await Deno.writeTextFile(MARK, "of an earlier release");
      await run(["umount", DATA]);
      using boot = await Deno.open(b.path, { write: true });
      await writeAt(boot, MIB * 512, new TextEncoder().encode("the system"));
      const { pool } = await start();
      assertEquals(pool, { device: "/dev/md0", kind: "mirror" });
      assertEquals(await Deno.readTextFile(MARK), "of an earlier release");
      await stop(pool);
    },
  );

  await t.step("an earlier release can still read it", async () => {
    await run(["mount", "-t", "xfs", "/dev/vdb3", DATA]);
    assertEquals(await Deno.readTextFile(MARK), "of an earlier release");
    await run(["umount", DATA]);
  });

  await t.step("a second disk is added while the pool is used, and has it all", async () => {
    const { pool, storage } = await start();
    const { disks: [, b, c] } = await storage.tell();
    assertEquals([b.confirm, b.isBoot, b.isData, c.isBlank], ["scratch0", true, true, true]);
    await storage.mirror(await target(storage, "scratch1"));
    await Deno.writeTextFile(MARK, "written meanwhile");
    await inStep(storage);
    await storage.watch();
    assertEquals(alarms, []);
    await stop(pool);
    const names = (await foundParts()).map(({ part }) => part.name);
    assertEquals(names, [MIRROR_NAME, MIRROR_NAME]);
    // Read-only and without replaying a journal: the disk must not learn of it.
    await run(["mount", "-t", "xfs", "-o", "ro,norecovery", "/dev/vdc2", DATA]);
    assertEquals(await Deno.readTextFile(MARK), "written meanwhile");
    await run(["umount", DATA]);
    using copied = await Deno.open("/dev/vdc");
    const system = await readAt(copied, MIB * 512, 10);
    assertEquals(new TextDecoder().decode(system), "the system");
  });

  await t.step("a comparison finds what is not the same on both disks", async () => {
    const { pool, storage } = await start();
    await storage.scrub(true);
    assertEquals((await storage.tell()).pool.sync?.kind, "scrub");
    await assertRejects(() => storage.scrub(true), StorageRefusal, "a scrub is under way");
    const ended = () =>
      until(async () => {
        await storage.watch();
        const { pool: { sync, scrub } } = await storage.tell();
        return sync === null && scrub.last ? scrub.last : undefined;
      }, SECONDS * 1000);
    assertEquals((await ended())?.mismatchedSectors, 0);
    // Behind md's back, where no file is.
    const { part } = (await foundParts()).find(({ disk }) => disk.name === "vdc")!;
    {
      using raw = await Deno.open("/dev/vdc", { write: true });
      await writeAt(
        raw,
        (part.firstSector + POOL_MIB * MIB / 2) * 512,
        new Uint8Array(4096).fill(7),
      );
      await raw.sync();
    }
    await storage.scrub(true);
    await until(async () => (await storage.tell()).pool.sync ? undefined : true, SECONDS * 1000);
    assert((await ended())!.mismatchedSectors >= 8);
    await stop(pool);
  });

  await t.step(
    "a disk that is pulled raises an alarm, and is taken up again when it is back",
    async () => {
      const { pool, storage } = await start();
      const giveBack = pull(await named(storage, "scratch1"));
      await Deno.writeTextFile(MARK, "on one disk alone");
      sync();
      await until(async () => {
        await storage.watch();
        return alarms.length > 0 ? true : undefined;
      }, 20_000);
      assertMatch(alarms[0], /The data are on one disk alone: replace it/);
      assertEquals((await states(storage))[0], "scratch0 in-sync");
      await giveBack();
      await storage.mirror(await target(storage, "scratch1"));
      await inStep(storage);
      await storage.watch();
      assertEquals(alarms, []);
      await stop(pool);
    },
  );

  await t.step(
    "of two halves that differ, a start takes the newer, whichever it sees first",
    async () => {
      let older: string;
      {
        const { pool, storage } = await start();
        const giveBack = pull(await named(storage, "scratch1"));
        await Deno.writeTextFile(MARK, "newer");
        sync();
        const isOut = () =>
          arrayOf(disks)!.members.filter(({ state }) => state === "in-sync").length < 2 ||
          undefined;
        assert(await until(isOut, 5000));
        await stop(pool);
        await giveBack();
        older = (await foundParts()).map(({ disk }) => disk.name).find((it) => it !== "vdb")!;
      }
      const { pool, storage } = await start(older);
      assertEquals(await Deno.readTextFile(MARK), "newer");
      assertEquals(await states(storage), ["scratch0 in-sync", "undefined missing"]);
      const left = (await storage.tell()).disks.find(({ serial }) => serial === "scratch1");
      assertEquals([left?.isData, left?.inUse], [false, null]);
      await storage.mirror(await target(storage, "scratch1"));
      await inStep(storage);
      await stop(pool);
    },
  );

  await t.step("a disk that leaves the mirror is free, and the other goes on", async () => {
    const { pool, storage } = await start();
    await storage.unmirror({
      ...{ disk: await named(storage, "scratch1"), confirm: "scratch1" },
    });
    assertEquals(await states(storage), ["scratch0 in-sync"]);
    assertEquals((await foundParts()).map(({ part }) => part.name), [DATA_NAME]);
    assertEquals(await Deno.readTextFile(MARK), "newer");
    await stop(pool);
  });

  await t.step("another disk is installed on, while the pool is used", async () => {
    const { pool, storage } = await start();
    await storage.install(await target(storage, "scratch1"));
    await until(() => storage.installation?.state === "running" ? undefined : true, SECONDS * 1000);
    assertEquals([storage.installation?.state, storage.installation?.error], ["done", null]);
    assertEquals(await Deno.readTextFile(MARK), "newer");
    const c = (await storage.tell()).disks.find(({ serial }) => serial === "scratch1")!;
    assertEquals(c.partitions.map(({ name }) => name), [BOOT_NAME, DATA_NAME]);
    await stop(pool);
    const installed = await start(c.name);
    assertEquals(await Deno.readTextFile(`${DATA}/settings`), "carried");
    await stop(installed.pool);
  });
});
