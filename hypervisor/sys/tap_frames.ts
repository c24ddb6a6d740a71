/**
 * Single frames of a tap: those that nobody wants any more, and those that nobody's guest has sent.
 *
 * @module
 */
import { EINTR, errno } from "./errno.ts";
import { libraryOf } from "./library.ts";

const libc = libraryOf({
  read: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
});

/** More than any tap's ring holds; whoever keeps sending meanwhile is not waited for. */
const MOST = 8192;

/**
 * Sends a frame, with its header in front, as if the guest had; false where the interface does not take
 * it: it was removed, is down, or has no room just now.
 */
export function sendFrame(fd: number, frame: Uint8Array<ArrayBuffer>): boolean {
  return libc.symbols.write(fd, frame, BigInt(frame.length)) === BigInt(frame.length);
}

/** Takes what waits in a tap's queue, which must not block, and drops it. */
export function discardFrames(fd: number): void {
  // A frame that is longer than the buffer is taken whole all the same.
  const buffer = new Uint8Array(64);
  for (let i = 0; i < MOST; i++) {
    if (libc.symbols.read(fd, buffer, BigInt(buffer.length)) < 0n && errno() !== EINTR) return;
  }
}
