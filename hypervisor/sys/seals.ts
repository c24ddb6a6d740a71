/**
 * Seals of a file in memory: what nobody who has it can do to it any more.
 *
 * @module
 */
import { check } from "./errno.ts";
import { libraryOf } from "./library.ts";

const libc = libraryOf({
  fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
});

const F_ADD_SEALS = 1033;
const F_GET_SEALS = 1034;

/** `F_SEAL_` of linux/fcntl.h. */
export const SEAL = { SEAL: 1, SHRINK: 2, GROW: 4, WRITE: 8, FUTURE_WRITE: 16 } as const;

/**
 * It keeps its length, and nobody writes to it but through a shared mapping that there is already. (The
 * seal against those too would have to look at every page.)
 */
const FOR_GOOD = SEAL.SEAL | SEAL.SHRINK | SEAL.GROW | SEAL.FUTURE_WRITE;

/** Seals a file of `memfd` for good, its length and its content. */
export function seal(fd: number): void {
  check(libc.symbols.fcntl(fd, F_ADD_SEALS, FOR_GOOD), `seal descriptor ${fd}`);
}

/** Whether it is a file in memory: a hole of such a one is filled when it is read. */
export function isInMemory(fd: number): boolean {
  return libc.symbols.fcntl(fd, F_GET_SEALS, 0) >= 0;
}

/** Whether a descriptor is a file in memory that {@linkcode seal} was called for, by whomever. */
export function isSealed(fd: number): boolean {
  const seals = libc.symbols.fcntl(fd, F_GET_SEALS, 0);
  return seals >= 0 && (seals & FOR_GOOD) === FOR_GOOD;
}
