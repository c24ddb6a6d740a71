/**
 * getrandom(2).
 *
 * @module
 */
import { errno } from "./errno.ts";
import { libraryOf } from "./library.ts";

const libc = libraryOf({
  getrandom: { parameters: ["usize", "usize", "u32"], result: "i32" },
});

const GRND_NONBLOCK = 1;

/**
 * Fills `length` bytes of this process's memory at `address` from the kernel's generator; how many it
 * filled, or a negative errno (EAGAIN while the generator is not seeded yet). Never blocks.
 */
export function fillRandom(address: number, length: number): number {
  const n = libc.symbols.getrandom(BigInt(address), BigInt(length), GRND_NONBLOCK);
  return n < 0 ? -errno() : n;
}
