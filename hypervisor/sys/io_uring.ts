/**
 * io_uring(7): reads, writes and syncs handed to the kernel in batches, one system call each.
 *
 * @module
 */
import { EAGAIN, EBUSY, EINTR, EINVAL, errno, SysError } from "./errno.ts";
import { close } from "./files.ts";
import { io } from "./ioctl.ts";
import { libraryOf } from "./library.ts";
import { map, type Mapping } from "./mapping.ts";
import { struct, type View } from "./struct.ts";

// None of these calls has a wrapper in libc. Integer arguments are narrower in the kernel's own
// declarations, so they can be passed as such and no bigint is made for each call.
const libc = libraryOf({
  setup: { name: "syscall", parameters: ["i32", "u32", "buffer"], result: "i32" },
  enter: {
    name: "syscall",
    parameters: ["i32", "i32", "u32", "u32", "u32", "pointer"],
    result: "i32",
  },
  register: { name: "syscall", parameters: ["i32", "i32", "u32", "buffer", "u32"], result: "i32" },
});

const SYS_IO_URING_SETUP = 425;
const SYS_IO_URING_ENTER = 426;
const SYS_IO_URING_REGISTER = 427;

/** `struct io_uring_params` with its two structs of offsets inlined. */
export const IoUringParams = struct("io_uring_params", {
  sq_entries: "u32",
  cq_entries: "u32",
  flags: "u32",
  sq_thread_cpu: "u32",
  sq_thread_idle: "u32",
  features: "u32",
  wq_fd: "u32",
  resv: ["u32", 3],
  sq_head: "u32",
  sq_tail: "u32",
  sq_ring_mask: "u32",
  sq_ring_entries: "u32",
  sq_flags: "u32",
  sq_dropped: "u32",
  sq_array: "u32",
  sq_resv1: "u32",
  sq_resv2: "u64",
  cq_head: "u32",
  cq_tail: "u32",
  cq_ring_mask: "u32",
  cq_ring_entries: "u32",
  cq_overflow: "u32",
  cq_cqes: "u32",
  cq_flags: "u32",
  cq_resv1: "u32",
  cq_resv2: "u64",
});

/** Bits and numbers of linux/io_uring.h and linux/blkdev.h that are used here. */
export const IO_URING = {
  SETUP_CQSIZE: 1 << 3,
  SETUP_CLAMP: 1 << 4,
  SETUP_COOP_TASKRUN: 1 << 8,
  SETUP_TASKRUN_FLAG: 1 << 9,
  SETUP_SINGLE_ISSUER: 1 << 12,
  FEAT_SINGLE_MMAP: 1 << 0,
  FEAT_NODROP: 1 << 1,
  ENTER_GETEVENTS: 1 << 0,
  SQ_CQ_OVERFLOW: 1 << 1,
  SQ_TASKRUN: 1 << 2,
  REGISTER_BUFFERS: 0,
  REGISTER_FILES: 2,
  OFF_SQES: 0x1000_0000,
  FSYNC_DATASYNC: 1 << 0,
  OP_READV: 1,
  OP_WRITEV: 2,
  OP_FSYNC: 3,
  OP_READ_FIXED: 4,
  OP_WRITE_FIXED: 5,
  OP_FALLOCATE: 17,
  OP_READ: 22,
  OP_WRITE: 23,
  OP_URING_CMD: 46,
} as const;

/** IOSQE_FIXED_FILE, in the word that begins with the opcode. */
const FIXED_FILE = 1 << 8;
const RWF_DSYNC = 2;
/** `BLOCK_URING_CMD_DISCARD`, which kernels before 6.12 do not know. */
export const DISCARD_COMMAND = io(0x12, 0);

// struct io_uring_sqe and io_uring_cqe, in 32-bit words.
const SQE_WORDS = 16;
const CQE_WORDS = 4;
const HIGH = 0x1_0000_0000;

/** The kernel takes buffers of at most this length (1 GiB). */
const MAX_BUFFER = 2 ** 30;

