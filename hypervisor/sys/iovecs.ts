/**
 * `struct iovec` arrays for vectored I/O, laid out once at an address that does not move.
 *
 * @module
 */
import { map, type Mapping } from "./mapping.ts";

/** The most iovecs that one system call takes (IOV_MAX). */
export const MAX_IOVECS = 1024;

const IOVEC_BYTES = 16;
const HIGH = 0x1_0000_0000;

export class Iovecs {
  readonly count: number;
  readonly #mapping: Mapping;
  readonly #words: Uint32Array<ArrayBuffer>;

  constructor(count: number) {
    this.count = count;
    this.#mapping = map(count * IOVEC_BYTES, { private: true });
    this.#words = new Uint32Array(this.#mapping.buffer, 0, count * 4);
  }

  set(index: number, address: number, length: number): void {
    const words = this.#words;
    const at = index * 4;
    words[at] = address % HIGH;
    words[at + 1] = address / HIGH;
    words[at + 2] = length % HIGH;
    words[at + 3] = length / HIGH;
  }

  length(index: number): number {
    return this.#words[index * 4 + 2] + this.#words[index * 4 + 3] * HIGH;
  }

  base(index: number): number {
    return this.#words[index * 4] + this.#words[index * 4 + 1] * HIGH;
  }

  /** Copies `count` entries from `from` to `to`; they may overlap. */
  move(to: number, from: number, count: number): void {
    this.#words.copyWithin(to * 4, from * 4, (from + count) * 4);
  }

  /** Takes the first `bytes` off the `count` entries from `index`; how many entries are used up. */
  advance(index: number, count: number, bytes: number): number {
    let done = 0;
    while (done < count && bytes >= this.length(index + done)) {
      bytes -= this.length(index + done);
      done++;
    }
    if (bytes > 0) {
      const at = index + done;
      this.set(at, this.base(at) + bytes, this.length(at) - bytes);
    }
    return done;
  }

  /** Where entry `index` itself lies. */
  address(index: number): number {
    return this.#mapping.address + index * IOVEC_BYTES;
  }

  /** Frees the array; nothing may use it afterwards. */
  free(): void {
    this.#mapping.unmap();
  }
}
