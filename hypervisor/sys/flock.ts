/**
 * flock(2): who holds a file, across processes; released by the kernel when its holder ends.
 *
 * @module
 */
import { check, EACCES, EAGAIN, EROFS, errno, SysError } from "./errno.ts";
import { close, O_RDONLY, O_RDWR, open } from "./files.ts";
import { libraryOf } from "./library.ts";

const libc = libraryOf({
  flock: { parameters: ["i32", "i32"], result: "i32" },
});

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const LOCK_UN = 8;

/** Locks the open file `fd`, alone or shared; false where another holds it. */
export function tryLock(fd: number, options: { shared?: boolean } = {}): boolean {
  const how = (options.shared ? LOCK_SH : LOCK_EX) | LOCK_NB;
  if (libc.symbols.flock(fd, how) === 0) return true;
  if (errno() === EAGAIN) return false;
  check(-1, `lock descriptor ${fd}`);
  return false;
}

/** How often a lock is tried that is waited for, in milliseconds. */
const AGAIN_MS = 20;

/** The same, waiting for one who holds the file only for a moment. It stops the thread meanwhile. */
export function lockWithin(
  fd: number,
  { ms, ...how }: { ms: number; shared?: boolean },
): boolean {
  for (let waited = 0; !tryLock(fd, how); waited += AGAIN_MS) {
    if (waited >= ms) return false;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, AGAIN_MS);
  }
  return true;
}

/**
 * Gives the lock back now. A file that is merely closed stays locked while anything else in the kernel
 * still has it, such as an io_uring that is being taken down.
 */
export function unlock(fd: number): void {
  check(libc.symbols.flock(fd, LOCK_UN), `unlock descriptor ${fd}`);
}

/** Whether some process holds a lock on `path` right now, on another host too where the file system tells. */
export function isLocked(path: string): boolean {
  const fd = openToLock(path);
  try {
    return !tryLock(fd);
  } finally {
    close(fd);
  }
}

/** NFS locks alone only what is open for writing. */
function openToLock(path: string): number {
  try {
    return open(path, O_RDWR);
  } catch (error) {
    if (!(error instanceof SysError) || (error.errno !== EACCES && error.errno !== EROFS)) {
      throw error;
    }
    return open(path, O_RDONLY);
  }
}