export interface IoRequest {
  /** Which of the ring's files. */
  file: number;
  /** Where the bytes lie, or the iovecs that say so; they stay as they are until the completion. */
  address: number;
  /** How many bytes, or iovecs. */
  length: number;
  vectored: boolean;
  /** Where in the file, in bytes. */
  position: number;
  /** A write completes once it is on the disk. */
  stable: boolean;
}

export interface FileRange {
  file: number;
  /** In bytes, both. */
  position: number;
  length: number;
}

export interface IoUringOptions {
  /** The descriptors that requests are about, by their place in this list. */
  files: readonly number[];
  /** The most requests in flight; a power of two above it is how many completions there is room for. */
  depth: number;
  /**
   * Memory that most requests are about: it is pinned, all of it, so that the kernel need not look up
   * its pages for each. Without effect where RLIMIT_MEMLOCK or the kernel do not allow it.
   */
  buffers?: { address: number; length: number };
}

/** Entries of the submission ring: a longer batch takes a system call for each so many. */
const ENTRIES = 128;

function setup(depth: number, params: View<typeof IoUringParams.fields>): number {
  const { SETUP_CLAMP, SETUP_CQSIZE, SETUP_COOP_TASKRUN, SETUP_SINGLE_ISSUER } = IO_URING;
  const base = SETUP_CLAMP | SETUP_CQSIZE;
  // Interrupting this thread for a completion gains nothing: it learns of them when it waits. Kernels
  // before 6.0 do not know these flags. (With DEFER_TASKRUN, completions would not wake who waits for
  // the ring in epoll.)
  const choices = [
    base | SETUP_COOP_TASKRUN | SETUP_SINGLE_ISSUER | IO_URING.SETUP_TASKRUN_FLAG,
    base,
  ];
  for (const flags of choices) {
    params.flags = flags;
    params.cq_entries = Math.max(depth, 2 * ENTRIES);
    const fd = libc.symbols.setup(SYS_IO_URING_SETUP, ENTRIES, params.$bytes);
    if (fd >= 0) return fd;
    if (errno() !== EINVAL) break;
  }
  throw new SysError("set up an io_uring", errno());
}

/** A ring for one thread, which is the only one that may use it. */
export class IoUring {
  /** Readable when there are completions: call {@linkcode submit} and {@linkcode reap}. */
  readonly fd: number;
  /** Submitted to the kernel and not yet reaped. */
  inFlight = 0;
  /** Whether the memory of {@linkcode IoUringOptions.buffers} is pinned. */
  readonly fixedBuffers: boolean = false;
  readonly #files: readonly number[];
  readonly #fixedFiles: boolean;
  readonly #buffers: number;
  readonly #buffersEnd: number;
  readonly #rings: Mapping;
  readonly #sqeMapping: Mapping;
  readonly #words: Uint32Array<ArrayBuffer>;
  readonly #results: Int32Array<ArrayBuffer>;
  readonly #sqes: Uint32Array<ArrayBuffer>;
  readonly #entries: number;
  readonly #sqMask: number;
  readonly #sqTail: number;
  readonly #sqFlags: number;
  readonly #cqHead: number;
  readonly #cqTail: number;
  readonly #cqMask: number;
  readonly #cqes: number;
  #tail: number;
  #queued = 0;

