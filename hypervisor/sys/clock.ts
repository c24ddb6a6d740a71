/**
 * The host's clocks.
 *
 * @module
 */
import { check } from "./errno.ts";
import { libraryOf } from "./library.ts";

const libc = libraryOf({
  clock_gettime: { parameters: ["i32", "buffer"], result: "i32" },
});

const CLOCK_REALTIME = 0;
const timespec = new BigInt64Array(2);

/** Nanoseconds since the epoch, as the kernel itself counts them. */
export function realtime(): bigint {
  check(
    libc.symbols.clock_gettime(CLOCK_REALTIME, new Uint8Array(timespec.buffer)),
    "read the clock",
  );
  return timespec[0] * 1_000_000_000n + timespec[1];
}
