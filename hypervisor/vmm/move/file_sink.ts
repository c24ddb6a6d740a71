/**
 * A guest's memory as a sparse file, in which each byte lies where it lies in the mapping.
 *
 * A file for a first copy is new, and gets what is not zero. For a copy that is to replace another, it
 * begins as a reflink of that one's file, and gets what has changed since.
 *
 * Its digests are taken from the finished file, when the guest runs again, by this thread. What the kernel
 * reads from a page that the guest is writing to, nobody knows but the kernel: a digest of the page would
 * be one of what it held at another time. Of a file that began as another's, only chunks that were written
 * to are read. All others keep the digests of that one, and should it have been damaged meanwhile, they
 * tell.
 *
 * @module
 */
import { EOPNOTSUPP, SysError } from "../../sys/errno.ts";
import { writeAll } from "../../sys/copying_io.ts";
import { ALLOCATE, fallocate, setLength } from "../../sys/fallocate.ts";
import { map, type Mapping } from "../../sys/mapping.ts";
import { copyData, shareBlocks } from "../../sys/reflink.ts";
import { fdatasync } from "../../sys/vectored_io.ts";
import { CHUNK_BYTES, MemoryDigest } from "../snapshot/memory_file.ts";
import type { RamSink } from "./sink.ts";

const MiB = 2 ** 20;

export interface FileSinkOptions {
  /** Open for writing. */
  fd: number;
  /** Where the memory lies that is copied. */
  address: number;
  /** Bytes of the mapping, which the file will have. */
  length: number;
  /** The file is empty; otherwise it holds an earlier copy. */
  isNew: boolean;
  /** An earlier copy as which the empty file is to begin; it is then not new. */
  base?: number;
  /** Where the digests of all chunks go; those of the earlier copy if there is one. */
  digests?: Uint8Array<SharedArrayBuffer>;
  /** Throws if it is to end. */
  checkCancelled?: () => void;
}

export class FileSink implements RamSink {
  readonly mostBytes = MiB;
  sentBytes = 0;
  readonly #options: FileSinkOptions;
  /** Zeros to write, where the file system has no holes. */
  #zeros: Mapping | undefined;
  #hasOnlyHoles: boolean;
  /** By chunk: 1 where something was written. */
  readonly #written: Uint8Array;

  constructor(options: FileSinkOptions) {
    const { fd, length, isNew, base } = options;
    this.#options = options;
    this.#hasOnlyHoles = isNew;
    this.#written = new Uint8Array(Math.ceil(length / CHUNK_BYTES)).fill(isNew ? 1 : 0);
    if (base !== undefined) this.#beginAs(base);
    setLength(fd, length);
  }

  #beginAs(base: number): void {
    const { fd, checkCancelled } = this.#options;
    if (shareBlocks(fd, base)) return;
    for (const _ of copyData(base, fd)) checkCancelled?.();
  }

  round(number: number): void {
    // In the first pass over memory no page comes twice.
    if (number > 0) this.#hasOnlyHoles = false;
  }

  data(offset: number, length: number): void {
    this.#wrote(offset, length);
    const { fd, address } = this.#options;
    writeAll(fd, { address: address + offset, length }, offset);
    this.sentBytes += length;
  }

  zero(offset: number, length: number): void {
    this.#wrote(offset, length);
    if (this.#hasOnlyHoles) return;
    const { fd } = this.#options;
    const mode = ALLOCATE.PUNCH_HOLE | ALLOCATE.KEEP_SIZE;
    const result = fallocate(fd, mode, { position: offset, length });
    if (result === -EOPNOTSUPP) this.#writeZeros(offset, length);
    else if (result < 0) throw new SysError(`punch a hole at ${offset}`, -result);
  }

  get wireBytes(): number {
    return this.sentBytes;
  }

  #wrote(offset: number, length: number): void {
    const last = Math.floor((offset + length - 1) / CHUNK_BYTES);
    for (let chunk = Math.floor(offset / CHUNK_BYTES); chunk <= last; chunk++) {
      this.#written[chunk] = 1;
    }
  }

  #writeZeros(offset: number, length: number): void {
    const zeros = this.#zeros ??= map(MiB, { private: true });
    for (let at = 0; at < length; at += zeros.length) {
      const part = Math.min(zeros.length, length - at);
      writeAll(this.#options.fd, { address: zeros.address, length: part }, offset + at);
    }
  }

  flush(): void {}

  end(): void {}

  settle(): void {
    const { fd, length, digests, checkCancelled } = this.#options;
    const result = fdatasync(fd);
    if (result < 0) throw new SysError("write the copy of memory to its disk", -result);
    if (digests === undefined) return;
    const digest = new MemoryDigest(fd, { length, digests, chunks: this.#written });
    while (!digest.step()) checkCancelled?.();
  }

  close(): void {
    this.#zeros?.unmap();
  }
}
