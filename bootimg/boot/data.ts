/**
 * The data partition: found, or made on first boot, where the settings say or behind the boot partition.
 *
 * @module
 */
import { mount, MS_NOATIME, MS_NODEV, MS_NOSUID, syncAll } from "../../hypervisor/sys/mounts.ts";
import { readAt, readTable, readTailTable, writeTable } from "../disk/disk_table.ts";
import { type PartitionTable, SECTOR_BYTES } from "../disk/gpt.ts";
import { DATA_NAME, UNFINISHED_NAME } from "../disk/names.ts";
import { install } from "../storage/install.ts";
import { dataPartition, findBoot, keptData, planData } from "../storage/place.ts";
import {
  type FoundPart,
  makePool,
  type NewPart,
  type OpenPool,
  openPool,
} from "../storage/pool.ts";
import { chooseDataDisks, chooseInstallTarget, type Wishes } from "../storage/wishes.ts";
import { withSlots } from "../slots/places.ts";
import type { Coldplug } from "./coldplug.ts";
import type { LinuxDisks } from "./disks.ts";
import { log, reason } from "./log.ts";
import { type BlockDevice, blockDevices } from "./sysfs.ts";

const XFS_MAGIC = "XFSB";

/** How long the boot disk may take to appear: a USB stick on a slow hub. */
const BOOT_DISK_LIMIT_MS = 15_000;
/** How long another disk, with data from before, may take once the boot disk is there. */
const OTHER_DISKS_LIMIT_MS = 2000;
/** How long a disk may take that the settings name, or that is known to be the other half. */
const NAMED_DISKS_LIMIT_MS = 15_000;

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

export interface MountDataOptions {
  coldplug: Coldplug;
  disks: LinuxDisks;
  target: string;
  /** What was booted from, where that is to be found. */
  boot: Disk | undefined;
  /** What the settings say of disks: asked only where there are no data yet. */
  wishes: () => Promise<Wishes>;
  onStage: (stage: string) => void;
}

/** Mounts the pool on `target`, making it first if there is none. */
export async function mountData(options: MountDataOptions): Promise<OpenPool> {
  const { target } = options;
  const pool = await findPool(options);
  mount("xfs", target, { source: pool.device, flags: MS_NOSUID | MS_NODEV | MS_NOATIME });
  log(`the data are on ${pool.device}`);
  return pool;
}

async function findPool(options: MountDataOptions): Promise<OpenPool> {
  const { coldplug, disks, boot } = options;
  const open = (part: FoundPart) =>
    openPool(disks, part, {
      others: async () => (await partitionedDisks()).flatMap(foundPart),
      wait: (find) => coldplug.until("block", find, NAMED_DISKS_LIMIT_MS),
      log,
    });
  const own = boot && (foundPart(boot)[0] ?? await takeUpKept(boot, disks));
  if (own) return await open(own);
  const other = await coldplug.until(
    "block",
    async () => (await partitionedDisks()).flatMap(foundPart)[0],
    OTHER_DISKS_LIMIT_MS,
  );
  if (other) return await open(other);
  const wishes = await options.wishes();
  if (wishes.install) return await open(await installAsWished(boot, wishes.install, options));
  const making = { sync: syncAll, log };
  if (wishes.dataDisks.length > 0) {
    return await makePool(disks, await wishedParts(boot, wishes.dataDisks, options), making);
  }
  if (!boot) {
    throw new Error(
      "Cannot make the data partition: no disk has the system's boot partition; boot from a disk that the image was written to",
    );
  }
  log(`making the data partition on ${boot.device.path}`);
  return await makePool(disks, [behindBoot(boot)], making);
}

/** Takes up the data partition of before, if the image was written over the disk anew. */
async function takeUpKept({ device: disk, table }: Disk, disks: LinuxDisks) {
  const part = keptData(table, await readTailTable(disk.path, disk.sectors));
  if (!part) return undefined;
  {
    using file = await Deno.open(disk.path);
    const magic = await readAt(file, part.firstSector * SECTOR_BYTES, XFS_MAGIC.length);
    if (new TextDecoder("latin1").decode(magic) !== XFS_MAGIC) return undefined;
  }
  log(`taking up the data partition of before on ${disk.path}`);
  const taken = { ...table, partitions: [...table.partitions, part] };
  await writeTable(disk.path, withSlots(taken, disk.sectors), disk.sectors);
  const device = await disks.showPartition(disk, part.number);
  return { disk, table: taken, part, device };
}

/** The room behind the boot partition, for data. */
function behindBoot({ device: disk, table }: Disk): NewPart {
  const unfinished = planData(table, disk.sectors);
  const part = unfinished.partitions.find((it) => it.name === UNFINISHED_NAME)!;
  const finished = unfinished.partitions.map((it) => it === part ? { ...it, name: DATA_NAME } : it);
  return {
    ...{ disk, unfinished, number: part.number },
    finished: { ...unfinished, partitions: finished },
  };
}

/** The disks that the settings name for the data, erased where the settings allow it. */
async function wishedParts(
  boot: Disk | undefined,
  wanted: Wishes["dataDisks"],
  { coldplug, disks }: MountDataOptions,
): Promise<NewPart[]> {
  let failure: unknown;
  const chosen = await coldplug.until("block", async () => {
    try {
      return await chooseDataDisks(await disks.look({ fresh: true }), wanted, {
        boot: boot?.device.name ?? null,
      });
    } catch (error) {
      failure = error;
      return undefined;
    }
  }, NAMED_DISKS_LIMIT_MS);
  if (!chosen) throw failure;
  const parts: NewPart[] = [];
  for (const { disk, part } of chosen) {
    log(`making the pool on ${disk.path}`);
    parts.push(part === null ? behindBoot(boot!) : await part());
  }
  return parts;
}

/** Installs on the disk that the settings name; the host then goes on with the pool that is there. */
async function installAsWished(
  boot: Disk | undefined,
  wish: NonNullable<Wishes["install"]>,
  { coldplug, disks, onStage }: MountDataOptions,
): Promise<FoundPart> {
  if (!boot) throw new Error("Cannot install: the disk that was booted from is not to be found");
  let failure: unknown;
  const target = await coldplug.until("block", async () => {
    try {
      return chooseInstallTarget(await disks.look({ fresh: true }), wish, {
        boot: boot.device.name,
      });
    } catch (error) {
      failure = error;
      return undefined;
    }
  }, NAMED_DISKS_LIMIT_MS);
  if (!target) throw failure;
  log(`installing on ${target.path}`);
  await install(disks, {
    target,
    boot: { path: boot.device.path, table: boot.table },
    onPhase: (phase) => onStage(`installing on ${target.path}: ${phase}`),
    ...{ sync: syncAll, log },
  });
  const found = (await partitionedDisks()).flatMap(foundPart)
    .find((it) => it.disk.name === target.name);
  if (!found) throw new Error(`Cannot go on from ${target.path}: it does not show its partitions`);
  return found;
}

function foundPart({ device: disk, table }: Disk): FoundPart[] {
  const part = dataPartition(table);
  const device = part &&
    blockDevices().find((it) => it.disk === disk.name && it.partition === part.number);
  return part && device ? [{ disk, table, part, device: device.path }] : [];
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
