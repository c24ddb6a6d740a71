/**
 * Signals as an eventfd, for a loop that waits on descriptors and never comes back to JavaScript's own.
 *
 * signalfd(2) wants the signals blocked in every thread, and Deno has threads before any of this
 * runs. So a handler adds 1 to an eventfd, whichever thread it runs on: five instructions, as a
 * signal may interrupt JavaScript, which cannot be entered again at that moment.
 *
 * @module
 */
import { check } from "./errno.ts";
import { eventfd } from "./eventfd.ts";
import { libraryOf } from "./library.ts";
import { bufferAt } from "./mapping.ts";

const libc = libraryOf({
  mmap: { parameters: ["usize", "usize", "i32", "i32", "i32", "i64"], result: "usize" },
  mprotect: { parameters: ["usize", "usize", "i32"], result: "i32" },
  sigaction: { parameters: ["i32", "buffer", "pointer"], result: "i32" },
});

export const SIGHUP = 1;
export const SIGINT = 2;
export const SIGTERM = 15;

const PAGE = 4096;
const PROT_READ = 1;
const PROT_WRITE = 2;
const PROT_EXEC = 4;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const MAP_FAILED = 0xffff_ffff_ffff_ffffn;
const SYS_WRITE = 1;
/** Where in the page the number lies that is written. */
const ONE = 64;

/** glibc's struct sigaction on x86-64: the handler, 1024 bits of mask, flags, the restorer. */
const SIGACTION_BYTES = 152;
const SIGACTION_FLAGS = 136;
const SA_RESTART = 0x1000_0000;

/** An eventfd to which each of `signals`, whenever one comes, adds 1; for the rest of the process. */
export function signalEventfd(signals: readonly number[]): number {
  const fd = eventfd();
  const handler = placeHandler(fd);
  const action = new DataView(new ArrayBuffer(SIGACTION_BYTES));
  action.setBigUint64(0, BigInt(handler), true);
  action.setInt32(SIGACTION_FLAGS, SA_RESTART, true);
  for (const signal of signals) {
    const result = libc.symbols.sigaction(signal, new Uint8Array(action.buffer), null);
    check(result, `handle signal ${signal}`);
  }
  return fd;
}

function placeHandler(fd: number): number {
  const protection = PROT_READ | PROT_WRITE;
  const page = libc.symbols.mmap(0n, BigInt(PAGE), protection, MAP_PRIVATE_ANONYMOUS, -1, 0n);
  if (page === MAP_FAILED) check(-1, "map a page for a signal handler");
  const address = Number(page);
  const bytes = new Uint8Array(bufferAt(address, PAGE));
  bytes.set([
    ...[0xB8, ...u32(SYS_WRITE)], // mov eax, SYS_write
    ...[0xBF, ...u32(fd)], // mov edi, fd
    ...[0x48, 0xBE, ...u64(address + ONE)], // mov rsi, &one
    ...[0xBA, ...u32(8)], // mov edx, 8
    ...[0x0F, 0x05], // syscall
    0xC3, // ret
  ]);
  bytes[ONE] = 1;
  // What may run must not be writable, and is not written to again.
  const result = libc.symbols.mprotect(page, BigInt(PAGE), PROT_READ | PROT_EXEC);
  check(result, "make a signal handler executable");
  return address;
}

function u32(value: number): Uint8Array {
  return new Uint8Array(new Uint32Array([value]).buffer);
}

function u64(value: number): Uint8Array {
  return new Uint8Array(new BigUint64Array([BigInt(value)]).buffer);
}
