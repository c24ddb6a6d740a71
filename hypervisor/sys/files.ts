/**
 * Files as descriptors, for those that other parts hand to the kernel by number.
 *
 * @module
 */
import { check } from "./errno.ts";
import { libraryOf } from "./library.ts";

const libc = libraryOf({
  open: { parameters: ["buffer", "i32", "u32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  lseek: { parameters: ["i32", "i64", "i32"], result: "i64" },
});

export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_NONBLOCK = 0o4000;
export const O_DIRECT = 0o40000;
export const O_NOFOLLOW = 0o400000;
export const O_CLOEXEC = 0o2000000;

const SEEK_END = 2;

/** Opens `path` (always with O_CLOEXEC) and returns its descriptor. */
export function open(path: string, flags: number, mode = 0o600): number {
  const name = new TextEncoder().encode(path + "\0");
  return check(libc.symbols.open(name, flags | O_CLOEXEC, mode), `open "${path}"`);
}

export function close(fd: number): void {
  check(libc.symbols.close(fd), `close descriptor ${fd}`);
}

/** The length in bytes of a file or a block device. */
export function length(fd: number): number {
  return check(Number(libc.symbols.lseek(fd, 0n, SEEK_END)), `find the length of descriptor ${fd}`);
}
