/**
 * Partition tables on disks, and on files that stand for disks.
 *
 * @module
 */
import {
  encodeTable,
  HEAD_SECTORS,
  parseTable,
  parseTail,
  type PartitionTable,
  SECTOR_BYTES,
  TAIL_SECTORS,
} from "./gpt.ts";

/** Reads the table of the disk at `path`; null if it has none. */
export async function readTable(path: string, diskSectors: number): Promise<PartitionTable | null> {
  using disk = await Deno.open(path);
  const head = await readAt(disk, 0, HEAD_SECTORS * SECTOR_BYTES);
  return parseTable(head, await readTail(disk, diskSectors), diskSectors);
}

/** Reads the copy of the table at the disk's end, which may be of before the disk was written anew. */
export async function readTailTable(
  path: string,
  diskSectors: number,
): Promise<PartitionTable | null> {
  using disk = await Deno.open(path);
  return parseTail(await readTail(disk, diskSectors), diskSectors);
}

async function readTail(disk: Deno.FsFile, diskSectors: number): Promise<Uint8Array> {
  const sectors = Math.min(TAIL_SECTORS, diskSectors);
  return await readAt(disk, (diskSectors - sectors) * SECTOR_BYTES, sectors * SECTOR_BYTES);
}

/** What a BIOS runs of the first sector: that part of it is the boot loader's. */
export const BOOT_CODE_BYTES = 440;

/**
 * Writes the table, and leaves the first sector's code alone. A cut at any moment leaves one of the two
 * copies whole: the old or the new.
 */
export async function writeTable(
  path: string,
  table: PartitionTable,
  diskSectors: number,
): Promise<void> {
  const { head, tail } = encodeTable(table, diskSectors);
  using disk = await Deno.open(path, { read: true, write: true });
  head.set(await readAt(disk, 0, BOOT_CODE_BYTES));
  await writeAt(disk, (diskSectors - TAIL_SECTORS) * SECTOR_BYTES, tail);
  await disk.sync();
  // The entries before the header that vouches for them, so that a half-written copy is never valid.
  await writeAt(disk, 2 * SECTOR_BYTES, head.subarray(2 * SECTOR_BYTES));
  await disk.sync();
  await writeAt(disk, 0, head.subarray(0, 2 * SECTOR_BYTES));
  await disk.sync();
}

/** Reads `length` bytes at `position`, or as many as there are. */
export async function readAt(
  file: Deno.FsFile,
  position: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  await file.seek(position, Deno.SeekMode.Start);
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const count = await file.read(bytes.subarray(done));
    if (count === null) break;
    done += count;
  }
  return bytes.subarray(0, done);
}

/** Writes all of `bytes` at `position`. */
export async function writeAt(
  file: Deno.FsFile,
  position: number,
  bytes: Uint8Array,
): Promise<void> {
  await file.seek(position, Deno.SeekMode.Start);
  for (let done = 0; done < bytes.length;) done += await file.write(bytes.subarray(done));
}
