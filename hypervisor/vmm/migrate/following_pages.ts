/**
 * The pages that a guest which runs elsewhere has not got yet, as whoever has them gives them away: those
 * that are asked for first, then what lies behind them, and each once.
 *
 * @module
 */
import { DIRTY_PAGE_BYTES, DirtyPages } from "../../machine/dirty_pages.ts";
import { MigrationError } from "./frames.ts";
import { encodePages, encodeZeros, MAX_CONTENT_BYTES } from "./page_frames.ts";

/** What is to be said of some pages. */
export interface PagesToSay {
  kind: "pages" | "zeros";
  body: Uint8Array<ArrayBuffer>;
}

export class FollowingPages {
  readonly #pages: DirtyPages;
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #words: Uint32Array<ArrayBuffer>;
  #left: number;
  /** Those that nobody has asked for. */
  readonly #unasked: DirtyPages;
  /** Those that somebody has, in that order; none is there twice, so there is an end to them. */
  #asked: number[] = [];
  /** Of these, how many were answered. */
  #answered = 0;
  /** Where to look for the next one. */
  #cursor = 0;
  #rated = { at: performance.now(), bytes: 0 };
  /** Bytes of data that were given away. */
  sentBytes = 0;

  /** `pages` are taken out of the set one by one; `ram` is what they hold. */
  constructor(pages: DirtyPages, ram: Uint8Array<ArrayBuffer>) {
    this.#pages = pages;
    this.#bytes = ram;
    this.#words = new Uint32Array(ram.buffer, ram.byteOffset, ram.length / 4);
    this.#left = pages.count;
    this.#unasked = DirtyPages.of(pages.capacity * DIRTY_PAGE_BYTES);
    this.#unasked.merge(pages);
  }

  get leftBytes(): number {
    return this.#left * DIRTY_PAGE_BYTES;
  }

  /** Bytes a second since this was last asked. */
  rate(now: number = performance.now()): number {
    const before = this.#rated;
    this.#rated = { at: now, bytes: this.sentBytes };
    return Math.round((this.sentBytes - before.bytes) / Math.max(1, now - before.at) * 1000);
  }

  /** The page at `offset` is to go next; throws a {@linkcode MigrationError} where nobody can want it. */
  want(offset: number): void {
    const page = offset / DIRTY_PAGE_BYTES;
    if (!this.#unasked.delete(page)) {
      throw new MigrationError(
        `Cannot understand the other VMM: it wants the page at ${offset}, which it has, or has asked for`,
      );
    }
    this.#asked.push(page);
  }

  /** The next page that was asked for and is not on its way; undefined if there is none. */
  nextWanted(): PagesToSay | undefined {
    while (this.#answered < this.#asked.length) {
      const page = this.#asked[this.#answered++];
      if (!this.#pages.delete(page)) continue;
      this.#left--;
      // Who reads one page will soon read the next.
      this.#cursor = page + 1;
      return this.#say(page, 1);
    }
    this.#asked = [];
    this.#answered = 0;
  }

  /** The next pages in a row; undefined if there are none any more. */
  next(): PagesToSay | undefined {
    if (this.#left === 0) return undefined;
    const { capacity } = this.#pages;
    let first = this.#pages.next(this.#cursor);
    if (first === capacity) first = this.#pages.next(0);
    const most = MAX_CONTENT_BYTES / DIRTY_PAGE_BYTES;
    let count = 0;
    while (count < most && first + count < capacity && this.#pages.delete(first + count)) count++;
    this.#left -= count;
    this.#cursor = first + count;
    return this.#say(first, count);
  }

  #say(page: number, count: number): PagesToSay {
    const offset = page * DIRTY_PAGE_BYTES;
    const length = count * DIRTY_PAGE_BYTES;
    if (this.#isZero(offset, length)) {
      return { kind: "zeros", body: encodeZeros({ offset, length }) };
    }
    this.sentBytes += length;
    const content = this.#bytes.subarray(offset, offset + length);
    return { kind: "pages", body: encodePages(offset, content) };
  }

  #isZero(offset: number, length: number): boolean {
    const end = (offset + length) / 4;
    for (let word = offset / 4; word < end; word++) if (this.#words[word] !== 0) return false;
    return true;
  }
}
