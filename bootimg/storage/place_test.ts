import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { encodeTable, PARTITION_TYPES, type PartitionTable, usableRange } from "../disk/gpt.ts";
import { BOOT_NAME, DATA_NAME, MIRROR_NAME, SLOT_NAMES, UNFINISHED_NAME } from "../disk/names.ts";
import {
  DATA_FIRST_SECTOR,
  loaderPartitions,
  NUMBERS,
  SLOT_SECTORS,
  slotPartition,
  withSlots,
} from "../slots/places.ts";
import {
  dataPartition,
  keptData,
  MIN_DATA_SECTORS,
  planData,
  planDisk,
  RECORD_SECTORS,
  renameData,
  widenForRecord,
} from "./place.ts";

const MIB = 2048;
const DISK_SECTORS = 8 * 1024 * MIB;

function table(...boots: [name: string, mib: number][]): PartitionTable {
  let next = MIB;
  return {
    diskId: "11111111-2222-3333-4444-555555555555",
    partitions: boots.map(([name, mib], i) => {
      const firstSector = next;
      next += mib * MIB;
      const [type, id] = [PARTITION_TYPES.efiSystem, crypto.randomUUID()];
      return { number: i + 1, type, id, name, firstSector, lastSector: next - 1 };
    }),
  };
}

Deno.test("a disk that is installed on has all boot partitions and the pool behind them", () => {
  const source = table([BOOT_NAME, 64], ["else", 10], [`${BOOT_NAME}-b`, 64]);
  const { unfinished, finished, copies, data } = planDisk(DISK_SECTORS, { source });
  assertEquals(finished.partitions.map(({ name }) => name), [
    BOOT_NAME,
    `${BOOT_NAME}-b`,
    DATA_NAME,
  ]);
  assertEquals(copies, [
    { fromSector: MIB, toSector: MIB, sectors: 64 * MIB },
    { fromSector: 75 * MIB, toSector: 65 * MIB, sectors: 64 * MIB },
  ]);
  assertEquals(data.firstSector, DATA_FIRST_SECTOR);
  const ids = [...source.partitions, ...finished.partitions].map(({ id }) => id);
  assertEquals(new Set(ids).size, ids.length, "no partition is taken for another disk's");
  assertEquals(new Set(unfinished.partitions.map(({ name }) => name)), new Set([UNFINISHED_NAME]));
  const kinds = unfinished.partitions.map(({ type }) => type);
  assert(!kinds.includes(PARTITION_TYPES.efiSystem), "firmware looks for nothing in it");
});

Deno.test("a disk that is installed on has the loader and the systems of the one that was booted from", () => {
  const image = table([BOOT_NAME, 64]);
  const partitions = [...image.partitions, ...loaderPartitions(() => crypto.randomUUID())];
  const source = withSlots({ ...image, partitions }, DISK_SECTORS);
  const { unfinished, finished, copies, data } = planDisk(DISK_SECTORS, { source });
  encodeTable(unfinished, DISK_SECTORS);
  encodeTable(finished, DISK_SECTORS);
  assertEquals(data.firstSector, DATA_FIRST_SECTOR);
  for (const { number, name, firstSector } of source.partitions) {
    const copy = finished.partitions.find((it) => it.number === number)!;
    assertEquals([copy.name, copy.firstSector], [name, firstSector]);
    assert(copies.some((it) => it.fromSector === firstSector && it.toSector === firstSector), name);
  }
  assertEquals(copies.at(-1)?.sectors, SLOT_SECTORS);
  const names = unfinished.partitions.map(({ name }) => name);
  assert(!names.includes(SLOT_NAMES.a), "nothing of it can be started before all is there");
});

Deno.test("a disk without room for slots has the image's system alone", () => {
  const image = table([BOOT_NAME, 64]);
  const partitions = [...image.partitions, ...loaderPartitions(() => crypto.randomUUID())];
  const { finished, copies } = planDisk(700 * MIB, {
    source: withSlots({ ...image, partitions }, DISK_SECTORS),
  });
  assertEquals(slotPartition(finished, "a"), undefined);
  assert(finished.partitions.some(({ number }) => number === NUMBERS.state));
  assertEquals(copies.length, 3);
});

Deno.test("a plan for any disk is a table that can be written, or says what is missing", () => {
  const boots = fc.array(fc.integer({ min: 1, max: 400 }), { maxLength: 3 });
  fc.assert(fc.property(boots, fc.integer({ min: 100, max: 4 * 1024 * MIB }), (sizes, sectors) => {
    const source = table(...sizes.map((mib): [string, number] => [BOOT_NAME, mib]));
    try {
      const { unfinished, finished, data } = planDisk(sectors, { source });
      encodeTable(unfinished, sectors);
      encodeTable(finished, sectors);
      assert(data.lastSector - data.firstSector + 1 >= MIN_DATA_SECTORS);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      assert(/use a larger disk|Cannot place/.test(error.message), error.message);
    }
  }));
});

Deno.test("a mirror's other half is as large as the first, without room to boot if need be", () => {
  const source = table([BOOT_NAME, 64]);
  const own = dataPartition(renameData(planData(source, DISK_SECTORS), DATA_NAME));
  assertEquals(own, undefined, "what is unfinished is no data partition");
  const part = planData(source, DISK_SECTORS).partitions[1];
  const needed = part.lastSector - part.firstSector + 1;
  const same = planDisk(DISK_SECTORS, { source, needed, dataName: MIRROR_NAME });
  assertEquals([same.data.firstSector, same.copies.length], [part.firstSector, 1]);
  const smaller = DISK_SECTORS - 950 * MIB;
  const lower = planDisk(smaller, { source, needed, dataName: MIRROR_NAME });
  assertEquals([lower.data.firstSector < DATA_FIRST_SECTOR, lower.copies.length], [true, 1]);
  const options = { source, needed, mayLackBoot: true };
  const bare = planDisk(DISK_SECTORS - 1022 * MIB, options);
  assertEquals([bare.data.firstSector, bare.copies.length], [MIB, 0]);
  assertThrows(
    () => planDisk(DISK_SECTORS - 1024 * MIB, options),
    RangeError,
    "MiB of it are for data",
  );
});

Deno.test("md's record goes behind a data partition where there is room", () => {
  fc.assert(fc.property(fc.integer({ min: 4 * 1024 * MIB, max: 5 * 1024 * MIB }), (sectors) => {
    const plain = planData(table([BOOT_NAME, 64]), sectors);
    const named = {
      ...plain,
      partitions: plain.partitions.map((it) => it.number === 2 ? { ...it, name: DATA_NAME } : it),
    };
    const before = dataPartition(named)!;
    const wide = widenForRecord(named, sectors);
    if (wide === null) {
      assert(usableRange(sectors).lastSector - before.lastSector < RECORD_SECTORS + 8);
      return;
    }
    encodeTable(wide, sectors);
    const after = dataPartition(wide)!;
    assertEquals(after.firstSector, before.firstSector);
    assert(after.lastSector - before.lastSector >= RECORD_SECTORS);
    assertEquals(widenForRecord(wide, sectors), null, "once is enough");
  }));
});

Deno.test("one half of a mirror is taken up too after a newer image was written", () => {
  const source = table([BOOT_NAME, 64]);
  const mirror = planDisk(DISK_SECTORS, { source, dataName: MIRROR_NAME }).finished;
  assertEquals(keptData(source, mirror)?.name, MIRROR_NAME);
  assertEquals(keptData(source, planDisk(DISK_SECTORS, { source }).unfinished), null);
});
