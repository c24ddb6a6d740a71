/**
 * poll(2) without waiting: whether a descriptor is ready right now.
 *
 * @module
 */
import { libraryOf } from "./library.ts";

const libc = libraryOf({
  poll: { parameters: ["buffer", "u64", "i32"], result: "i32" },
});

const POLLOUT = 4;

const pollfd = new Int32Array(2);
const bytes = new Uint8Array(pollfd.buffer);

/** Whether a write would not block, or fail at once: to a pipe, of at most 4096 bytes. */
export function isWritable(fd: number): boolean {
  pollfd[0] = fd;
  pollfd[1] = POLLOUT;
  return libc.symbols.poll(bytes, 1n, 0) > 0;
}
