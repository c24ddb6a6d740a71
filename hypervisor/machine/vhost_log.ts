/**
 * The log that vhost keeps of the pages it writes to: a bit for each guest physical page, in memory of
 * this process, which the kernel's threads set while any thread here takes them.
 *
 * @module
 */
import { bufferAt, map, Mapping } from "../sys/mapping.ts";
import { DIRTY_WORD_BYTES, dirtyBitmapBytes, type DirtyPages } from "./dirty_pages.ts";
import type { RamRegion } from "./memory.ts";

/** Where the log lies; passes between threads. */
export interface VhostLogSpec {
  address: number;
  regions: readonly RamRegion[];
}

function logBytes(regions: readonly RamRegion[]): number {
  return dirtyBitmapBytes(Math.max(...regions.map(({ guest, length }) => guest + length)));
}

/** Maps a log for these regions: of holes between them nothing is ever touched, and so nothing taken. */
export function mapVhostLog(regions: readonly RamRegion[]): VhostLogSpec {
  const { address } = map(logBytes(regions), { private: true });
  return {
    address,
    regions: regions.map(({ guest, offset, length }) => ({ guest, offset, length })),
  };
}

/** Once no vhost and no thread uses it any more. */
export function unmapVhostLog({ address, regions }: VhostLogSpec): void {
  new Mapping(address, logBytes(regions)).unmap();
}

export class VhostLog {
  readonly #parts: { words: Uint32Array<ArrayBuffer>; offset: number }[];

  constructor({ address, regions }: VhostLogSpec) {
    const buffer = bufferAt(address, logBytes(regions));
    this.#parts = regions.map(({ guest, offset, length }) => {
      const words = new Uint32Array(
        buffer,
        guest / DIRTY_WORD_BYTES * Uint32Array.BYTES_PER_ELEMENT,
        dirtyBitmapBytes(length) / Uint32Array.BYTES_PER_ELEMENT,
      );
      return { words, offset };
    });
  }

  /** Takes what was logged. The kernel sets a bit after it has written. */
  collect(into: DirtyPages): void {
    for (const { words, offset } of this.#parts) into.addLog(words, offset, { take: true });
  }

  forget(): void {
    // Only words with bits in them, so that pages of the log that were never touched stay so.
    for (const { words } of this.#parts) {
      for (let i = 0; i < words.length; i++) if (words[i] !== 0) Atomics.store(words, i, 0);
    }
  }
}