  /** Throws a {@linkcode SysError} where the kernel has no io_uring or forbids it. */
  constructor(options: IoUringOptions) {
    const params = IoUringParams.create();
    const fd = this.fd = setup(options.depth, params);
    const needed = IO_URING.FEAT_SINGLE_MMAP | IO_URING.FEAT_NODROP;
    if ((params.features & needed) !== needed) {
      close(fd);
      throw new SysError("set up an io_uring of this kernel's age", EINVAL);
    }
    this.#entries = params.sq_entries;
    const length = Math.max(
      params.sq_array + 4 * params.sq_entries,
      params.cq_cqes + 4 * CQE_WORDS * params.cq_entries,
    );
    this.#rings = map(length, { fd });
    this.#sqeMapping = map(4 * SQE_WORDS * params.sq_entries, { fd, offset: IO_URING.OFF_SQES });
    this.#words = new Uint32Array(this.#rings.buffer, 0, length >> 2);
    this.#results = new Int32Array(this.#rings.buffer, 0, length >> 2);
    this.#sqes = new Uint32Array(this.#sqeMapping.buffer);
    this.#sqTail = params.sq_tail >> 2;
    this.#sqFlags = params.sq_flags >> 2;
    this.#sqMask = params.sq_entries - 1;
    this.#cqHead = params.cq_head >> 2;
    this.#cqTail = params.cq_tail >> 2;
    this.#cqMask = params.cq_entries - 1;
    this.#cqes = params.cq_cqes >> 2;
    this.#tail = this.#words[this.#sqTail];
    // Slot i always holds entry i, so the indirection array is written once.
    for (let i = 0; i < params.sq_entries; i++) this.#words[(params.sq_array >> 2) + i] = i;
    this.#files = options.files;
    this.#fixedFiles = this.#register(IO_URING.REGISTER_FILES, Int32Array.from(options.files));
    const { address = 0, length: bytes = 0 } = options.buffers ?? {};
    this.#buffers = address;
    this.#buffersEnd = address + bytes;
    if (bytes > 0) {
      this.fixedBuffers = this.#register(IO_URING.REGISTER_BUFFERS, iovecsOf(address, bytes));
    }
  }

