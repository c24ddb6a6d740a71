/**
 * A set of pages of a guest's memory: a bit for each 4 KiB of its mapping.
 *
 * The bits are in shared memory, so that one thread marks pages while another takes them. Every change
 * is a single atomic instruction on a word of 32 pages: a bit that is set is taken by exactly one taker,
 * and what was written to a page before its bit was set is seen by whoever took it.
 *
 * @module
 */

/** What a bit stands for: what KVM's and vhost's logs count, whatever the size of the host's pages. */
export const DIRTY_PAGE_BYTES = 4096;

const WORD_PAGES = 32;
/** What one word stands for. */
export const DIRTY_WORD_BYTES: number = WORD_PAGES * DIRTY_PAGE_BYTES;

/** Bits of a log as the kernel writes it: words of this process's memory. */
export type LogWords = Uint32Array<ArrayBuffer>;

/** How many bytes of bitmap `length` bytes of memory take, in whole words of 64 bits, as KVM's. */
export function dirtyBitmapBytes(length: number): number {
  return Math.ceil(length / DIRTY_PAGE_BYTES / 64) * 8;
}

export class DirtyPages {
  /** Passes to other threads, which make the same set of it. */
  readonly buffer: SharedArrayBuffer;
  readonly #words: Uint32Array<SharedArrayBuffer>;

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.#words = new Uint32Array(buffer);
  }

  /** An empty set for a mapping of `length` bytes. */
  static of(length: number): DirtyPages {
    return new DirtyPages(new SharedArrayBuffer(dirtyBitmapBytes(length)));
  }

  /** How many pages there can be; at least as many as the mapping has. */
  get capacity(): number {
    return this.#words.length * WORD_PAGES;
  }

  /** Adds every page that `[offset, offset + length)` touches. */
  add(offset: number, length: number): void {
    if (length <= 0) return;
    const first = Math.floor(offset / DIRTY_PAGE_BYTES);
    const last = Math.floor((offset + length - 1) / DIRTY_PAGE_BYTES);
    const words = this.#words;
    let word = Math.floor(first / WORD_PAGES);
    const lastWord = Math.floor(last / WORD_PAGES);
    let bits = -1 << (first & 31);
    for (; word < lastWord; word++, bits = -1) Atomics.or(words, word, bits);
    Atomics.or(words, word, bits & (-1 >>> (31 - (last & 31))));
  }

  has(page: number): boolean {
    return (this.#words[page >>> 5] >>> (page & 31) & 1) === 1;
  }

  /** Takes a page out; false if it was not in. */
  delete(page: number): boolean {
    const bit = 1 << (page & 31);
    return (Atomics.and(this.#words, page >>> 5, ~bit) & bit) !== 0;
  }

  /** The first page from `page` on; {@linkcode capacity} if there is none. */
  next(page: number): number {
    return find(this.#words, page, 0);
  }

  /** Takes the pages of `[offset, offset + length)` out; both are multiples of {@linkcode DIRTY_WORD_BYTES}. */
  remove(offset: number, length: number): void {
    const first = wordAt(offset);
    const end = Math.min(wordAt(offset + length), this.#words.length);
    for (let word = first; word < end; word++) {
      if (this.#words[word] !== 0) Atomics.store(this.#words, word, 0);
    }
  }

  clear(): void {
    this.remove(0, this.capacity * DIRTY_PAGE_BYTES);
  }

  /** Adds all pages of a set for the same mapping. */
  merge(other: DirtyPages): void {
    const [words, from] = [this.#words, other.#words];
    if (from.length !== words.length) throw new RangeError("Cannot merge sets of other mappings");
    for (let word = 0; word < words.length; word++) {
      const bits = from[word];
      if (bits !== 0) Atomics.or(words, word, bits);
    }
  }

  /** Moves all pages to `into`, of the same mapping, while other threads may add some. */
  moveTo(into: DirtyPages): void {
    const [words, to] = [this.#words, into.#words];
    if (to.length !== words.length) throw new RangeError("Cannot move to a set of another mapping");
    for (let word = 0; word < words.length; word++) {
      // Most words are 0, and a look costs less than a lock on the bus.
      if (Atomics.load(words, word) === 0) continue;
      Atomics.or(to, word, Atomics.exchange(words, word, 0));
    }
  }

  /**
   * Adds the pages of a log that begins at `offset` of the mapping, a multiple of
   * {@linkcode DIRTY_WORD_BYTES}. With `take` the log is one that the kernel adds to, and is emptied.
   */
  addLog(log: LogWords, offset: number, options: { take?: boolean } = {}): void {
    const words = this.#words;
    const first = wordAt(offset);
    const count = Math.min(log.length, words.length - first);
    for (let i = 0; i < count; i++) {
      if (log[i] === 0) continue;
      Atomics.or(words, first + i, options.take ? Atomics.exchange(log, i, 0) : log[i]);
    }
  }

  /** Copies the words from `offset` of the mapping on, a multiple of {@linkcode DIRTY_WORD_BYTES}. */
  toLog(log: LogWords, offset: number): void {
    const first = wordAt(offset);
    const count = Math.min(log.length, this.#words.length - first);
    for (let i = 0; i < count; i++) log[i] = Atomics.load(this.#words, first + i);
  }

  /** How many pages there are. */
  get count(): number {
    let count = 0;
    for (const word of this.#words) count += ones(word);
    return count;
  }

  /** The pages in runs, as ranges of the mapping. */
  runs(): PageRuns {
    return new PageRuns(this.#words);
  }
}

/**
 * Goes through a set's runs of pages, in order, 32 at a time:
 * `while (runs.next()) read(runs.offset, runs.length)`.
 */
export class PageRuns {
  /** Bytes from the mapping's beginning. */
  offset = 0;
  /** In bytes. */
  length = 0;
  readonly #words: Uint32Array;
  #page = 0;

  constructor(words: Uint32Array) {
    this.#words = words;
  }

  /** False once there are no more. */
  next(): boolean {
    const first = find(this.#words, this.#page, 0);
    const pages = this.#words.length * WORD_PAGES;
    if (first === pages) return false;
    this.#page = find(this.#words, first, -1);
    this.offset = first * DIRTY_PAGE_BYTES;
    this.length = (this.#page - first) * DIRTY_PAGE_BYTES;
    return true;
  }
}

/** The first page from `page` on that is in the set, or with -1 for `flip` the first that is not. */
function find(words: Uint32Array, page: number, flip: 0 | -1): number {
  let word = page >>> 5;
  if (word >= words.length) return words.length * WORD_PAGES;
  let bits = (words[word] ^ flip) & (-1 << (page & 31));
  while (bits === 0) {
    if (++word === words.length) return word * WORD_PAGES;
    bits = words[word] ^ flip;
  }
  return word * WORD_PAGES + 31 - Math.clz32(bits & -bits);
}

function wordAt(offset: number): number {
  if (offset % DIRTY_WORD_BYTES !== 0) {
    throw new RangeError(`Cannot place a log at ${offset}: not a multiple of ${DIRTY_WORD_BYTES}`);
  }
  return offset / DIRTY_WORD_BYTES;
}

function ones(word: number): number {
  word -= word >>> 1 & 0x5555_5555;
  word = (word & 0x3333_3333) + (word >>> 2 & 0x3333_3333);
  return Math.imul((word + (word >>> 4)) & 0x0F0F_0F0F, 0x0101_0101) >>> 24;
}
