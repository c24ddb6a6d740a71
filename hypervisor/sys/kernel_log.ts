/**
 * What the kernel has said lately, at once.
 *
 * @module
 */
import { check } from "./errno.ts";
import { libraryOf } from "./library.ts";

const libc = libraryOf({
  klogctl: { parameters: ["i32", "buffer", "i32"], result: "i32" },
});

const SYSLOG_ACTION_READ_ALL = 3;
const SYSLOG_ACTION_SIZE_BUFFER = 10;
/** Kernels can be told to keep more. */
const MOST_BYTES = 4 * 1024 * 1024;

/** The kernel's log, a line for each record, with level and time. */
export function readKernelLog(): string {
  const size = check(
    libc.symbols.klogctl(SYSLOG_ACTION_SIZE_BUFFER, null, 0),
    "ask for the size of the kernel's log",
  );
  const bytes = new Uint8Array(Math.min(size, MOST_BYTES));
  const length = check(
    libc.symbols.klogctl(SYSLOG_ACTION_READ_ALL, bytes, bytes.length),
    "read the kernel's log",
  );
  return new TextDecoder().decode(bytes.subarray(0, length));
}
