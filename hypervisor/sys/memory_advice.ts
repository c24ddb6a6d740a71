/**
 * What the kernel is told about memory that is mapped: madvise, mprotect and mbind.
 *
 * @module
 */
import { check } from "./errno.ts";
import { libraryOf } from "./library.ts";

const libc = libraryOf({
  madvise: { parameters: ["usize", "usize", "i32"], result: "i32" },
  mprotect: { parameters: ["usize", "usize", "i32"], result: "i32" },
  // mbind has no wrapper in the C library.
  mbind: {
    name: "syscall",
    parameters: ["i64", "usize", "usize", "i64", "buffer", "u64", "u32"],
    result: "i64",
  },
});

const PROT_NONE = 0;
const PROT_READ_WRITE = 3;
const SYS_mbind = 237n;

/** asm-generic/mman-common.h */
export const MADV = {
  DONTNEED: 4,
  REMOVE: 9,
  MERGEABLE: 12,
  HUGEPAGE: 14,
  NOHUGEPAGE: 15,
} as const;

/** linux/mempolicy.h: bind takes from these nodes alone, preferred from elsewhere if it must. */
export const MPOL = { preferred: 1, bind: 2, interleave: 3 } as const;

/** How many host nodes a policy can name. */
export const MAX_NODES = 1024;

/**
 * Gives a range's memory back to the host: what is read there afterwards is 0. Multiples of 4096.
 * Negative on failure: see `errno`. With `private`, the range is a private mapping; otherwise the pages
 * leave the mapped file, and thereby every mapping of it.
 */
export function discard(address: number, length: number, of: { private: boolean }): number {
  const advice = of.private ? MADV.DONTNEED : MADV.REMOVE;
  return libc.symbols.madvise(BigInt(address), BigInt(length), advice);
}

/** Pages of 2 MiB where the kernel finds them, from now on. */
export function adviseHugePages(address: number, length: number): void {
  check(
    libc.symbols.madvise(BigInt(address), BigInt(length), MADV.HUGEPAGE),
    "advise huge pages",
  );
}

/** Pages of 4 KiB alone, from now on. */
export function refuseHugePages(address: number, length: number): void {
  check(
    libc.symbols.madvise(BigInt(address), BigInt(length), MADV.NOHUGEPAGE),
    "advise against huge pages",
  );
}

/** Lets the kernel keep one copy of pages with the same content (KSM): private anonymous mappings alone. */
export function adviseMergeable(address: number, length: number): void {
  check(
    libc.symbols.madvise(BigInt(address), BigInt(length), MADV.MERGEABLE),
    "advise that pages may be merged",
  );
}

/** Makes a range accessible, or an access to it a fault. Negative on failure: see `errno`. */
export function protect(address: number, length: number, to: { accessible: boolean }): number {
  const protection = to.accessible ? PROT_READ_WRITE : PROT_NONE;
  return libc.symbols.mprotect(BigInt(address), BigInt(length), protection);
}

/** From which nodes of the host a range's memory comes; what is there already stays where it is. */
export function bindMemory(
  address: number,
  length: number,
  from: { nodes: readonly number[]; policy: keyof typeof MPOL },
): void {
  const mask = new BigUint64Array(MAX_NODES / 64);
  for (const node of from.nodes) mask[Math.floor(node / 64)] |= 1n << BigInt(node % 64);
  const result = libc.symbols.mbind(
    SYS_mbind,
    BigInt(address),
    BigInt(length),
    BigInt(MPOL[from.policy]),
    mask,
    // The kernel takes one less than this for the number of bits.
    BigInt(MAX_NODES + 1),
    0,
  );
  check(Number(result), `take memory from the host's NUMA nodes ${from.nodes.join(", ")}`);
}
