/**
 * How a block device's requests reach its file: io_uring where the kernel has it, else one system call
 * for each.
 *
 * @module
 */
import { EINVAL, EOPNOTSUPP, SysError } from "../../sys/errno.ts";
import { ALLOCATE, discard, fallocate } from "../../sys/fallocate.ts";
import { IoUring } from "../../sys/io_uring.ts";
import type { Iovecs } from "../../sys/iovecs.ts";
import { fdatasync, preadv, pwritev } from "../../sys/vectored_io.ts";

export type EngineKind = "io_uring" | "sync";

/** A request's iovecs and where its data lies in the file. */
export interface Transfer {
  index: number;
  count: number;
  position: number;
  /** Past the page cache: the caller has seen to it that everything is aligned as the file asks for. */
  direct: boolean;
}

export interface BlockRange {
  /** In bytes, both. */
  position: number;
  length: number;
}

/**
 * Starts transfers and says when they are done. `tag` tells a request from the others in flight; the
 * result is the number of bytes, or a negative errno.
 */
export interface BlockEngine {
  readonly kind: EngineKind;
  /** Readable when there are completions; -1 if every one is there after {@linkcode submit}. */
  readonly fd: number;
  readonly inFlight: number;
  /** Whether guest RAM is pinned for it. */
  readonly fixedBuffers: boolean;
  read(tag: number, transfer: Transfer): void;
  /** `stable`: complete only once it is on the disk. */
  write(tag: number, transfer: Transfer & { stable: boolean }): void;
  sync(tag: number): void;
  /** The range's content is no longer needed. */
  discard(tag: number, range: BlockRange): void;
  /** The range is to read as zeros; `unmap` where its blocks may be given back. */
  zero(tag: number, range: BlockRange & { unmap: boolean }): void;
  submit(): void;
  reap(done: (tag: number, result: number) => void): number;
  /** Blocks until something can be reaped. */
  wait(): void;
  close(): void;
}

export interface EngineOptions {
  fd: number;
  /** The same file, opened with O_DIRECT. */
  directFd?: number;
  /** It is a block device, and no file. */
  blockDevice?: boolean;
  iovecs: Iovecs;
  /** The most requests in flight. */
  depth: number;
  /** Guest RAM, to be pinned; left out where it is not to be. */
  buffers?: { address: number; length: number };
}

/** The engine `kind`, or the best one that works here. */
export function createEngine(options: EngineOptions, kind?: EngineKind): BlockEngine {
  if (kind === "sync") return new SyncEngine(options);
  try {
    return new RingEngine(options);
  } catch (error) {
    if (kind !== undefined || !(error instanceof SysError)) throw error;
    return new SyncEngine(options);
  }
}

const FREE = ALLOCATE.PUNCH_HOLE | ALLOCATE.KEEP_SIZE;
const ZERO = ALLOCATE.ZERO_RANGE | ALLOCATE.KEEP_SIZE;
const CACHED = 0;
const DIRECT = 1;

