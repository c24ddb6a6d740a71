/**
 * RAM in a file: every byte where it lies in RAM's mapping, and a hole wherever there are zeros.
 *
 * Each chunk of it has a SHA-256, so holes cost nothing, they are the same wherever a file system keeps its
 * holes, and of a file that began as another's only what has changed is to be read for them.
 *
 * @module
 */
import { sha256, SHA256_BYTES } from "../../sys/digest.ts";
import { readAt } from "../../sys/positioned_io.ts";
import { nextData } from "../../sys/sparse.ts";

export const CHUNK_BYTES = 2 << 20;

/** How many bytes the digests of a file of `length` bytes take. */
export function digestBytes(length: number): number {
  return Math.ceil(length / CHUNK_BYTES) * SHA256_BYTES;
}

/** Makes the digests of RAM in a file, a piece at a time. */
export class MemoryDigest {
  readonly #fd: number;
  readonly #length: number;
  readonly #chunk = new Uint8Array(CHUNK_BYTES);
  readonly #digests: Uint8Array;
  readonly #chunks: Uint8Array | undefined;
  /** Of a whole chunk of zeros. */
  readonly #zeros = sha256(this.#chunk);
  #next = 0;

  /** Fills `digests`; with `chunks` only those of chunks for which it has a 1. */
  constructor(fd: number, options: { length: number; digests: Uint8Array; chunks?: Uint8Array }) {
    this.#fd = fd;
    this.#length = options.length;
    this.#digests = options.digests;
    this.#chunks = options.chunks;
  }

  /** Reads on until it has read a chunk; true once all is read. */
  step(): boolean {
    const chunks = this.#chunks;
    while (chunks?.[this.#next] === 0) this.#next++;
    if (this.#size(this.#next) <= 0) return true;
    const at = this.#next * CHUNK_BYTES;
    const data = nextData(this.#fd, at, this.#length);
    const first = data === null ? Infinity : Math.floor(data.start / CHUNK_BYTES);
    for (; this.#next < first && this.#size(this.#next) === CHUNK_BYTES; this.#next++) {
      if (chunks?.[this.#next] !== 0) this.#digests.set(this.#zeros, this.#next * SHA256_BYTES);
    }
    if (chunks?.[this.#next] === 0) return false;
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
}
