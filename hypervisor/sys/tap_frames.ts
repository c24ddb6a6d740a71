/**
 * Frames that nobody wants any more.
 *
 * @module
 */
import { EINTR, errno } from "./errno.ts";
import { libraryOf } from "./library.ts";

const libc = libraryOf({
  read: { parameters: ["i32", "buffer", "usize"], result: "isize" },
});

/** More than any tap's ring holds; whoever keeps sending meanwhile is not waited for. */
const MOST = 8192;

/** Takes what waits in a tap's queue, which must not block, and drops it. */
export function discardFrames(fd: number): void {
  // A frame that is longer than the buffer is taken whole all the same.
  const buffer = new Uint8Array(64);
  for (let i = 0; i < MOST; i++) {
    if (libc.symbols.read(fd, buffer, BigInt(buffer.length)) < 0n && errno() !== EINTR) return;
  }
}
