/**
 * io_uring(7): reads, writes and syncs handed to the kernel in batches, one system call each.
 *
 * @module
 */
import { EAGAIN, EBUSY, EINTR, EINVAL, errno, SysError } from "./errno.ts";
import { drain, eventfd } from "./eventfd.ts";
import { close } from "./files.ts";
import { map, type Mapping } from "./mapping.ts";
import { struct, type View } from "./struct.ts";

// None of these calls has a wrapper in libc. Integer arguments are narrower in the kernel's own
// declarations, so they can be passed as such and no bigint is made for each call.
const libc = Deno.dlopen("libc.so.6", {
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

const SETUP_CLAMP = 1 << 4;
const SETUP_COOP_TASKRUN = 1 << 8;
const SETUP_SINGLE_ISSUER = 1 << 12;
const FEAT_SINGLE_MMAP = 1 << 0;
const FEAT_NODROP = 1 << 1;
const ENTER_GETEVENTS = 1 << 0;
const REGISTER_EVENTFD = 4;
const OFF_SQES = 0x1000_0000;
const FSYNC_DATASYNC = 1 << 0;
const RWF_DSYNC = 2;

const OP_READV = 1;
const OP_WRITEV = 2;
const OP_FSYNC = 3;

// struct io_uring_sqe and io_uring_cqe, in 32-bit words.
const SQE_WORDS = 16;
const CQE_WORDS = 4;
const HIGH = 0x1_0000_0000;

export interface VectorRequest {
  fd: number;
  /** Address and number of the iovecs, which stay as they are until the completion. */
  iovecs: number;
  count: number;
  /** Where in the file, in bytes. */
  position: number;
}

function setup(entries: number, params: View<typeof IoUringParams.fields>): number {
  // Interrupting this thread for a completion gains nothing: it learns of them when it waits. Kernels
  // before 6.0 do not know these flags.
  for (const flags of [SETUP_CLAMP | SETUP_COOP_TASKRUN | SETUP_SINGLE_ISSUER, SETUP_CLAMP]) {
    params.flags = flags;
    const fd = libc.symbols.setup(SYS_IO_URING_SETUP, entries, params.$bytes);
    if (fd >= 0) return fd;
    if (errno() !== EINVAL) break;
  }
  throw new SysError("set up an io_uring", errno());
}

/** A ring for one thread, which is the only one that may use it. */
export class IoUring {
  /** Readable when completions arrived outside of {@linkcode submit}. */
  readonly eventFd: number;
  readonly entries: number;
  /** Submitted to the kernel and not yet reaped. */
  inFlight = 0;
  readonly #fd: number;
  readonly #rings: Mapping;
  readonly #sqeMapping: Mapping;
  readonly #words: Uint32Array<ArrayBuffer>;
  readonly #results: Int32Array<ArrayBuffer>;
  readonly #sqes: Uint32Array<ArrayBuffer>;
  readonly #sqMask: number;
  readonly #sqTail: number;
  readonly #cqHead: number;
  readonly #cqTail: number;
  readonly #cqMask: number;
  readonly #cqes: number;
  #tail: number;
  #queued = 0;

  /** Throws a {@linkcode SysError} where the kernel has no io_uring or forbids it. */
  constructor(entries: number) {
    const params = IoUringParams.create();
    const fd = this.#fd = setup(entries, params);
    const needed = FEAT_SINGLE_MMAP | FEAT_NODROP;
    if ((params.features & needed) !== needed) {
      close(fd);
      throw new SysError("set up an io_uring of this kernel's age", EINVAL);
    }
    this.entries = params.sq_entries;
    const length = Math.max(
      params.sq_array + 4 * params.sq_entries,
      params.cq_cqes + 4 * CQE_WORDS * params.cq_entries,
    );
    this.#rings = map(length, { fd });
    this.#sqeMapping = map(4 * SQE_WORDS * params.sq_entries, { fd, offset: OFF_SQES });
    this.#words = new Uint32Array(this.#rings.buffer, 0, length >> 2);
    this.#results = new Int32Array(this.#rings.buffer, 0, length >> 2);
    this.#sqes = new Uint32Array(this.#sqeMapping.buffer);
    this.#sqTail = params.sq_tail >> 2;
    this.#sqMask = params.sq_entries - 1;
    this.#cqHead = params.cq_head >> 2;
    this.#cqTail = params.cq_tail >> 2;
    this.#cqMask = params.cq_entries - 1;
    this.#cqes = params.cq_cqes >> 2;
    this.#tail = this.#words[this.#sqTail];
    // Slot i always holds entry i, so the indirection array is written once.
    for (let i = 0; i < params.sq_entries; i++) this.#words[(params.sq_array >> 2) + i] = i;
    this.eventFd = eventfd();
    const fds = new Uint8Array(new Int32Array([this.eventFd]).buffer);
    if (libc.symbols.register(SYS_IO_URING_REGISTER, fd, REGISTER_EVENTFD, fds, 1) < 0) {
      const code = errno();
      this.close();
      throw new SysError("register an eventfd with an io_uring", code);
    }
  }

  #next(opcode: number, fd: number, tag: number): number {
    if (this.#queued === this.entries) this.submit();
    const at = (this.#tail & this.#sqMask) * SQE_WORDS;
    const sqes = this.#sqes;
    sqes.fill(0, at, at + SQE_WORDS);
    sqes[at] = opcode;
    sqes[at + 1] = fd;
    sqes[at + 8] = tag;
    this.#tail = (this.#tail + 1) >>> 0;
    this.#queued++;
    return at;
  }

  #vector(at: number, request: VectorRequest): void {
    const sqes = this.#sqes;
    sqes[at + 2] = request.position % HIGH;
    sqes[at + 3] = request.position / HIGH;
    sqes[at + 4] = request.iovecs % HIGH;
    sqes[at + 5] = request.iovecs / HIGH;
    sqes[at + 6] = request.count;
  }

  /** Queues a read; `tag` (32 bits) comes back with its completion. */
  readv(tag: number, request: VectorRequest): void {
    this.#vector(this.#next(OP_READV, request.fd, tag), request);
  }

  /** Queues a write; `stable` completes once it is on the disk. */
  writev(tag: number, request: VectorRequest & { stable: boolean }): void {
    const at = this.#next(OP_WRITEV, request.fd, tag);
    this.#vector(at, request);
    if (request.stable) this.#sqes[at + 7] = RWF_DSYNC;
  }

  /** Queues an fdatasync, which covers the writes that completed before. */
  datasync(tag: number, fd: number): void {
    this.#sqes[this.#next(OP_FSYNC, fd, tag) + 7] = FSYNC_DATASYNC;
  }

  /**
   * Hands all that is queued to the kernel. Much of it (reads from the page cache) is done on return:
   * {@linkcode reap} finds it, and {@linkcode eventFd} does not wake anybody for it.
   */
  submit(): void {
    if (this.#queued === 0) return;
    Atomics.store(this.#words, this.#sqTail, this.#tail);
    while (this.#queued > 0) {
      const n = libc.symbols.enter(SYS_IO_URING_ENTER, this.#fd, this.#queued, 0, 0, null);
      if (n < 0) {
        const code = errno();
        if (code === EINTR || code === EAGAIN || code === EBUSY) continue;
        throw new SysError("submit to an io_uring", code);
      }
      this.#queued -= n;
      this.inFlight += n;
    }
    // What this takes off was posted before, so the reap that follows sees it; what is posted later
    // signals again. (The ring's own switch for the eventfd has no barrier in older kernels.)
    drain(this.eventFd);
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
    const n = libc.symbols.enter(SYS_IO_URING_ENTER, this.#fd, 0, 1, ENTER_GETEVENTS, null);
    if (n < 0 && errno() !== EINTR) throw new SysError("wait for an io_uring", errno());
  }

  /** Frees the ring, which must have nothing in flight; what is only queued is forgotten. */
  close(): void {
    this.#rings.unmap();
    this.#sqeMapping.unmap();
    close(this.eventFd);
    close(this.#fd);
  }
}
