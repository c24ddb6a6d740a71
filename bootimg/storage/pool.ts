/**
 * The pool: the one XFS that holds all that the host keeps, on one disk or mirrored over two.
 *
 * A pool is made as a mirror of one disk: md keeps its record at the partition's end (metadata 1.0), so
 * that the file system begins where the partition does, and a second disk can be added at any time. A
 * plain pool of an earlier release becomes one at a start, if there is room for the record behind it.
 *
 * @module
 */
import { readAt, readTable, writeTable } from "../disk/disk_table.ts";
import { type Partition, type PartitionTable, SECTOR_BYTES } from "../disk/gpt.ts";
import { DATA_NAME, isDataName, MIRROR_NAME } from "../disk/names.ts";
import { ARRAY_DEVICE, type MemberFacts, parseMember, readArray } from "./array.ts";
import { eraseEnds } from "./erase.ts";
import type { DiskRef, Ground } from "./ground.ts";
import { RECORD_SECTORS, renameData, widenForRecord } from "./place.ts";

/** A pool that can be mounted. */
export interface OpenPool {
  device: string;
  kind: "plain" | "mirror";
}

/** A finished data partition. */
export interface FoundPart {
  disk: DiskRef;
  table: PartitionTable;
  part: Partition;
  /** Its path. */
  device: string;
}

/** mdadm's exit code where a device is no member. */
const NO_MEMBER = 1;

/** What one partition knows of the mirror that it is a part of; null where it is of none. */
export async function memberOf(ground: Ground, device: string): Promise<MemberFacts | null> {
  return parseMember(
    await ground.run("mdadm", ["--examine", "--export", device], { codes: [NO_MEMBER] }),
  );
}

export interface OpenPoolOptions {
  /** All finished data partitions that there are now; asked again while others are waited for. */
  others: () => Promise<FoundPart[]>;
  /** Returns what `find` finds, asking again for some time as disks appear. */
  wait: <T>(find: () => Promise<T | undefined>) => Promise<T | undefined>;
  log: (text: string) => void;
}

/** Brings up the pool that a partition is the whole of, or a part. */
export async function openPool(
  ground: Ground,
  own: FoundPart,
  options: OpenPoolOptions,
): Promise<OpenPool> {
  const member = await memberOf(ground, own.device);
  if (member === null) return await makeMirrored(ground, own, options);
  if (member.level !== "raid1") {
    throw new Error(
      `Cannot use ${own.device}: it is part of a ${member.level || "RAID"}, and no mirror`,
    );
  }
  const { others, wait, log } = options;
  const gather = async () => {
    const devices = [own.device];
    for (const { device } of await others()) {
      if (device === own.device) continue;
      if ((await memberOf(ground, device))?.uuid === member.uuid) devices.push(device);
    }
    return devices;
  };
  const all = member.wanted < 2
    ? undefined
    : await wait(async () => (await gather()).length >= member.wanted ? true : undefined);
  const devices = await gather();
  if (member.wanted > 1 && !all) log(`the mirror begins with ${devices.join(", ")} alone`);
  try {
    // Of several that say different things, mdadm takes the newest and leaves the others out.
    await ground.run("mdadm", ["--assemble", ARRAY_DEVICE, "--run", ...devices]);
  } catch (error) {
    // Only of a single disk is it known that what lies on it is all there is.
    if (member.wanted > 1 || devices.length > 1) throw error;
    log(`${error instanceof Error ? error.message : error}; using ${own.device} by itself`);
    return { device: own.device, kind: "plain" };
  }
  await finishGrowing(ground);
  return { device: ARRAY_DEVICE, kind: "mirror" };
}

/** A second disk whose adding a power cut broke off is taken in. */
export async function finishGrowing(ground: Ground): Promise<void> {
  const array = arrayOf(ground);
  if (array?.wanted === 1 && array.members.some(({ state }) => state === "spare")) {
    await ground.run("mdadm", ["--grow", ARRAY_DEVICE, "--raid-devices=2"]);
  }
}

/** Puts md's record behind a plain pool, where there is room; it stays a plain one otherwise. */
async function makeMirrored(
  ground: Ground,
  { disk, table, part, device }: FoundPart,
  { log }: OpenPoolOptions,
): Promise<OpenPool> {
  try {
    const used = await xfsSectors(disk, part);
    let room = device;
    // A cut may have come between this and the next.
    if (part.lastSector - part.firstSector + 1 < used + RECORD_SECTORS) {
      const wide = widenForRecord(table, disk.sectors);
      if (wide === null) return { device, kind: "plain" };
      await writeTable(disk.path, wide, disk.sectors);
      room = await ground.showPartition(disk, part.number);
    }
    await createArray(ground, ARRAY_DEVICE, [room]);
    if ((arrayOf(ground)?.bytes ?? 0) >= used * SECTOR_BYTES) {
      log(`${device} can be mirrored from now on`);
      return { device: ARRAY_DEVICE, kind: "mirror" };
    }
    await ground.run("mdadm", ["--stop", ARRAY_DEVICE]);
    await ground.run("mdadm", ["--zero-superblock", room]);
  } catch (error) {
    // The file system itself was not touched.
    log(`${device} cannot be mirrored: ${error instanceof Error ? error.message : error}`);
  }
  return { device, kind: "plain" };
}

