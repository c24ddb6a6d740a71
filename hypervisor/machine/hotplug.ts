/**
 * The part of guest physical address space to which memory can be added while the guest runs.
 *
 * It lies above RAM. Which of its blocks are there is kept in the arena, so that every thread that
 * checks an address sees the same, and a copy of the arena has it.
 *
 * @module
 */
import { struct } from "../sys/struct.ts";
import type { Arena } from "./arena.ts";

const MiB = 2 ** 20;

/** The smallest block: a huge page, so that neither the host's nor the guest's are torn apart. */
export const MIN_BLOCK_BYTES = 2 * MiB;
/** Each block that is there may be a mapping of its own to the kernel, which allows 65530. */
export const MAX_BLOCKS = 16_384;
/** Above 64 GiB of RAM, Linux adds memory in steps of as much as this. */
export const HOTPLUG_ALIGN = 2048 * MiB;

/** A bit for each block, set where it is there. */
const PluggedBlocks = struct("plugged_blocks", { bits: ["u32", MAX_BLOCKS / 32] });

/** Where the region lies; data that passes between threads. */
export interface HotplugSpec {
  /** Guest physical address, a multiple of {@linkcode HOTPLUG_ALIGN}. */
  readonly guest: number;
  /** Where its bytes begin in the mapping of RAM. */
  readonly offset: number;
  /** A multiple of `blockBytes`. */
  readonly length: number;
  readonly blockBytes: number;
}

/** The block's size for a region of `length` bytes: a power of two. */
export function blockBytesFor(length: number): number {
  let bytes = MIN_BLOCK_BYTES;
  while (length / bytes > MAX_BLOCKS) bytes *= 2;
  return bytes;
}

export class HotplugRegion implements HotplugSpec {
  readonly guest: number;
  readonly offset: number;
  readonly length: number;
  readonly blockBytes: number;
  readonly #bits: Uint32Array;

  constructor(arena: Arena, spec: HotplugSpec) {
    this.guest = spec.guest;
    this.offset = spec.offset;
    this.length = spec.length;
    this.blockBytes = spec.blockBytes;
    this.#bits = arena.place("memory.plugged", PluggedBlocks).bits;
  }

  /** How many of `count` blocks from `first` on are there. */
  plugged(first: number, count: number): number {
    let found = 0;
    for (let block = first; block < first + count; block++) {
      found += this.#bits[block >>> 5] >>> (block & 31) & 1;
    }
    return found;
  }

  set(first: number, count: number, plugged: boolean): void {
    for (let block = first; block < first + count; block++) {
      const bit = 1 << (block & 31);
      if (plugged) this.#bits[block >>> 5] |= bit;
      else this.#bits[block >>> 5] &= ~bit;
    }
  }

  /** Where guest physical `[guest, guest + length)` lies in the mapping; -1 if any of it is not there. */
  place(guest: number, length: number): number {
    const start = guest - this.guest;
    if (!(start >= 0 && start + length <= this.length)) return -1;
    const first = Math.floor(start / this.blockBytes);
    const last = Math.floor((start + Math.max(length, 1) - 1) / this.blockBytes);
    const count = last - first + 1;
    return this.plugged(first, count) === count ? this.offset + start : -1;
  }
}
