/**
 * Which parts of a disk a guest has changed, for whoever copies the disk while the guest runs.
 *
 * A bit stands for 64 KiB, or for more of a disk that is so large that its bits would be too many. All
 * is done by the thread that serves the disk. While nobody wants to know there are no bits, and a write
 * costs a branch.
 *
 * A range is added when what was written there is in the file, and before the driver is told. So a copy
 * that takes ranges and then reads the file has all that was added before it asked, and what is written
 * while it reads is told the next time.
 *
 * @module
 */

/** Offset and length in bytes. */
export type DiskRange = readonly [offset: number, length: number];

/** A disk, for whoever copies it. */
export interface CopiedDisk {
  readonly path: string;
  readonly readonly: boolean;
  /** As its driver knows it: it may grow. */
  readonly sizeBytes: number;
  readonly changes: DiskChanges;
}

/** What a bit stands for at least. */
export const CHANGE_BYTES = 64 * 1024;
/** As many as 8 MiB of bits hold. */
const MAX_BLOCKS = 2 ** 26;

export class DiskChanges {
  /** A bit for each block; undefined while nobody wants to know. */
  #words: Uint32Array | undefined;
  #blockBytes = CHANGE_BYTES;
  /** The disk's length, and how many blocks that are. */
  #bytes = 0;
  #blocks = 0;
  /** How many bits are set. */
  #count = 0;
  /** The block with which the next take begins: nothing waits behind what changes all the time. */
  #next = 0;

  get isOn(): boolean {
    return this.#words !== undefined;
  }

  /** How many bytes there are to take at most. */
  get leftBytes(): number {
    return Math.min(this.#count * this.#blockBytes, this.#bytes);
  }

  /** From the return on no change is missed, of a disk of `bytes` bytes; what was known before is forgotten. */
  start(bytes: number): void {
    let blockBytes = CHANGE_BYTES;
    while (bytes / blockBytes > MAX_BLOCKS) blockBytes *= 2;
    this.#blockBytes = blockBytes;
    this.#bytes = bytes;
    this.#blocks = Math.ceil(bytes / blockBytes);
    this.#words = new Uint32Array(Math.ceil(this.#blocks / 32));
    this.#count = this.#next = 0;
  }

  stop(): void {
    this.#words = undefined;
    this.#count = 0;
  }

  /** Adds a range that lies within the disk. */
  add(offset: number, length: number): void {
    const words = this.#words;
    if (words === undefined || length <= 0) return;
    const last = Math.floor((offset + length - 1) / this.#blockBytes);
    for (let block = Math.floor(offset / this.#blockBytes); block <= last; block++) {
      const bit = 1 << (block & 31);
      const word = words[block >>> 5];
      if ((word & bit) !== 0) continue;
      words[block >>> 5] = word | bit;
      this.#count++;
    }
  }

  /** The disk has grown: what is new has changed. */
  grow(bytes: number): void {
    if (this.#words === undefined || bytes <= this.#bytes) return;
    const before = this.#bytes;
    const ranges = this.take(Infinity);
    this.start(bytes);
    for (const [offset, length] of ranges) this.add(offset, length);
    this.add(before, bytes - before);
  }

  /** Takes changed ranges, at most so many; what lies side by side is one. */
  take(most: number): DiskRange[] {
    const ranges: DiskRange[] = [];
    const from = this.#next;
    this.#next = this.#take(from, this.#blocks, { ranges, most });
    if (this.#next === this.#blocks) this.#next = this.#take(0, from, { ranges, most });
    return ranges;
  }

  /** Takes those between two blocks; the block with which to go on. */
  #take(first: number, end: number, into: { ranges: DiskRange[]; most: number }): number {
    const words = this.#words ?? [];
    const { ranges, most } = into;
    let block = first;
    while (block < end && ranges.length < most) {
      const word = words[block >>> 5];
      if (word === 0) block = (block & ~31) + 32;
      else if ((word >>> (block & 31) & 1) === 0) block++;
      else {
        const start = block;
        block = this.#clear(start, end);
        const offset = start * this.#blockBytes;
        ranges.push([offset, Math.min(block * this.#blockBytes, this.#bytes) - offset]);
      }
    }
    return Math.min(block, end);
  }

  /** Takes a run of bits out that begins with `block`; where it ends. */
  #clear(block: number, end: number): number {
    const words = this.#words!;
    for (; block < end; block++) {
      const at = block >>> 5;
      if ((block & 31) === 0 && words[at] === 0xFFFF_FFFF && block + 32 <= end) {
        words[at] = 0;
        this.#count -= 32;
        block += 31;
        continue;
      }
      const bit = 1 << (block & 31);
      if ((words[at] & bit) === 0) break;
      words[at] &= ~bit;
      this.#count--;
    }
    return block;
  }
}
