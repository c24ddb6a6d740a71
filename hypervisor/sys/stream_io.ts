/**
 * Bytes between a stream socket and memory at an address, such as a guest's; nothing ever waits.
 *
 * @module
 */
import { EAGAIN, EINTR, errno } from "./errno.ts";
import { libraryOf } from "./library.ts";

const libc = libraryOf({
  recv: { parameters: ["i32", "usize", "usize", "i32"], result: "i32" },
  send: { parameters: ["i32", "usize", "usize", "i32"], result: "i32" },
});

const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
/** So that results fit 32 bits, and one call does not keep a loop for long. */
const MAX_BYTES = 1 << 20;

/** What a call answers that would have had to wait. */
export const WAIT: number = -EAGAIN;

/** How many bytes came (0 at the end), {@linkcode WAIT}, or another negative errno. */
export function receiveAt(fd: number, address: number, length: number): number {
  const bytes = BigInt(Math.min(length, MAX_BYTES));
  for (;;) {
    const n = libc.symbols.recv(fd, BigInt(address), bytes, MSG_DONTWAIT);
    if (n >= 0) return n;
    const code = errno();
    if (code !== EINTR) return -code;
  }
}

/** How many bytes the socket took, {@linkcode WAIT}, or another negative errno. */
export function sendAt(fd: number, address: number, length: number): number {
  const bytes = BigInt(Math.min(length, MAX_BYTES));
  for (;;) {
    const n = libc.symbols.send(fd, BigInt(address), bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0) return n;
    const code = errno();
    if (code !== EINTR) return -code;
  }
}
