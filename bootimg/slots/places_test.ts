import { assert, assertEquals } from "@std/assert";
import { encodeTable, type Partition, PARTITION_TYPES, type PartitionTable } from "../disk/gpt.ts";
import { BOOT_NAME, DATA_NAME } from "../disk/names.ts";
import {
  DATA_FIRST_SECTOR,
  loaderPartitions,
  MOST_IMAGE_SECTORS,
  SLOT_SECTORS,
  slotPartition,
  systemOf,
  withSlots,
} from "./places.ts";

const DISK_SECTORS = 8 * 1024 * 1024;
const boot: Partition = {
  number: 1,
  type: PARTITION_TYPES.efiSystem,
  id: "aaaaaaaa-2222-3333-4444-555555555555",
  name: BOOT_NAME,
  firstSector: 2048,
  lastSector: 131071,
};
const image: PartitionTable = {
  diskId: "11111111-2222-3333-4444-555555555555",
  partitions: [boot, ...loaderPartitions(() => crypto.randomUUID())],
};
const data: Partition = {
  ...boot,
  number: 2,
  id: crypto.randomUUID(),
  name: DATA_NAME,
  firstSector: DATA_FIRST_SECTOR,
  lastSector: DISK_SECTORS - 4096,
};

Deno.test("slots lie behind any image and before the data partition", () => {
  const table = withSlots({ ...image, partitions: [...image.partitions, data] }, DISK_SECTORS);
  const [a, b] = (["a", "b"] as const).map((it) => slotPartition(table, it)!);
  assert(a.firstSector >= MOST_IMAGE_SECTORS && a.lastSector < b.firstSector);
  assert(b.lastSector < DATA_FIRST_SECTOR);
  assertEquals(a.lastSector - a.firstSector + 1, SLOT_SECTORS);
  // Which throws where partitions overlap, or have one number.
  encodeTable(table, DISK_SECTORS);
});

Deno.test("slots are added once", () => {
  const table = withSlots(image, DISK_SECTORS);
  assertEquals(withSlots(table, DISK_SECTORS), table);
});

Deno.test("where something lies already there is no slot", () => {
  const early = { ...data, firstSector: 131072 };
  const table = { ...image, partitions: [...image.partitions, early] };
  assertEquals(slotPartition(withSlots(table, DISK_SECTORS), "a"), undefined);
  const other = { ...boot, number: 126, firstSector: 200_000, lastSector: 200_001 };
  const taken = withSlots({ ...image, partitions: [...image.partitions, other] }, DISK_SECTORS);
  assertEquals(taken.partitions.filter((it) => it.name.startsWith("denovisor-")).length, 5);
  assertEquals(slotPartition(taken, "b"), undefined);
});

Deno.test("a small disk, and one whose loader knows no slots, get none", () => {
  const small = 512 * 2048;
  assertEquals(withSlots(image, small).partitions.length, image.partitions.length);
  const old = { ...image, partitions: [boot] };
  assertEquals(withSlots(old, DISK_SECTORS), old);
});

Deno.test("the partition that was started from tells which system runs", () => {
  const table = withSlots(image, DISK_SECTORS);
  assertEquals(systemOf(table, boot.id), "image");
  assertEquals(systemOf(table, slotPartition(table, "b")!.id), "b");
  assertEquals(systemOf(table, crypto.randomUUID()), null);
  assertEquals(systemOf(table, null), null);
});
