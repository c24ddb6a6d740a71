/**
 * Where on the disk the loader and the systems lie.
 *
 * @module
 */
import {
  ALIGNMENT_SECTORS,
  HEAD_SECTORS,
  type Partition,
  PARTITION_TYPES,
  type PartitionTable,
  usableRange,
} from "../disk/gpt.ts";
import { BIOS_NAME, BOOT_NAME, SLOT_NAMES, STATE_NAME } from "../disk/names.ts";
import type { SlotName, SystemName } from "./boot_state.ts";

const MIB_SECTORS = 1024 * 1024 / 512;

/**
 * The numbers of partitions that the loader's program knows. They are high, so that those of other
 * partitions are what they would be without them.
 */
export const NUMBERS = { boot: 1, a: 125, b: 126, state: 127, bios: 128 } as const;

/** What a BIOS loads, between the table and the first aligned partition. */
export const BIOS_CORE_SECTOR = HEAD_SECTORS;
/** The last 4 KiB before the first aligned partition, which any disk writes on their own. */
export const STATE_SECTOR = ALIGNMENT_SECTORS - 8;

/** How large a slot is. */
export const SLOT_SECTORS = 256 * MIB_SECTORS;
/** Behind any image, and before the data partition. */
const SLOT_FIRST_SECTORS: Readonly<Record<SlotName, number>> = {
  a: 256 * MIB_SECTORS,
  b: 512 * MIB_SECTORS,
};
/**
 * Where the data partition begins at the earliest, if the disk is large enough: what is written to
 * the disk's beginning later, a newer and larger image, must not reach it.
 */
export const DATA_FIRST_SECTOR = 1024 * MIB_SECTORS;
/** An image may not be larger: what is written over a disk must leave the slots alone. */
export const MOST_IMAGE_SECTORS = SLOT_FIRST_SECTORS.a;

/** The partitions of an image beside the boot partition; `id` makes ids for them by name. */
export function loaderPartitions(id: (name: string) => string): Partition[] {
  return [
    {
      number: NUMBERS.bios,
      type: PARTITION_TYPES.biosBoot,
      id: id(BIOS_NAME),
      name: BIOS_NAME,
      firstSector: BIOS_CORE_SECTOR,
      lastSector: STATE_SECTOR - 1,
    },
    {
      number: NUMBERS.state,
      type: PARTITION_TYPES.linuxReserved,
      id: id(STATE_NAME),
      name: STATE_NAME,
      firstSector: STATE_SECTOR,
      lastSector: ALIGNMENT_SECTORS - 1,
    },
  ];
}

/**
 * The table with the slots in it that it lacks; as it is where their place is taken, as on a disk that
 * is too small for them, or where the loader is one of before there were slots.
 */
export function withSlots(table: PartitionTable, diskSectors: number): PartitionTable {
  const hasLoader = table.partitions.some((it) => it.name === STATE_NAME);
  if (!hasLoader) return table;
  const last = usableRange(diskSectors).lastSector;
  const partitions = [...table.partitions];
  for (const slot of ["a", "b"] as const) {
    const firstSector = SLOT_FIRST_SECTORS[slot];
    const lastSector = firstSector + SLOT_SECTORS - 1;
    const isTaken = lastSector > last ||
      table.partitions.some((it) =>
        it.number === NUMBERS[slot] || it.name === SLOT_NAMES[slot] ||
        it.firstSector <= lastSector && it.lastSector >= firstSector
      );
    if (isTaken) continue;
    partitions.push({
      number: NUMBERS[slot],
      type: PARTITION_TYPES.linuxReserved,
      id: crypto.randomUUID(),
      name: SLOT_NAMES[slot],
      firstSector,
      lastSector,
    });
  }
  return { ...table, partitions: partitions.sort((a, b) => a.number - b.number) };
}

/** The partition of a slot, as the loader finds it; undefined if the disk has none. */
export function slotPartition(table: PartitionTable, slot: SlotName): Partition | undefined {
  return table.partitions.find((it) => it.number === NUMBERS[slot] && it.name === SLOT_NAMES[slot]);
}

/** Which of the disk's systems was started from the partition with this id; null if none was. */
export function systemOf(table: PartitionTable, partitionId: string | null): SystemName | null {
  const part = table.partitions.find((it) => it.id === partitionId);
  if (part?.name === BOOT_NAME) return "image";
  return (["a", "b"] as const).find((it) => part?.name === SLOT_NAMES[it]) ?? null;
}
