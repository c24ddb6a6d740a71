/**
 * What a guest tells of its memory through the balloon (virtio 1.2, section 5.5.6.3).
 *
 * @module
 */
import type { GuestMemory } from "../../machine/memory.ts";
import type { VirtQueue } from "./queue.ts";

/** By tag; bytes where the name says so, else events since the guest's start. */
export const STATISTICS = [
  "swapInBytes",
  "swapOutBytes",
  "majorFaults",
  "minorFaults",
  "freeBytes",
  "totalBytes",
  "availableBytes",
  "cacheBytes",
  "hugePageAllocations",
  "hugePageFailures",
  "oomKills",
  "allocationStalls",
  "asyncScans",
  "directScans",
  "asyncReclaims",
  "directReclaims",
] as const;

/** A tag of 16 bits and a value of 64, without padding. */
const ENTRY_BYTES = 10;
/** A guest that knows more tags than these sends them behind. */
const MAX_BYTES = ENTRY_BYTES * 64;

/** The values that the guest last sent. */
export class BalloonStatistics {
  readonly #values = new Float64Array(STATISTICS.length).fill(NaN);
  readonly #bytes = new Uint8Array(MAX_BYTES);
  readonly #view = new DataView(this.#bytes.buffer);

  /** Reads the chain that `queue` last popped. */
  read(memory: GuestMemory, queue: VirtQueue): void {
    const length = this.#copy(memory, queue);
    this.#values.fill(NaN);
    for (let at = 0; at + ENTRY_BYTES <= length; at += ENTRY_BYTES) {
      const tag = this.#view.getUint16(at, true);
      if (tag >= STATISTICS.length) continue;
      const low = this.#view.getUint32(at + 2, true);
      const high = this.#view.getUint32(at + 6, true);
      this.#values[tag] = high * 0x1_0000_0000 + low;
    }
  }

  /** Once, so that what is read is what was checked. Entries may lie across segments. */
  #copy(memory: GuestMemory, queue: VirtQueue): number {
    let length = 0;
    for (let segment = 0; segment < queue.readable && length < MAX_BYTES; segment++) {
      const at = queue.offsets[segment];
      const n = Math.min(queue.lengths[segment], MAX_BYTES - length);
      this.#bytes.set(memory.bytes.subarray(at, at + n), length);
      length += n;
    }
    return length;
  }

  /** As plain JSON: what the guest left out is not in it. */
  toJSON(): Record<string, number> {
    const known = STATISTICS.flatMap((name, tag): [string, number][] =>
      Number.isNaN(this.#values[tag]) ? [] : [[name, this.#values[tag]]]
    );
    return Object.fromEntries(known);
  }
}
