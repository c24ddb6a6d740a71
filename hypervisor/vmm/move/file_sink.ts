/**
 * A guest's memory as a sparse file, in which each byte lies where it lies in the mapping.
 *
 * A file for a first copy is new, and gets what is not zero. For a copy that is to replace another, it
 * begins as a reflink of that one's file, and gets what has changed since.
 *
 * It has no digests of its own. What the kernel reads from a page that the guest is writing to, nobody
 * knows but the kernel: a digest of the page would be one of what it held at another time. And a digest
 * that is worth its time says what a disk gives back later: it is taken from the finished file, when the
 * guest runs again.
 *
 * @module
 */
import { EOPNOTSUPP, SysError } from "../../sys/errno.ts";
import { writeAll } from "../../sys/copying_io.ts";
import { ALLOCATE, fallocate, setLength } from "../../sys/fallocate.ts";
import { map, type Mapping } from "../../sys/mapping.ts";
import { fdatasync } from "../../sys/vectored_io.ts";
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
}

export class FileSink implements RamSink {
  readonly mostBytes = MiB;
  sentBytes = 0;
  readonly #options: FileSinkOptions;
  /** Zeros to write, where the file system has no holes. */
  #zeros: Mapping | undefined;
  #hasOnlyHoles: boolean;

  constructor(options: FileSinkOptions) {
    this.#options = options;
    this.#hasOnlyHoles = options.isNew;
    setLength(options.fd, options.length);
  }

  round(number: number): void {
    // In the first pass over memory no page comes twice.
    if (number > 0) this.#hasOnlyHoles = false;
  }

  data(offset: number, length: number): void {
    const { fd, address } = this.#options;
    writeAll(fd, { address: address + offset, length }, offset);
    this.sentBytes += length;
  }

  zero(offset: number, length: number): void {
    if (this.#hasOnlyHoles) return;
    const { fd } = this.#options;
    const mode = ALLOCATE.PUNCH_HOLE | ALLOCATE.KEEP_SIZE;
    const result = fallocate(fd, mode, { position: offset, length });
    if (result === -EOPNOTSUPP) this.#writeZeros(offset, length);
    else if (result < 0) throw new SysError(`punch a hole at ${offset}`, -result);
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
    const result = fdatasync(this.#options.fd);
    if (result < 0) throw new SysError("write the copy of memory to its disk", -result);
  }

  close(): void {
    this.#zeros?.unmap();
  }
}
