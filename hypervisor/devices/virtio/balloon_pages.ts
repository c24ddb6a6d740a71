/**
 * Collects the pages that a balloon is filled with and gives them back to the host in ranges: a system
 * call for each range, not for each page.
 *
 * @module
 */
import type { GuestMemory } from "../../machine/memory.ts";
import type { VirtQueue } from "./queue.ts";

/** virtio 1.2, section 5.5.6: page numbers count 4096 bytes, whatever the guest's pages are. */
export const PAGE_BYTES = 4096;
const PFN_BYTES = 4;

/** 64 MiB of the guest's memory: Linux names 1 MiB at a time. */
const CAPACITY = 16_384;
/** The most page numbers of one chain that are looked at. */
const MAX_PFNS = 4096;

export class BalloonPages {
  /** Pages that have gone back to the host. */
  discarded = 0;
  /** Page numbers that were not RAM, or too many for one chain. */
  refused = 0;
  /** Pages that the host would not take back. */
  failed = 0;
  /** How many ranges the pages made. */
  ranges = 0;
  readonly #memory: GuestMemory;
  /** Pages of the mapping of RAM, counted from its beginning. */
  readonly #pages = new Uint32Array(CAPACITY);
  #count = 0;

  constructor(memory: GuestMemory) {
    this.#memory = memory;
  }

  /** Takes the page numbers in the readable segments of the chain that `queue` last popped. */
  take(queue: VirtQueue): void {
    const { offsets, lengths, readable } = queue;
    let left = MAX_PFNS;
    for (let segment = 0; segment < readable; segment++) {
      const pfns = Math.floor(lengths[segment] / PFN_BYTES);
      const count = Math.min(pfns, left);
      this.#takeSegment(offsets[segment], count);
      this.refused += pfns - count;
      left -= count;
    }
  }

  #takeSegment(at: number, count: number): void {
    const { view } = this.#memory;
    for (let i = 0; i < count; i++) {
      if (this.#count === CAPACITY) this.flush();
      const pfn = view.getUint32(at + i * PFN_BYTES, true);
      const offset = this.#memory.offset(pfn * PAGE_BYTES, PAGE_BYTES);
      if (offset < 0) this.refused++;
      else this.#pages[this.#count++] = offset / PAGE_BYTES;
    }
  }

  /** Gives back all that was taken since. */
  flush(): void {
    // Linux hands pages out downwards as often as upwards, and in between.
    const pages = this.#pages.subarray(0, this.#count).sort();
    this.#count = 0;
    for (let i = 0; i < pages.length;) {
      const first = pages[i];
      let end = first + 1;
      // A page may have been named twice.
      for (i++; i < pages.length && pages[i] <= end; i++) if (pages[i] === end) end++;
      this.#discard(first, end - first);
    }
  }

  #discard(first: number, count: number): void {
    if (this.#memory.discard(first * PAGE_BYTES, count * PAGE_BYTES)) {
      this.discarded += count;
      this.ranges++;
    } else {
      this.failed += count;
    }
  }

  /**
   * Gives back what lies in whole pages within the writable segments of the chain that `queue` last
   * popped.
   */
  report(queue: VirtQueue): void {
    const { offsets, lengths, readable, writable } = queue;
    let first = 0;
    let end = 0;
    for (let segment = readable; segment < readable + writable; segment++) {
      const from = Math.ceil(offsets[segment] / PAGE_BYTES);
      const to = Math.floor((offsets[segment] + lengths[segment]) / PAGE_BYTES);
      if (to <= from) continue;
      if (from === end) {
        end = to;
        continue;
      }
      if (end > first) this.#discard(first, end - first);
      [first, end] = [from, to];
    }
    if (end > first) this.#discard(first, end - first);
  }
}