/** How much of a partition its XFS uses. */
async function xfsSectors(disk: DiskRef, part: Partition): Promise<number> {
  using file = await Deno.open(disk.path);
  const bytes = await readAt(file, part.firstSector * SECTOR_BYTES, SECTOR_BYTES);
  return parseXfsSectors(bytes);
}

/** The size of the XFS whose first sector this is; throws if it is of none. */
export function parseXfsSectors(bytes: Uint8Array): number {
  if (bytes.length < SECTOR_BYTES || new TextDecoder().decode(bytes.subarray(0, 4)) !== "XFSB") {
    throw new SyntaxError("Cannot read the file system's size: it is no XFS");
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const sectors = BigInt(view.getUint32(4)) * view.getBigUint64(8) / BigInt(SECTOR_BYTES);
  if (sectors <= 0n || sectors > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new RangeError(`Cannot read the file system's size: ${sectors} sectors are on no disk`);
  }
  return Number(sectors);
}

/** A partition that a pool is to be made on: the table with its place, and its number. */
export interface NewPart {
  disk: DiskRef;
  /** With the partition unfinished, and as it is to be. */
  unfinished: PartitionTable;
  finished: PartitionTable;
  number: number;
}

/** Makes a new pool on one partition or two, and leaves it running as `array`. */
export async function makePool(
  ground: Ground,
  parts: readonly NewPart[],
  options: { array?: string; sync: () => void; log: (text: string) => void },
): Promise<OpenPool> {
  const { array = ARRAY_DEVICE, sync, log } = options;
  const devices: string[] = [];
  for (const { disk, unfinished, number } of parts) {
    await writeTable(disk.path, unfinished, disk.sectors);
    const device = await ground.showPartition(disk, number);
    const part = unfinished.partitions.find((it) => it.number === number)!;
    await eraseEnds(disk.path, part.firstSector, part.lastSector - part.firstSector + 1);
    devices.push(device);
  }
  let pool: OpenPool = { device: array, kind: "mirror" };
  try {
    await createArray(ground, array, devices);
  } catch (error) {
    if (devices.length > 1) throw error;
    log(`the pool cannot be mirrored: ${error instanceof Error ? error.message : error}`);
    pool = { device: devices[0], kind: "plain" };
  }
  try {
    await ground.run("mkfs.xfs", ["-f", "-q", "-m", "reflink=1", "-L", "denovisor", pool.device]);
  } catch (error) {
    // Nobody could use the disk for anything else before the next start.
    if (pool.kind === "mirror") await ground.run("mdadm", ["--stop", array]).catch(() => {});
    throw error;
  }
  sync();
  // Only now does it count: a cut before this line leaves what the next start makes anew.
  for (const { disk, finished } of parts) {
    const name = parts.length > 1 ? MIRROR_NAME : DATA_NAME;
    await writeTable(disk.path, renameData(finished, name), disk.sectors);
  }
  return pool;
}

async function createArray(
  ground: Ground,
  array: string,
  devices: readonly string[],
): Promise<void> {
  await ground.run("mdadm", [
    ...["--create", array, "--run", "--level=1", `--raid-devices=${devices.length}`, "--force"],
    ...["--metadata=1.0", "--bitmap=internal", "--homehost=any", "--name=denovisor"],
    // There is nothing to bring in step with one disk.
    ...(devices.length === 1 ? ["--assume-clean"] : []),
    ...devices,
  ]);
}

/** Gives the data partition of a disk that is in use another name. */
export async function nameDataOn(
  disk: DiskRef,
  name: Parameters<typeof renameData>[1],
): Promise<void> {
  const table = await readTable(disk.path, disk.sectors);
  const found = table?.partitions.find((it) => isDataName(it.name));
  if (!table || !found || found.name === name) return;
  await writeTable(disk.path, renameData(table, name), disk.sectors);
}

/** The state of the array now. */
export function arrayOf(ground: Ground): ReturnType<typeof readArray> {
  return readArray({
    read: (name) => ground.readArrayFile(name),
    names: () => ground.arrayFiles(),
  });
}
