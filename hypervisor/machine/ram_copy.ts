/**
 * RAM as a private copy of a file: what is in the file is shared with all who have such a copy of it, and
 * what the guest writes is its own.
 *
 * @module
 */
import { adviseHugePages, adviseMergeable, bindMemory } from "../sys/memory_advice.ts";
import { Mapping, replaceWithZeros } from "../sys/mapping.ts";
import { isInMemory } from "../sys/seals.ts";
import { dataFrom, type DataRange } from "../sys/sparse.ts";
import type { RamBinding, RamOptions } from "./ram.ts";

const MiB = 2 ** 20;
/** A file is looked at for holes in so many places at most, whatever its length. */
const MOST_PIECES = 1024;
const LEAST_PIECE = 2 * MiB;

/** The pieces, all of one power of two, of a file of this length that may be blank each. */
export function pieceBytes(length: number): number {
  let bytes = LEAST_PIECE;
  while (bytes * MOST_PIECES < length) bytes *= 2;
  return bytes;
}

/**
 * Where there is nothing in a file for whole pieces, in order. That is found without looking at what is
 * there, so it takes no longer for a file that is full.
 */
export function* blankRanges(fd: number, length: number): Generator<DataRange> {
  const piece = pieceBytes(length);
  for (let at = 0; at < length;) {
    const data = dataFrom(fd, at, length);
    const end = data === length ? length : data - data % piece;
    if (end > at) yield { start: at, end };
    at = end + piece;
  }
}

/** How a private copy of the file `fd` is to be, which is mapped already. */
export interface CopyOptions extends Pick<RamOptions, "hugePages" | "mergeable" | "bindings"> {
  fd: number;
}

/**
 * Tells the kernel what it should know of a private copy, before any of it is used. Where a file in memory
 * has nothing, the guest's memory is its own from the beginning: else the file, too, would get a page for
 * each that is used.
 */
export function finishCopy(address: number, length: number, options: CopyOptions): void {
  const { fd, hugePages, mergeable = false } = options;
  for (const { start, end } of isInMemory(fd) ? blankRanges(fd, length) : []) {
    // Else it stays as it is, which is as right.
    if (!replaceWithZeros(address + start, end - start)) break;
  }
  new Mapping(address, length).dontDump();
  // Only for who asks for them: copies are many, and each takes what it takes for itself.
  if (hugePages === "transparent") adviseHugePages(address, length);
  if (mergeable) adviseMergeable(address, length);
  bindRam(address, options.bindings ?? []);
}

export function bindRam(address: number, bindings: readonly RamBinding[]): void {
  for (const { offset, length, nodes, policy } of bindings) {
    bindMemory(address + offset, length, { nodes, policy });
  }
}
