/**
 * RAM in a file: every byte where it lies in RAM's mapping, and a hole wherever there are zeros.
 *
 * Its digest is the SHA-256 of the SHA-256s of all its chunks, so holes cost nothing and it is the same
 * wherever a file system keeps its holes.
 *
 * @module
 */
import { isZero, type RamSource } from "../../machine/ram_source.ts";
import { sha256, SHA256_BYTES } from "../../sys/digest.ts";
import { readAt, writeAt } from "../../sys/positioned_io.ts";
import { type DataRange, nextData } from "../../sys/sparse.ts";

const PAGE = 4096;
const PAGE_WORDS = PAGE / 4;
/** What is written at once. */
const RUN_BYTES = 1 << 20;
export const CHUNK_BYTES = 2 << 20;

/** Copies RAM to a file, a piece at a time. */
export class MemoryWriter {
  /** Bytes that are looked at, and that have been. */
  readonly totalBytes: number;
  doneBytes = 0;
  readonly #fd: number;
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #words: Uint32Array;
  readonly #ranges: DataRange[];

  constructor(source: RamSource, fd: number) {
    this.#fd = fd;
    this.#bytes = source.bytes;
    const { buffer, byteOffset, byteLength } = source.bytes;
    this.#words = new Uint32Array(buffer, byteOffset, byteLength / 4);
    this.#ranges = source.ranges().map((range) => ({ ...range }));
    this.totalBytes = this.#ranges.reduce((sum, { start, end }) => sum + end - start, 0);
  }

  /** Copies about `budget` bytes more; true once all is copied. */
  step(budget: number): boolean {
    while (budget > 0) {
      const [range] = this.#ranges;
      if (range === undefined) return true;
      const end = Math.min(range.end, range.start + budget);
      this.#copy(range.start, end);
      this.doneBytes += end - range.start;
      budget -= end - range.start;
      range.start = end;
      if (range.start >= range.end) this.#ranges.shift();
    }
    return this.#ranges.length === 0;
  }

  #copy(start: number, end: number): void {
    let from = -1;
    for (let at = start; at < end; at += PAGE) {
      const zero = isZero(this.#words, at / 4, PAGE_WORDS);
      if (from >= 0 && (zero || at - from >= RUN_BYTES)) {
        writeAt(this.#fd, this.#bytes.subarray(from, at), from);
        from = -1;
      }
      if (!zero && from < 0) from = at;
    }
    if (from >= 0) writeAt(this.#fd, this.#bytes.subarray(from, end), from);
  }
}

/** Makes the digest of RAM in a file, a piece at a time. */
export class MemoryDigest {
  readonly #fd: number;
  readonly #length: number;
  readonly #chunk = new Uint8Array(CHUNK_BYTES);
  readonly #digests: Uint8Array;
  /** Of a whole chunk of zeros. */
  readonly #zeros = sha256(this.#chunk);
  #next = 0;

  constructor(fd: number, length: number) {
    this.#fd = fd;
    this.#length = length;
    this.#digests = new Uint8Array(Math.ceil(length / CHUNK_BYTES) * SHA256_BYTES);
  }

  /** Reads on until it has read a chunk; true once all is read. */
  step(): boolean {
    const at = this.#next * CHUNK_BYTES;
    const data = nextData(this.#fd, at, this.#length);
    const first = data === null ? Infinity : Math.floor(data.start / CHUNK_BYTES);
    for (; this.#next < first && this.#size(this.#next) === CHUNK_BYTES; this.#next++) {
      this.#digests.set(this.#zeros, this.#next * SHA256_BYTES);
    }
    const size = this.#size(this.#next);
    if (size <= 0) return true;
    const bytes = this.#chunk.subarray(0, size);
    const n = readAt(this.#fd, bytes, this.#next * CHUNK_BYTES);
    if (n < size) throw new Error("Cannot read the guest's memory: its file has become shorter");
    this.#digests.set(sha256(bytes), this.#next++ * SHA256_BYTES);
    return this.#size(this.#next) <= 0;
  }

  #size(chunk: number): number {
    return Math.min(CHUNK_BYTES, this.#length - chunk * CHUNK_BYTES);
  }

  get doneBytes(): number {
    return Math.min(this.#next * CHUNK_BYTES, this.#length);
  }

  /** Hexadecimal, once all is read. */
  get value(): string {
    return sha256(this.#digests).toHex();
  }
}
