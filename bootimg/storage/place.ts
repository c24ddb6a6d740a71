/**
 * Where boot and data partitions go on a disk: tables of partitions, before and after.
 *
 * @module
 */
import {
  ALIGNMENT_SECTORS,
  freeNumber,
  freeTail,
  type Partition,
  PARTITION_TYPES,
  type PartitionTable,
  SECTOR_BYTES,
  usableRange,
} from "../disk/gpt.ts";
import {
  BOOT_NAME,
  DATA_NAME,
  isBootName,
  isDataName,
  MIRROR_NAME,
  STATE_NAME,
  UNFINISHED_NAME,
} from "../disk/names.ts";
import { DATA_FIRST_SECTOR, loaderPartitions, NUMBERS, withSlots } from "../slots/places.ts";

/** The least that XFS and one small guest need. */
export const MIN_DATA_SECTORS = 512 * 1024 * 1024 / SECTOR_BYTES;

/** The disk that this system was booted from: by the partition's id that the firmware's loader told. */
export function findBoot<T extends { table: PartitionTable }>(
  disks: readonly T[],
  bootId: string | null,
): T | undefined {
  const boots = disks.filter((it) => it.table.partitions.some((part) => part.name === BOOT_NAME));
  return boots.find((it) => it.table.partitions.some((part) => part.id === bootId)) ?? boots[0];
}

/** The finished data partition of a table. */
export function dataPartition(table: PartitionTable): Partition | undefined {
  return table.partitions.find(({ name }) => isDataName(name));
}

/** The data partition that `old` tells of, as it fits into the new table; null if it does not. */
export function keptData(table: PartitionTable, old: PartitionTable | null): Partition | null {
  const part = old && dataPartition(old);
  const end = Math.max(0, ...table.partitions.map((it) => it.lastSector + 1));
  if (!part || part.firstSector < end) return null;
  return { ...part, number: freeNumber(table) };
}

/**
 * The table with the unfinished data partition in it, whose room is what is left behind all others, and
 * with slots for newer systems where there is room before it.
 */
export function planData(table: PartitionTable, diskSectors: number): PartitionTable {
  const others = table.partitions.filter((it) => it.name !== UNFINISHED_NAME);
  const rest = { ...table, partitions: others };
  const behind = freeTail(rest, diskSectors);
  const isLarge = behind !== null &&
    behind.lastSector - DATA_FIRST_SECTOR + 1 >= MIN_DATA_SECTORS;
  const room = isLarge
    ? { ...behind, firstSector: Math.max(behind.firstSector, DATA_FIRST_SECTOR) }
    : behind;
  const size = room ? room.lastSector - room.firstSector + 1 : 0;
  if (!room || size < MIN_DATA_SECTORS) {
    throw new RangeError(
      `Cannot make the data partition: ${mib(size)} MiB are free behind the last partition, but ${
        mib(MIN_DATA_SECTORS)
      } are needed; use a larger disk`,
    );
  }
  const added = {
    number: freeNumber(rest),
    type: PARTITION_TYPES.linuxData,
    id: crypto.randomUUID(),
    name: UNFINISHED_NAME,
    ...room,
  };
  return withSlots({ ...rest, partitions: [...others, added] }, diskSectors);
}

/** A copy of a boot partition, of a slot or of the loader's own: from where on one disk to where on the other. */
export interface BootCopy {
  fromSector: number;
  toSector: number;
  sectors: number;
}

/** What is to become of a whole disk. */
export interface DiskPlan {
  /** What holds while it is made: nothing in it can be booted or taken for data. */
  unfinished: PartitionTable;
  /** The same partitions with their names and kinds; not for a data partition of a mirror. */
  finished: PartitionTable;
  copies: BootCopy[];
  /** The data partition. */
  data: Partition;
}

/**
 * Lays a whole disk out: copies of the boot partitions of `source` and of all that its loader needs, where
 * there is one, and the data partition, of `needed` sectors at least, in all the room behind. Where both have no room, and
 * `mayLackBoot`, the disk is for data alone.
 */