  /** False where it cannot be had: without, requests are slower and no less right. */
  #register(what: number, table: Int32Array<ArrayBuffer> | BigUint64Array<ArrayBuffer>): boolean {
    const count = what === IO_URING.REGISTER_FILES ? table.length : table.length / 2;
    const bytes = new Uint8Array(table.buffer);
    return libc.symbols.register(SYS_IO_URING_REGISTER, this.fd, what, bytes, count) >= 0;
  }

  #next(opcode: number, file: number, tag: number): number {
    if (this.#queued === this.#entries) this.submit();
    const at = (this.#tail & this.#sqMask) * SQE_WORDS;
    const sqes = this.#sqes;
    sqes.fill(0, at, at + SQE_WORDS);
    sqes[at] = this.#fixedFiles ? opcode | FIXED_FILE : opcode;
    sqes[at + 1] = this.#fixedFiles ? file : this.#files[file];
    sqes[at + 8] = tag;
    this.#tail = (this.#tail + 1) >>> 0;
    this.#queued++;
    return at;
  }

  /** Sets one of the entry's 64-bit fields, at its word. */
  #wide(at: number, value: number): void {
    this.#sqes[at] = value % HIGH;
    this.#sqes[at + 1] = value / HIGH;
  }

  /** Which of the pinned buffers holds all of the request; -1 if none. */
  #bufferOf(request: IoRequest): number {
    if (!this.fixedBuffers || request.vectored) return -1;
    const { address, length } = request;
    if (address < this.#buffers || address + length > this.#buffersEnd) return -1;
    const first = Math.floor((address - this.#buffers) / MAX_BUFFER);
    return address + length <= this.#buffers + (first + 1) * MAX_BUFFER ? first : -1;
  }

  #transfer(at: number, request: IoRequest, buffer: number): void {
    this.#wide(at + 2, request.position);
    this.#wide(at + 4, request.address);
    this.#sqes[at + 6] = request.length;
    if (buffer > 0) this.#sqes[at + 10] = buffer;
  }

  /** Queues a read; `tag` (32 bits) comes back with its completion. */
  read(tag: number, request: IoRequest): void {
    const buffer = this.#bufferOf(request);
    const opcode = request.vectored
      ? IO_URING.OP_READV
      : buffer < 0
      ? IO_URING.OP_READ
      : IO_URING.OP_READ_FIXED;
    this.#transfer(this.#next(opcode, request.file, tag), request, buffer);
  }

  /** Queues a write. */
  write(tag: number, request: IoRequest): void {
    const buffer = this.#bufferOf(request);
    const opcode = request.vectored
      ? IO_URING.OP_WRITEV
      : buffer < 0
      ? IO_URING.OP_WRITE
      : IO_URING.OP_WRITE_FIXED;
    const at = this.#next(opcode, request.file, tag);
    this.#transfer(at, request, buffer);
    if (request.stable) this.#sqes[at + 7] = RWF_DSYNC;
  }

  /** Queues an fdatasync, which covers the writes that completed before. */
  datasync(tag: number, file: number): void {
    this.#sqes[this.#next(IO_URING.OP_FSYNC, file, tag) + 7] = IO_URING.FSYNC_DATASYNC;
  }

  /** Queues an fallocate(2) of this mode. */
  fallocate(tag: number, range: FileRange & { mode: number }): void {
    const at = this.#next(IO_URING.OP_FALLOCATE, range.file, tag);
    this.#wide(at + 2, range.position);
    this.#wide(at + 4, range.length);
    this.#sqes[at + 6] = range.mode;
  }

  /** Queues the discard of a block device's range; EINVAL or EOPNOTSUPP where that cannot be. */
  discard(tag: number, range: FileRange): void {
    const at = this.#next(IO_URING.OP_URING_CMD, range.file, tag);
    this.#sqes[at + 2] = DISCARD_COMMAND;
    this.#wide(at + 4, range.position);
    this.#wide(at + 12, range.length);
  }

  /**
   * Hands all that is queued to the kernel, and lets it post what has completed. Much of what is queued
   * (reads from the page cache) is done on return: {@linkcode reap} finds it.
   */
  submit(): void {
    if (this.#queued === 0 && !this.#hasWork) return;
    Atomics.store(this.#words, this.#sqTail, this.#tail);
    const flags = IO_URING.ENTER_GETEVENTS;
    do {
      const n = libc.symbols.enter(SYS_IO_URING_ENTER, this.fd, this.#queued, 0, flags, null);
      if (n < 0) {
        const code = errno();
        if (code === EINTR || code === EAGAIN || code === EBUSY) continue;
        throw new SysError("submit to an io_uring", code);
      }
      this.#queued -= n;
      this.inFlight += n;
    } while (this.#queued > 0);
  }

  /** The kernel has completions that it posts when this thread enters it. */
  get #hasWork(): boolean {
    const flags = Atomics.load(this.#words, this.#sqFlags);
    return (flags & (IO_URING.SQ_TASKRUN | IO_URING.SQ_CQ_OVERFLOW)) !== 0;
  }

  /** Calls `done` for each completion with its tag and its result (a negative errno); how many there were. */
  reap(done: (tag: number, result: number) => void): number {
    const words = this.#words;
    let n = 0;
    for (;;) {
      const head = words[this.#cqHead];
      if (Atomics.load(words, this.#cqTail) === head) return n;
      const at = this.#cqes + (head & this.#cqMask) * CQE_WORDS;
      const tag = words[at];
      const result = this.#results[at + 2];
      Atomics.store(words, this.#cqHead, (head + 1) >>> 0);
      this.inFlight--;
      n++;
      done(tag, result);
    }
  }

  /** Blocks until at least one completion of what was submitted can be reaped. */
  wait(): void {
    if (this.inFlight === 0) return;
    const flags = IO_URING.ENTER_GETEVENTS;
    const n = libc.symbols.enter(SYS_IO_URING_ENTER, this.fd, 0, 1, flags, null);
    if (n < 0 && errno() !== EINTR) throw new SysError("wait for an io_uring", errno());
  }

  /** Frees the ring, which must have nothing in flight; what is only queued is forgotten. */
  close(): void {
    this.#rings.unmap();
    this.#sqeMapping.unmap();
    close(this.fd);
  }
}

/** `struct iovec`s over a range, each as long as the kernel takes. */
function iovecsOf(address: number, length: number): BigUint64Array<ArrayBuffer> {
  const iovecs = new BigUint64Array(2 * Math.ceil(length / MAX_BUFFER));
  for (let at = 0, i = 0; at < length; at += MAX_BUFFER) {
    iovecs[i++] = BigInt(address + at);
    iovecs[i++] = BigInt(Math.min(MAX_BUFFER, length - at));
  }
  return iovecs;
}
