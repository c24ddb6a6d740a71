import { assertEquals } from "@std/assert";
import { writeTable } from "../disk/disk_table.ts";
import { SECTOR_BYTES } from "../disk/gpt.ts";
import { FakeDisks } from "../testing/fake_disks.ts";
import { makeSystemDisk, SYSTEM_DISK_SECTORS } from "../testing/system_disk.ts";
import { findSystemDisks } from "./find_disks.ts";

const MIB = SYSTEM_DISK_SECTORS * SECTOR_BYTES / 2 ** 20;

Deno.test("an update is for the disk that was started from, and for the other one of its mirror", async () => {
  await using disks = new FakeDisks();
  const made: Awaited<ReturnType<typeof makeSystemDisk>>[] = [];
  for (const name of ["sda", "sdb", "sdc"]) {
    made.push(await makeSystemDisk(disks.add(name, MIB).path));
  }
  const bootId = (i: number) => made[i].table.partitions.find(({ number }) => number === 1)!.id;
  const found = async (from: number) =>
    (await findSystemDisks(disks, bootId(from))).map(({ path }) => path.slice(-3));
  assertEquals(await found(1), ["sdb"], "there is no mirror");

  await disks.run("mdadm", ["--create", "/dev/md0", "/dev/sda2", "/dev/sdb2"]);
  assertEquals(await found(0), ["sda", "sdb"]);
  assertEquals(await found(1), ["sdb", "sda"]);
  assertEquals(await found(2), ["sdc"], "it was left out, and says nothing of the others");

  const { path, sectors, table } = made[1];
  const partitions = table.partitions.filter(({ number }) => number < 100);
  await writeTable(path, { ...table, partitions }, sectors);
  assertEquals(await found(0), ["sda"], "the other is for data alone");
  assertEquals(await found(1), [], "it has no slots");
  disks.pull("sdb");
  assertEquals(await found(0), ["sda"]);
});