class RingEngine implements BlockEngine {
  readonly kind = "io_uring";
  readonly #ring: IoUring;
  readonly #iovecs: Iovecs;
  /** Block devices have a discard of their own, in kernels that let io_uring ask for it. */
  #discards: boolean;
  // Filled anew for each request: the ring copies it, and nothing is allocated.
  readonly #request = {
    file: CACHED,
    address: 0,
    length: 0,
    vectored: false,
    position: 0,
    stable: false,
  };
  readonly #range = { file: CACHED, position: 0, length: 0, mode: 0 };
  /** What {@linkcode reap} was called with, while it looks for discards that cannot be. */
  readonly #pendingDiscards = new Map<number, BlockRange>();

  constructor(options: EngineOptions) {
    const { fd, directFd, depth, buffers } = options;
    const files = directFd === undefined ? [fd] : [fd, directFd];
    this.#ring = new IoUring({ files, depth, buffers });
    this.#iovecs = options.iovecs;
    this.#discards = options.blockDevice ?? false;
  }

  get fd(): number {
    return this.#ring.fd;
  }

  get inFlight(): number {
    return this.#ring.inFlight;
  }

  get fixedBuffers(): boolean {
    return this.#ring.fixedBuffers;
  }

  #fill(transfer: Transfer) {
    const { index, count } = transfer;
    const request = this.#request;
    const iovecs = this.#iovecs;
    // One piece needs no array that the kernel would have to read.
    request.vectored = count > 1;
    request.address = count > 1 ? iovecs.address(index) : iovecs.base(index);
    request.length = count > 1 ? count : iovecs.length(index);
    request.file = transfer.direct ? DIRECT : CACHED;
    request.position = transfer.position;
    return request;
  }

  read(tag: number, transfer: Transfer): void {
    this.#ring.read(tag, this.#fill(transfer));
  }

  write(tag: number, transfer: Transfer & { stable: boolean }): void {
    const request = this.#fill(transfer);
    request.stable = transfer.stable;
    this.#ring.write(tag, request);
  }

  sync(tag: number): void {
    this.#ring.datasync(tag, CACHED);
  }

  discard(tag: number, range: BlockRange): void {
    if (!this.#discards) return this.#allocate(tag, range, FREE);
    const { position, length } = range;
    this.#pendingDiscards.set(tag, { position, length });
    this.#ring.discard(tag, { file: CACHED, position, length });
  }

  zero(tag: number, range: BlockRange & { unmap: boolean }): void {
    this.#allocate(tag, range, range.unmap ? FREE : ZERO);
  }

  #allocate(tag: number, range: BlockRange, mode: number): void {
    this.#range.position = range.position;
    this.#range.length = range.length;
    this.#range.mode = mode;
    this.#ring.fallocate(tag, this.#range);
  }

  submit(): void {
    this.#ring.submit();
  }

  reap(done: (tag: number, result: number) => void): number {
    if (this.#pendingDiscards.size === 0) return this.#ring.reap(done);
    return this.#ring.reap((tag, result) => {
      const range = this.#pendingDiscards.get(tag);
      this.#pendingDiscards.delete(tag);
      if (range !== undefined && (result === -EINVAL || result === -EOPNOTSUPP)) {
        // An older kernel: zeros do as well.
        this.#discards = false;
        this.#allocate(tag, range, FREE);
      } else done(tag, result);
    });
  }

  wait(): void {
    this.#ring.submit();
    this.#ring.wait();
  }

  close(): void {
    this.#ring.close();
  }
}

class SyncEngine implements BlockEngine {
  readonly kind = "sync";
  readonly fd = -1;
  readonly fixedBuffers = false;
  inFlight = 0;
  readonly #fd: number;
  readonly #directFd: number;
  readonly #blockDevice: boolean;
  readonly #iovecs: Iovecs;
  // A circle: while one is reaped, the rest of a transfer that was cut short may join.
  readonly #tags: Int32Array;
  readonly #results: Int32Array;
  #first = 0;

  constructor(options: EngineOptions) {
    this.#fd = options.fd;
    this.#directFd = options.directFd ?? options.fd;
    this.#blockDevice = options.blockDevice ?? false;
    this.#iovecs = options.iovecs;
    this.#tags = new Int32Array(options.depth);
    this.#results = new Int32Array(options.depth);
  }

  #finish(tag: number, result: number): void {
    const at = (this.#first + this.inFlight++) % this.#tags.length;
    this.#tags[at] = tag;
    this.#results[at] = result;
  }

  #file(transfer: Transfer): number {
    return transfer.direct ? this.#directFd : this.#fd;
  }

  read(tag: number, transfer: Transfer): void {
    this.#finish(tag, preadv(this.#file(transfer), this.#iovecs, transfer));
  }

  write(tag: number, transfer: Transfer & { stable: boolean }): void {
    this.#finish(tag, pwritev(this.#file(transfer), this.#iovecs, transfer));
  }

  sync(tag: number): void {
    this.#finish(tag, fdatasync(this.#fd));
  }

  discard(tag: number, range: BlockRange): void {
    this.#finish(
      tag,
      this.#blockDevice ? discard(this.#fd, range) : fallocate(this.#fd, FREE, range),
    );
  }

  zero(tag: number, range: BlockRange & { unmap: boolean }): void {
    this.#finish(tag, fallocate(this.#fd, range.unmap ? FREE : ZERO, range));
  }

  submit(): void {}

  reap(done: (tag: number, result: number) => void): number {
    let n = 0;
    for (; this.inFlight > 0; n++) {
      const at = this.#first;
      this.#first = (at + 1) % this.#tags.length;
      this.inFlight--;
      done(this.#tags[at], this.#results[at]);
    }
    return n;
  }

  wait(): void {}

  close(): void {}
}
