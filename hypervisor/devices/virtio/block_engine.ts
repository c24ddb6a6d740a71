/**
 * How a block device's requests reach its file: io_uring where the kernel has it, else one system call
 * for each.
 *
 * @module
 */
import { SysError } from "../../sys/errno.ts";
import { IoUring } from "../../sys/io_uring.ts";
import type { Iovecs } from "../../sys/iovecs.ts";
import { fdatasync, preadv, pwritev } from "../../sys/vectored_io.ts";

export type EngineKind = "io_uring" | "sync";

/** A request's iovecs and where its data lies in the file. */
export interface Transfer {
  index: number;
  count: number;
  position: number;
}

/**
 * Starts transfers and says when they are done. `tag` tells a request from the others in flight; the
 * result is the number of bytes, or a negative errno.
 */
export interface BlockEngine {
  readonly kind: EngineKind;
  /** Readable when there are completions to reap; -1 if every one is there after {@linkcode submit}. */
  readonly eventFd: number;
  readonly inFlight: number;
  read(tag: number, transfer: Transfer): void;
  /** `stable`: complete only once it is on the disk. */
  write(tag: number, transfer: Transfer & { stable: boolean }): void;
  sync(tag: number): void;
  submit(): void;
  reap(done: (tag: number, result: number) => void): number;
  /** Blocks until something can be reaped. */
  wait(): void;
  close(): void;
}

export interface EngineOptions {
  fd: number;
  iovecs: Iovecs;
  /** The most requests in flight. */
  depth: number;
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

class RingEngine implements BlockEngine {
  readonly kind = "io_uring";
  readonly #ring: IoUring;
  readonly #fd: number;
  readonly #iovecs: Iovecs;
  // Filled anew for each request: the ring copies it, and nothing is allocated.
  readonly #request = { fd: -1, iovecs: 0, count: 0, position: 0, stable: false };

  constructor(options: EngineOptions) {
    this.#ring = new IoUring(options.depth);
    this.#fd = this.#request.fd = options.fd;
    this.#iovecs = options.iovecs;
  }

  get eventFd(): number {
    return this.#ring.eventFd;
  }

  get inFlight(): number {
    return this.#ring.inFlight;
  }

  #fill(transfer: Transfer) {
    const request = this.#request;
    request.iovecs = this.#iovecs.address(transfer.index);
    request.count = transfer.count;
    request.position = transfer.position;
    return request;
  }

  read(tag: number, transfer: Transfer): void {
    this.#ring.readv(tag, this.#fill(transfer));
  }

  write(tag: number, transfer: Transfer & { stable: boolean }): void {
    const request = this.#fill(transfer);
    request.stable = transfer.stable;
    this.#ring.writev(tag, request);
  }

  sync(tag: number): void {
    this.#ring.datasync(tag, this.#fd);
  }

  submit(): void {
    this.#ring.submit();
  }

  reap(done: (tag: number, result: number) => void): number {
    return this.#ring.reap(done);
  }

  wait(): void {
    this.#ring.wait();
  }

  close(): void {
    this.#ring.close();
  }
}

class SyncEngine implements BlockEngine {
  readonly kind = "sync";
  readonly eventFd = -1;
  inFlight = 0;
  readonly #fd: number;
  readonly #iovecs: Iovecs;
  // A circle: while one is reaped, the rest of a transfer that was cut short may join.
  readonly #tags: Int32Array;
  readonly #results: Int32Array;
  #first = 0;

  constructor(options: EngineOptions) {
    this.#fd = options.fd;
    this.#iovecs = options.iovecs;
    this.#tags = new Int32Array(options.depth);
    this.#results = new Int32Array(options.depth);
  }

  #finish(tag: number, result: number): void {
    const at = (this.#first + this.inFlight++) % this.#tags.length;
    this.#tags[at] = tag;
    this.#results[at] = result;
  }

  read(tag: number, transfer: Transfer): void {
    this.#finish(tag, preadv(this.#fd, this.#iovecs, transfer));
  }

  write(tag: number, transfer: Transfer & { stable: boolean }): void {
    this.#finish(tag, pwritev(this.#fd, this.#iovecs, transfer));
  }

  sync(tag: number): void {
    this.#finish(tag, fdatasync(this.#fd));
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
