/**
 * fallocate(2) and what block devices have in its place: giving space back, zeros without writing them.
 *
 * @module
 */
import { check, EINVAL, EOPNOTSUPP, errno } from "./errno.ts";
import { io } from "./ioctl.ts";
import { libraryOf } from "./library.ts";

// An offset is 64 bits; none of these calls is on a path where that would count.
const libc = libraryOf({
  fallocate: { parameters: ["i32", "i32", "i64", "i64"], result: "i32" },
  ftruncate: { parameters: ["i32", "i64"], result: "i32" },
  ioctl: { parameters: ["i32", "u32", "buffer"], result: "i32" },
});

/** `FALLOC_FL_` of linux/falloc.h. */
export const ALLOCATE = { KEEP_SIZE: 1, PUNCH_HOLE: 2, ZERO_RANGE: 16 } as const;

/** Of linux/fs.h. */
export const BLOCK_DEVICE = { DISCARD: io(0x12, 119), PHYSICAL_BLOCK: io(0x12, 123) } as const;

export interface Range {
  /** In bytes, both. */
  position: number;
  length: number;
}

/** 0, or a negative errno. */
export function fallocate(fd: number, mode: number, range: Range): number {
  const { position, length } = range;
  return libc.symbols.fallocate(fd, mode, BigInt(position), BigInt(length)) < 0 ? -errno() : 0;
}

/** Tells a block device that a range's content is no longer needed: 0, or a negative errno. */
export function discard(fd: number, range: Range): number {
  const words = new BigUint64Array([BigInt(range.position), BigInt(range.length)]);
  const bytes = new Uint8Array(words.buffer);
  return libc.symbols.ioctl(fd, BLOCK_DEVICE.DISCARD, bytes) < 0 ? -errno() : 0;
}

/**
 * Whether the file system of an open, writable file can take blocks out of it; alters nothing where the
 * file ends at `position` or before.
 */
export function canPunchHoles(fd: number, position: number): boolean {
  const mode = ALLOCATE.PUNCH_HOLE | ALLOCATE.KEEP_SIZE;
  const result = fallocate(fd, mode, { position, length: 4096 });
  return result !== -EOPNOTSUPP && result !== -EINVAL;
}

/** Makes a file as long as this; what is new reads as zeros. */
export function setLength(fd: number, length: number): void {
  check(libc.symbols.ftruncate(fd, BigInt(length)), `set the length of descriptor ${fd}`);
}

/** Bytes that a block device writes at once; undefined for what is none. */
export function physicalBlockBytes(fd: number): number | undefined {
  const bytes = new Uint8Array(4);
  if (libc.symbols.ioctl(fd, BLOCK_DEVICE.PHYSICAL_BLOCK, bytes) < 0) return undefined;
  return new DataView(bytes.buffer).getUint32(0, true);
}
