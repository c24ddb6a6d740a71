/**
 * Threads of this process: their ids, names and signals.
 *
 * @module
 */
import { check, errno, ESRCH } from "./errno.ts";
import { libraryOf } from "./library.ts";

const libc = libraryOf({
  gettid: { parameters: [], result: "i32" },
  getpid: { parameters: [], result: "i32" },
  tgkill: { parameters: ["i32", "i32", "i32"], result: "i32" },
  pthread_sigmask: { parameters: ["i32", "buffer", "pointer"], result: "i32" },
  sigtimedwait: { parameters: ["buffer", "pointer", "buffer"], result: "i32" },
  prctl: { parameters: ["i32", "buffer", "u64", "u64", "u64"], result: "i32" },
});

/** The signal that gets a thread out of a blocking system call. */
export const SIGUSR1 = 10;

const SIG_BLOCK = 0;
const PR_SET_NAME = 15;

// A glibc sigset_t: 1024 bits.
const kickSet = new Uint8Array(128);
kickSet[(SIGUSR1 - 1) >> 3] = 1 << ((SIGUSR1 - 1) & 7);
const now = new Uint8Array(16);

/** This thread's id. */
export function threadId(): number {
  return libc.symbols.gettid();
}

/** Shown by `top -H` and `ps -T`; at most 15 bytes. */
export function nameThread(name: string): void {
  const bytes = new TextEncoder().encode(name.slice(0, 15) + "\0");
  libc.symbols.prctl(PR_SET_NAME, bytes, 0n, 0n, 0n);
}

/** Keeps {@linkcode SIGUSR1} pending on this thread instead of ending the process. */
export function blockKick(): void {
  libc.symbols.pthread_sigmask(SIG_BLOCK, kickSet, null);
}

/** Takes a pending kick off this thread, so that the next blocking call blocks; true if there was one. */
export function drainKick(): boolean {
  return libc.symbols.sigtimedwait(kickSet, null, now) === SIGUSR1;
}

/** Sends {@linkcode SIGUSR1} to a thread of this process; one that has ended needs none. */
export function kick(thread: number): void {
  const result = libc.symbols.tgkill(libc.symbols.getpid(), thread, SIGUSR1);
  if (result < 0 && errno() !== ESRCH) check(result, `kick thread ${thread}`);
}
