/**
 * eventfd(2): counters that threads and the kernel signal each other with.
 *
 * @module
 */
import { check } from "./errno.ts";
import { libraryOf } from "./library.ts";

const libc = libraryOf({
  eventfd: { parameters: ["u32", "i32"], result: "i32" },
  read: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  write: { parameters: ["i32", "buffer", "i32"], result: "i32" },
});

const EFD_CLOEXEC = 0o2000000;
const EFD_NONBLOCK = 0o4000;

const one = new Uint8Array(new BigUint64Array([1n]).buffer);
const count = new Uint8Array(8);

/** A new counter at 0, non-blocking. */
export function eventfd(): number {
  return check(libc.symbols.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "create an eventfd");
}

/** Adds 1. A counter that is full (2^64 - 2) stays signalled, which is all that is asked of it. */
export function signal(fd: number): void {
  libc.symbols.write(fd, one, 8);
}

/** Sets the counter to 0; what it was. */
export function take(fd: number): number {
  return libc.symbols.read(fd, count, 8) === 8
    ? Number(new DataView(count.buffer).getBigUint64(0, true))
    : 0;
}

/** Sets the counter to 0; true if it was not. */
export function drain(fd: number): boolean {
  return libc.symbols.read(fd, count, 8) === 8;
}

const poll = libraryOf({
  poll: { parameters: ["buffer", "u64", "i32"], result: "i32" },
});
const POLLIN = 1;
const pollfd = new Int32Array(2);

/** Whether the counter is above 0, without changing it. */
export function isSignalled(fd: number): boolean {
  pollfd[0] = fd;
  pollfd[1] = POLLIN;
  return poll.symbols.poll(new Uint8Array(pollfd.buffer), 1n, 0) > 0;
}
