/**
 * What backs a virtual disk: a raw image or a block device, checked and held.
 *
 * @module
 */
import { SysError } from "../../sys/errno.ts";
import { close, length, O_RDONLY, O_RDWR, open } from "../../sys/files.ts";
import { tryLock } from "../../sys/flock.ts";

export const SECTOR_BYTES = 512;

/** Offsets in a file are signed 64-bit in Linux, and numbers here. */
const MAX_BYTES = 2 ** 52;

/** How many sectors a disk of `bytes` has; throws a RangeError where it cannot be a disk. */
export function diskSectors(path: string, bytes: number): number {
  if (bytes === 0) {
    throw new RangeError(
      `Cannot use disk "${path}": it is empty (give it a size first, such as with truncate -s 8G)`,
    );
  }
  if (!Number.isSafeInteger(bytes) || bytes < 0 || bytes > MAX_BYTES) {
    throw new RangeError(`Cannot use disk "${path}": its length ${bytes} is out of range`);
  }
  if (bytes % SECTOR_BYTES !== 0) {
    throw new RangeError(
      `Cannot use disk "${path}": its length of ${bytes} bytes is not a multiple of ${SECTOR_BYTES}, so it is not a raw disk image`,
    );
  }
  return bytes / SECTOR_BYTES;
}

export interface Disk {
  /** Open and locked until it is closed or the process ends. */
  fd: number;
  sectors: number;
  readonly: boolean;
}

/**
 * Opens the image or block device at `path` and locks it: alone, or shared with other readers where it
 * is read-only. Throws an error that says why it cannot be a guest's disk.
 */
export function openDisk(path: string, options: { readonly?: boolean } = {}): Disk {
  const { readonly = false } = options;
  const refuse = (why: string, cause?: unknown): never => {
    throw new Error(`Cannot use disk "${path}": ${why}`, { cause });
  };
  try {
    const info = Deno.statSync(path);
    if (!info.isFile && !info.isBlockDevice) refuse("it is neither a file nor a block device");
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) refuse("there is no such file", error);
    throw error;
  }
  let fd: number;
  try {
    fd = open(path, readonly ? O_RDONLY : O_RDWR);
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    return refuse(`opening it ${readonly ? "" : "for writing "}failed: ${error.message}`, error);
  }
  try {
    const sectors = diskSectors(path, length(fd));
    if (!tryLock(fd, { shared: readonly })) {
      refuse("another guest uses it (stop that guest, or give this one a copy)");
    }
    return { fd, sectors, readonly };
  } catch (error) {
    close(fd);
    throw error;
  }
}
