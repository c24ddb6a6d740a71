/**
 * The data partition: found, or made in the free room behind the boot partition on first boot.
 *
 * @module
 */
import { mount, MS_NOATIME, MS_NODEV, MS_NOSUID, syncAll } from "../../hypervisor/sys/mounts.ts";
import { rereadPartitions } from "../../hypervisor/sys/partitions.ts";
import { readAt, readTable, readTailTable, writeTable } from "../disk/disk_table.ts";
import {
  ALIGNMENT_SECTORS,
  freeNumber,
  freeTail,
  type Partition,
  PARTITION_TYPES,
  type PartitionTable,
  SECTOR_BYTES,
} from "../disk/gpt.ts";
import { BOOT_NAME, DATA_NAME, UNFINISHED_NAME } from "../disk/names.ts";
import { DATA_FIRST_SECTOR, withSlots } from "../slots/places.ts";
import { runTool } from "./children.ts";
import type { Coldplug } from "./coldplug.ts";
import { log, reason } from "./log.ts";
import { type BlockDevice, blockDevices } from "./sysfs.ts";

const XFS_MAGIC = "XFSB";

/** The least that XFS and one small guest need. */
export const MIN_DATA_SECTORS = 512 * 1024 * 1024 / SECTOR_BYTES;

/** How long the boot disk may take to appear: a USB stick on a slow hub. */
const BOOT_DISK_LIMIT_MS = 15_000;
/** How long another disk, with data from before, may take once the boot disk is there. */
const OTHER_DISKS_LIMIT_MS = 2000;

/** A disk with a partition table. */
export interface Disk {
  device: BlockDevice;
  table: PartitionTable;
}

/** The disk that this system was booted from, once it is there; undefined if there is none. */
export async function bootDisk(
  coldplug: Coldplug,
  bootId: string | null,
): Promise<Disk | undefined> {
  return await coldplug.until(
    "block",
    async () => findBoot(await partitionedDisks(), bootId),
    BOOT_DISK_LIMIT_MS,
  );
}

/** Mounts the data partition on `target`, making it first on the disk `boot` if there is none. */
export async function mountData(
  coldplug: Coldplug,
  options: { target: string; boot: Disk | undefined },
): Promise<void> {
  const device = await findData(coldplug, options.boot);
  mount("xfs", options.target, { source: device, flags: MS_NOSUID | MS_NODEV | MS_NOATIME });
  log(`the data partition is ${device}`);
}

async function findData(coldplug: Coldplug, boot: Disk | undefined): Promise<string> {
  const own = boot && dataOf(boot);
  if (own) return own;
  const kept = boot && await takeUpKept(boot, coldplug);
  if (kept) return kept;
  const other = await coldplug.until(
    "block",
    async () => (await partitionedDisks()).map(dataOf).find((it) => it !== undefined),
    OTHER_DISKS_LIMIT_MS,
  );
  if (other) return other;
  if (!boot) {
    throw new Error(
      `Cannot make the data partition: no disk has a partition "${BOOT_NAME}"; boot from a disk that the image was written to`,
    );
  }
  return await makeData(boot, coldplug);
}

/** The disk that this system was booted from: by the partition's id that the firmware's loader told. */
export function findBoot<T extends { table: PartitionTable }>(
  disks: readonly T[],
  bootId: string | null,
): T | undefined {
  const boots = disks.filter((it) => it.table.partitions.some((part) => part.name === BOOT_NAME));
  return boots.find((it) => it.table.partitions.some((part) => part.id === bootId)) ?? boots[0];
}

/** Takes up the data partition of before, if the image was written over the disk anew. */
async function takeUpKept({ device: disk, table }: Disk, coldplug: Coldplug) {
  const part = keptData(table, await readTailTable(disk.path, disk.sectors));
  if (!part) return undefined;
  using file = await Deno.open(disk.path);
  const magic = await readAt(file, part.firstSector * SECTOR_BYTES, XFS_MAGIC.length);
  if (new TextDecoder("latin1").decode(magic) !== XFS_MAGIC) return undefined;
  log(`taking up the data partition of before on ${disk.path}`);
  const taken = { ...table, partitions: [...table.partitions, part] };
  await writeTable(disk.path, withSlots(taken, disk.sectors), disk.sectors);
  return await showPartition(disk, part.number, coldplug);
}

/** The data partition that `old` tells of, as it fits into the new table; null if it does not. */
export function keptData(table: PartitionTable, old: PartitionTable | null): Partition | null {
  const part = old?.partitions.find((it) => it.name === DATA_NAME);
  const end = Math.max(0, ...table.partitions.map((it) => it.lastSector + 1));
  if (!part || part.firstSector < end) return null;
  return { ...part, number: freeNumber(table) };
}

async function makeData({ device: disk, table: old }: Disk, coldplug: Coldplug): Promise<string> {
  const table = planData(old, disk.sectors);
  const part = table.partitions.find((it) => it.name === UNFINISHED_NAME)!;
  log(`making the data partition on ${disk.path}`);
  await writeTable(disk.path, table, disk.sectors);
  const device = await showPartition(disk, part.number, coldplug);
  await runTool("/sbin/mkfs.xfs", ["-f", "-q", "-m", "reflink=1", "-L", "denovisor", device]);
  syncAll();
  // Only now does it count: a cut before this line leaves a partition that the next boot makes anew.
  const finished = table.partitions.map((it) => it === part ? { ...it, name: DATA_NAME } : it);
  await writeTable(disk.path, { ...table, partitions: finished }, disk.sectors);
  return device;
}

/** Has Linux read the table that was just written; returns the partition's device. */
async function showPartition(
  disk: BlockDevice,
  number: number,
  coldplug: Coldplug,
): Promise<string> {
  rereadPartitions(disk.path);
  const device = await coldplug.until(
    "block",
    () => blockDevices().find((it) => it.disk === disk.name && it.partition === number),
    5000,
  );
  if (!device) throw new Error(`Cannot use the data partition: ${disk.path} does not show it`);
  return device.path;
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
    const mib = (sectors: number) => Math.floor(sectors / ALIGNMENT_SECTORS);
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

function dataOf({ device, table }: Disk): string | undefined {
  const part = table.partitions.find((it) => it.name === DATA_NAME);
  return part &&
    blockDevices().find((it) => it.disk === device.name && it.partition === part.number)?.path;
}

async function partitionedDisks(): Promise<Disk[]> {
  const disks: Disk[] = [];
  for (const device of blockDevices()) {
    if (device.partition !== 0 || device.sectorBytes !== SECTOR_BYTES) continue;
    try {
      const table = await readTable(device.path, device.sectors);
      if (table) disks.push({ device, table });
    } catch (error) {
      log(`${device.path}: ${reason(error)}`, "warning");
    }
  }
  return disks;
}
