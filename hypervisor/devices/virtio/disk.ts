/**
 * What backs a virtual disk: a raw image or a block device, checked and held.
 *
 * @module
 */
import { type DirectAlignment, directAlignment } from "../../sys/direct_io.ts";
import { SysError } from "../../sys/errno.ts";
import { canPunchHoles, physicalBlockBytes, setLength } from "../../sys/fallocate.ts";
import { close, length, O_DIRECT, O_RDONLY, O_RDWR, open } from "../../sys/files.ts";
import { lockWithin, tryLock, unlock } from "../../sys/flock.ts";
import { forgetPages, isOnNfs, isOnSharedFileSystem } from "../../sys/page_cache.ts";
import { SECTOR_BYTES } from "./block_protocol.ts";

/** Offsets in a file are signed 64-bit in Linux, and numbers here. */
const MAX_BYTES = 2 ** 52;
const IN_USE = "another guest uses it (stop that guest, or give this one a copy)";
/** What file systems write at once. */
const FILE_BLOCK_BYTES = 4096;
/** Further behind the end than a disk grows while it is being looked at. */
const FAR_BYTES = 2 ** 40;

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

export interface DiskOptions {
  readonly?: boolean;
  /** `direct` goes past the host's page cache where the file allows it. */
  cache?: "cached" | "direct";
  /** It is not locked yet, and not read: another VMM is about to hand it over. See {@linkcode takeDisk}. */
  unlocked?: boolean;
  /** It is open and locked already: its file, and the same past the page cache where it is so open. */
  held?: readonly number[];
}

export interface Disk {
  path: string;
  /** Open and locked until it is closed or the process ends. */
  fd: number;
  sectors: number;
  readonly: boolean;
  /** It is a block device, and no file. */
  blockDevice: boolean;
  /** Blocks can be given back. */
  discard: boolean;
  /** What is written at once without being read before, in bytes. */
  physicalBlockBytes: number;
  /** The same file past the page cache, and what requests have to be aligned to for it. */
  direct?: DirectAlignment & { fd: number };
}

/**
 * Opens the image or block device at `path` and locks it: alone, or shared with other readers where it
 * is read-only. Throws an error that says why it cannot be a guest's disk.
 */
export function openDisk(path: string, options: DiskOptions = {}): Disk {
  const { readonly = false, held } = options;
  const refuse = (why: string, cause?: unknown): never => {
    throw new Error(`Cannot use disk "${path}": ${why}`, { cause });
  };
  let blockDevice = false;
  try {
    const info = Deno.statSync(held === undefined ? path : `/proc/self/fd/${held[0]}`);
    blockDevice = info.isBlockDevice ?? false;
    if (!info.isFile && !blockDevice) refuse("it is neither a file nor a block device");
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) refuse("there is no such file", error);
    throw error;
  }
  let fd: number;
  try {
    fd = held?.[0] ?? open(path, readonly ? O_RDONLY : O_RDWR);
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    return refuse(`opening it ${readonly ? "" : "for writing "}failed: ${error.message}`, error);
  }
  try {
    const bytes = length(fd);
    const sectors = diskSectors(path, bytes);
    if (!options.unlocked && !tryLock(fd, { shared: readonly })) refuse(IN_USE);
    return {
      path,
      fd,
      sectors,
      readonly,
      blockDevice,
      discard: !readonly &&
        (blockDevice || canPunchHoles(fd, options.unlocked ? bytes + FAR_BYTES : bytes)),
      physicalBlockBytes: physicalBlockBytes(fd) ?? FILE_BLOCK_BYTES,
      direct: options.cache === "direct"
        ? openDirect(path, { fd, readonly, held: held?.[1] })
        : undefined,
    };
  } catch (error) {
    close(fd);
    throw error;
  }
}

/**
 * Undefined where the file system knows no O_DIRECT, such as tmpfs: the disk is then cached. So it is on NFS:
 * a host that has lost its locks there cannot write through what was locked, but through a second descriptor
 * it could, and this would be one.
 */
function openDirect(
  path: string,
  of: { fd: number; readonly: boolean; held?: number },
): Disk["direct"] {
  const alignment = isOnNfs(of.fd) ? undefined : directAlignment(of.fd);
  if (alignment === undefined) return undefined;
  if (of.held !== undefined) return { ...alignment, fd: of.held };
  try {
    return { ...alignment, fd: open(path, (of.readonly ? O_RDONLY : O_RDWR) | O_DIRECT) };
  } catch (error) {
    if (error instanceof SysError) return undefined;
    throw error;
  }
}

/** How long who only looks whether a disk is locked may be in the way, in milliseconds. */
const LOOKED_AT_MS = 500;

/**
 * Takes a disk over that was opened without being locked; throws where another has it. What this host
 * remembers of it from before may be older than what another has written. It may be said twice.
 */
export function takeDisk({ path, fd, readonly, blockDevice }: Disk): void {
  if (!lockWithin(fd, { ms: LOOKED_AT_MS, shared: readonly })) {
    throw new Error(`Cannot use disk "${path}": ${IN_USE}`);
  }
  if (blockDevice || isOnSharedFileSystem(fd)) forgetPages(fd);
}

/** Closes what {@linkcode openDisk} opened. */
export function closeDisk(disk: Disk): void {
  unlock(disk.fd);
  close(disk.fd);
  if (disk.direct !== undefined) close(disk.direct.fd);
}

/**
 * Makes a disk in use larger: a file grows to `bytes`, a block device must have grown already. Returns
 * its sectors; throws a RangeError where that cannot be.
 */
export function growDisk(disk: Disk, bytes: number): number {
  const { path, fd } = disk;
  const refuse = (why: string): never => {
    throw new RangeError(`Cannot make disk "${path}" ${bytes} bytes long: ${why}`);
  };
  if (!Number.isSafeInteger(bytes) || bytes % SECTOR_BYTES !== 0 || bytes > MAX_BYTES) {
    refuse(`it must be a multiple of ${SECTOR_BYTES}`);
  }
  if (bytes < disk.sectors * SECTOR_BYTES) {
    refuse(`it has ${disk.sectors * SECTOR_BYTES}, and what a guest uses cannot shrink`);
  }
  if (disk.readonly) refuse("it is read-only");
  const now = length(fd);
  if (now < bytes) {
    if (disk.blockDevice) refuse(`the device has ${now} (let it grow first)`);
    try {
      setLength(fd, bytes);
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      refuse(error.message);
    }
  }
  return bytes / SECTOR_BYTES;
}