export function planDisk(
  diskSectors: number,
  options: {
    source: PartitionTable | null;
    needed?: number;
    mayLackBoot?: boolean;
    dataName?: typeof DATA_NAME | typeof MIRROR_NAME;
  },
): DiskPlan {
  const { source, needed = MIN_DATA_SECTORS, mayLackBoot = false, dataName = DATA_NAME } = options;
  const boots = (source?.partitions ?? []).filter(({ name }) => isBootName(name))
    .sort((a, b) => a.firstSector - b.firstSector);
  const end = Math.floor((usableRange(diskSectors).lastSector + 1) / ALIGNMENT_SECTORS) *
    ALIGNMENT_SECTORS;
  let next = ALIGNMENT_SECTORS;
  const placed = boots.map((part) => {
    const size = part.lastSector - part.firstSector + 1;
    const firstSector = next;
    next = aligned(firstSector + size);
    return { part, firstSector, lastSector: firstSector + size - 1 };
  });
  const first = [Math.max(next, DATA_FIRST_SECTOR), next].find((at) => end - at >= needed);
  if (first === undefined) {
    if (boots.length > 0 && mayLackBoot) return planDisk(diskSectors, { ...options, source: null });
    throw new RangeError(
      `Cannot use the disk: ${mib(Math.max(0, end - next))} MiB of it are for data, but ${
        mib(needed)
      } are needed; use a larger disk`,
    );
  }
  const bootPartitions = placed.map(({ part, firstSector, lastSector }, i): Partition => ({
    ...part,
    number: i + 1,
    // The loader tells by this id which disk it is that was booted from.
    id: crypto.randomUUID(),
    firstSector,
    lastSector,
  }));
  const data: Partition = {
    number: boots.length + 1,
    type: PARTITION_TYPES.linuxData,
    id: crypto.randomUUID(),
    name: dataName,
    firstSector: first,
    lastSector: end - 1,
  };
  const hasLoader = source?.partitions.some(({ name }) => name === STATE_NAME) ?? false;
  const loader = hasLoader && boots.length > 0 ? loaderPartitions(() => crypto.randomUUID()) : [];
  const finished = withSlots({
    diskId: crypto.randomUUID(),
    partitions: [...bootPartitions, data, ...loader],
  }, diskSectors);
  const partitions = finished.partitions.map((it) => ({
    ...it,
    type: PARTITION_TYPES.linuxData,
    name: UNFINISHED_NAME,
  }));
  return {
    unfinished: { ...finished, partitions },
    finished,
    copies: [
      ...placed.map(({ part, firstSector }) => copyOf(part, firstSector)),
      ...loaderCopies(source, finished),
    ],
    data,
  };
}

/** Copies of what the loader needs beside the boot partition: each has its number on every disk. */
function loaderCopies(source: PartitionTable | null, target: PartitionTable): BootCopy[] {
  return [NUMBERS.bios, NUMBERS.state, NUMBERS.a, NUMBERS.b].flatMap((number) => {
    const [from, to] = [source, target].map((table) =>
      table?.partitions.find((it) => it.number === number)
    );
    return from && to && from.name === to.name ? [copyOf(from, to.firstSector)] : [];
  });
}

function copyOf({ firstSector, lastSector }: Partition, toSector: number): BootCopy {
  return { fromSector: firstSector, toSector, sectors: lastSector - firstSector + 1 };
}

/** The same table with another name for the data partition. */
export function renameData(
  table: PartitionTable,
  name: typeof DATA_NAME | typeof MIRROR_NAME | typeof UNFINISHED_NAME,
): PartitionTable {
  const partitions = table.partitions.map((it) => isDataName(it.name) ? { ...it, name } : it);
  return { ...table, partitions };
}

/**
 * What md keeps at the end of a partition: its record, a list of bad blocks and a map of what is being
 * written. mdadm takes less; whole MiB keep partitions aligned.
 */
export const RECORD_SECTORS = 1024;

/**
 * The table in which the data partition reaches to the end of what is free behind it, where that is
 * enough for md's record; null where it is not.
 */
export function widenForRecord(table: PartitionTable, diskSectors: number): PartitionTable | null {
  const part = dataPartition(table);
  if (!part) return null;
  const others = table.partitions.filter((it) => it !== part);
  const next = Math.min(
    usableRange(diskSectors).lastSector + 1,
    ...others.map(({ firstSector }) => firstSector).filter((it) => it > part.lastSector),
  );
  // Whole pages, since the file system's blocks end on one.
  const lastSector = part.firstSector + Math.floor((next - part.firstSector) / 8) * 8 - 1;
  if (lastSector - part.lastSector < RECORD_SECTORS) return null;
  return {
    ...table,
    partitions: table.partitions.map((it) => it === part ? { ...part, lastSector } : it),
  };
}

function aligned(sector: number): number {
  return Math.ceil(sector / ALIGNMENT_SECTORS) * ALIGNMENT_SECTORS;
}

function mib(sectors: number): number {
  return Math.floor(sectors / ALIGNMENT_SECTORS);
}
