/**
 * ioctl(2), in the three shapes that callers need.
 *
 * @module
 */
import { libraryOf } from "./library.ts";

// One symbol per argument shape, so that each gets a call path of its own. ioctl is variadic in C; on
// x86-64 an integer argument is passed alike.
const libc = libraryOf({
  none: { name: "ioctl", parameters: ["i32", "u32", "i32"], result: "i32" },
  value: { name: "ioctl", parameters: ["i32", "u32", "u64"], result: "i32" },
  buffer: { name: "ioctl", parameters: ["i32", "u32", "buffer"], result: "i32" },
});

/** With a small integer argument; allocates nothing. Negative on failure: see `errno`. */
export const ioctl: (fd: number, request: number, argument: number) => number = libc.symbols.none;

/** With a 64-bit integer argument. */
export const ioctlValue: (fd: number, request: number, argument: bigint) => number =
  libc.symbols.value;

export type BufferCall = (fd: number, request: number, bytes: Uint8Array<ArrayBuffer>) => number;

/** With a pointer to `bytes`, which the kernel reads or writes. */
export const ioctlBuffer: BufferCall = libc.symbols.buffer;

// asm-generic/ioctl.h: number, type, size and direction packed into 32 bits.
const NONE = 0;
const WRITE = 1;
const READ = 2;

function request(direction: number, type: number, number: number, size: number): number {
  return ((direction << 30) | (size << 16) | (type << 8) | number) >>> 0;
}

/** `_IO`: no argument, or one passed by value. */
export function io(type: number, number: number): number {
  return request(NONE, type, number, 0);
}

/** `_IOR`: the kernel writes `size` bytes. */
export function ior(type: number, number: number, size: number): number {
  return request(READ, type, number, size);
}

/** `_IOW`: the kernel reads `size` bytes. */
export function iow(type: number, number: number, size: number): number {
  return request(WRITE, type, number, size);
}

/** `_IOWR`: both. */
export function iowr(type: number, number: number, size: number): number {
  return request(READ | WRITE, type, number, size);
}
