/**
 * Writing over disks: what marks them as something, and copies of boot partitions.
 *
 * @module
 */
import { BOOT_CODE_BYTES, readAt, writeAt } from "../disk/disk_table.ts";
import { SECTOR_BYTES } from "../disk/gpt.ts";
import type { DiskFacts } from "./facts.ts";
import type { BootCopy } from "./place.ts";

/** All marks of file systems, volumes and RAIDs lie in the first or the last of it. */
const END_BYTES = 1024 * 1024;
const CHUNK_BYTES = 4 * 1024 * 1024;
/** What a FAT volume cannot be read without, and firmware not boot. */
const HEAD_BYTES = 4096;

/** Whether the first and the last MiB of a disk are zeros. */
export async function hasBlankEnds(path: string, sectors: number): Promise<boolean> {
  using disk = await Deno.open(path);
  const bytes = sectors * SECTOR_BYTES;
  const length = Math.min(END_BYTES, bytes);
  for (const at of [0, bytes - length]) {
    const found = await readAt(disk, at, length);
    if (found.length < length || found.some((it) => it !== 0)) return false;
  }
  return true;
}

/** Zeroes the first and the last MiB of a part of a disk. */
export async function eraseEnds(path: string, firstSector: number, sectors: number): Promise<void> {
  using disk = await Deno.open(path, { write: true });
  const length = Math.min(END_BYTES, sectors * SECTOR_BYTES);
  const zeros = new Uint8Array(length);
  const first = firstSector * SECTOR_BYTES;
  await writeAt(disk, first, zeros);
  await writeAt(disk, first + sectors * SECTOR_BYTES - length, zeros);
  await disk.sync();
}

/** Makes a disk one that nothing is on: its partitions' marks go first, then its own. */
export async function eraseMarks(disk: DiskFacts): Promise<void> {
  for (const { firstSector, sectors } of disk.partitions) {
    if (firstSector + sectors <= disk.sectors && sectors > 0) {
      await eraseEnds(disk.path, firstSector, sectors);
    }
  }
  await eraseEnds(disk.path, 0, disk.sectors);
}

export interface CopyOptions {
  from: string;
  to: string;
  signal?: AbortSignal;
  /** Told of all bytes so far. */
  onProgress?: (bytes: number) => void;
}

/**
 * Copies boot partitions but for their first bytes, without which they are nothing: those come last,
 * by {@linkcode copyHeads}, once all else is on the disk.
 */
export async function copyBodies(copies: readonly BootCopy[], options: CopyOptions): Promise<void> {
  const { signal, onProgress } = options;
  using from = await Deno.open(options.from);
  using to = await Deno.open(options.to, { write: true });
  let done = 0;
  for (const { fromSector, toSector, sectors } of copies) {
    const bytes = sectors * SECTOR_BYTES;
    await writeAt(to, toSector * SECTOR_BYTES, new Uint8Array(HEAD_BYTES));
    for (let at = HEAD_BYTES; at < bytes;) {
      signal?.throwIfAborted();
      const length = Math.min(CHUNK_BYTES, bytes - at);
      const chunk = await readAt(from, fromSector * SECTOR_BYTES + at, length);
      if (chunk.length < length) {
        throw new Error(`Cannot copy the boot partition: it ends too soon`);
      }
      await writeAt(to, toSector * SECTOR_BYTES + at, chunk);
      at += length;
      onProgress?.(done += length);
      // A disk that is slower than memory is waited for here, and not all at the end.
      await to.sync();
    }
  }
  await to.sync();
}

/** Copies the first bytes of boot partitions, and what a BIOS runs; returns once they are on the disk. */
export async function copyHeads(copies: readonly BootCopy[], options: CopyOptions): Promise<void> {
  using from = await Deno.open(options.from);
  using to = await Deno.open(options.to, { write: true });
  for (const { fromSector, toSector } of copies) {
    const head = await readAt(from, fromSector * SECTOR_BYTES, HEAD_BYTES);
    await writeAt(to, toSector * SECTOR_BYTES, head);
  }
  await to.sync();
  if (copies.length > 0) await writeAt(to, 0, await readAt(from, 0, BOOT_CODE_BYTES));
  await to.sync();
}

/** The copies with no more of a partition than its head where that is zeros: an empty slot's. */
export async function withoutBlanks(
  copies: readonly BootCopy[],
  path: string,
): Promise<BootCopy[]> {
  using from = await Deno.open(path);
  return await Array.fromAsync(copies, async (copy) => {
    const head = await readAt(from, copy.fromSector * SECTOR_BYTES, HEAD_BYTES);
    const sectors = Math.min(copy.sectors, HEAD_BYTES / SECTOR_BYTES);
    return head.some((it) => it !== 0) ? copy : { ...copy, sectors };
  });
}

/** How many bytes the copies of {@linkcode copyBodies} are. */
export function copiedBytes(copies: readonly BootCopy[]): number {
  return copies.reduce((sum, { sectors }) => sum + sectors * SECTOR_BYTES - HEAD_BYTES, 0);
}
