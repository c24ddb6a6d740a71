/**
 * Which of the host's CPUs a thread runs on.
 *
 * @module
 */
import { check } from "./errno.ts";
import { libraryOf } from "./library.ts";

const libc = libraryOf({
  sched_setaffinity: { parameters: ["i32", "usize", "buffer"], result: "i32" },
  sched_getaffinity: { parameters: ["i32", "usize", "buffer"], result: "i32" },
});

/** The C library's cpu_set_t. */
const SET_BYTES = 128;
/** CPUs from 0 to one less than this can be named. */
export const MAX_HOST_CPUS = SET_BYTES * 8;
const THIS_THREAD = 0;

/** Keeps the thread that calls it on `cpus`. */
export function pinThread(cpus: readonly number[]): void {
  const set = new Uint8Array(SET_BYTES);
  for (const cpu of cpus) set[cpu >> 3] |= 1 << (cpu & 7);
  check(
    libc.symbols.sched_setaffinity(THIS_THREAD, BigInt(SET_BYTES), set),
    `run on the host's CPUs ${cpus.join(", ")}`,
  );
}

/** The CPUs that the thread that calls it may run on. */
export function threadCpus(): number[] {
  const set = new Uint8Array(SET_BYTES);
  check(
    libc.symbols.sched_getaffinity(THIS_THREAD, BigInt(SET_BYTES), set),
    "find the CPUs of a thread",
  );
  return Array.from({ length: MAX_HOST_CPUS }, (_, cpu) => cpu)
    .filter((cpu) => (set[cpu >> 3] & 1 << (cpu & 7)) !== 0);
}
