/**
 * userfaultfd(2): a page of a mapping that is missing is asked for at a descriptor, and whoever touched it,
 * a thread or the kernel on its behalf, waits until somebody has put it there. Numbers and structs are those
 * of linux/userfaultfd.h, which a test compares.
 *
 * A mapping is watched, not the file behind it: another mapping of the same file finds a page there as soon
 * as it was put into the file by this one, and makes an empty one of what it finds missing.
 *
 * @module
 */
import { EAGAIN, EEXIST, errno, SysError } from "./errno.ts";
import { close, O_RDWR, open } from "./files.ts";
import { io, ioctl, ioctlBuffer, ior, iowr } from "./ioctl.ts";
import { libraryOf } from "./library.ts";
import { addressOf, map, memfd } from "./mapping.ts";
import { struct } from "./struct.ts";

const libc = libraryOf({
  // userfaultfd has no wrapper in the C library.
  userfaultfd: { name: "syscall", parameters: ["i64", "i64"], result: "i64" },
  read: { parameters: ["i32", "buffer", "usize"], result: "i32" },
});

/** asm/unistd_64.h */
const SYS_userfaultfd = 323n;
const O_CLOEXEC_NONBLOCK = 0o2004000;
/** Where an administrator lets others in than root, which the system call does not. */
const DEVICE = "/dev/userfaultfd";
const PAGE = 4096;

const TYPE = 0xAA;

export const Api = struct("uffdio_api", { api: "u64", features: "n64", ioctls: "n64" });
export const Range = struct("uffdio_range", { start: "n64", len: "n64" });
export const Register = struct("uffdio_register", {
  start: "n64",
  len: "n64",
  mode: "n64",
  ioctls: "n64",
});
/** The result is 64 bits wide; no page of ours needs the upper half. */
export const Copy = struct("uffdio_copy", {
  dst: "n64",
  src: "n64",
  len: "n64",
  mode: "n64",
  copy: "i32",
  copy_high: "i32",
});
export const ZeroPage = struct("uffdio_zeropage", {
  start: "n64",
  len: "n64",
  mode: "n64",
  zeropage: "i32",
  zeropage_high: "i32",
});
/** Of a fault; other events are not asked for. */
export const Message = struct("uffd_msg", {
  event: "u8",
  flags: "n64",
  address: "n64",
  ptid: "u32",
});

export const UFFDIO = {
  API: iowr(TYPE, 0x3F, Api.size),
  REGISTER: iowr(TYPE, 0x00, Register.size),
  UNREGISTER: ior(TYPE, 0x01, Range.size),
  WAKE: ior(TYPE, 0x02, Range.size),
  COPY: iowr(TYPE, 0x03, Copy.size),
  ZEROPAGE: iowr(TYPE, 0x04, ZeroPage.size),
} as const;

export const UFFD_API = 0xAA;
export const UFFD_FEATURE_MISSING_SHMEM = 1 << 5;
export const UFFDIO_REGISTER_MODE_MISSING = 1;
export const UFFD_EVENT_PAGEFAULT = 0x12;
export const USERFAULTFD_IOC_NEW: number = io(TYPE, 0x00);
/** `_UFFDIO_WAKE`, `_UFFDIO_COPY` and `_UFFDIO_ZEROPAGE`, as bits. */
export const NEEDED_IOCTLS: number = 1 << 2 | 1 << 3 | 1 << 4;

/** Faults that are read at once. */
const MAX_FAULTS = 64;

export class UserFaults {
  readonly fd: number;
  readonly #copy = Copy.create();
  readonly #zero = ZeroPage.create();
  readonly #range = Range.create();
  readonly #messages = new Uint8Array(MAX_FAULTS * Message.size);
  readonly #faults = Array.from(
    { length: MAX_FAULTS },
    (_, i) => Message.at(this.#messages.buffer, i * Message.size),
  );

  /** Of a descriptor that {@linkcode open} made, in whichever thread. */
  constructor(fd: number) {
    this.fd = fd;
  }

  /**
   * One that never waits, and hears of the kernel's accesses too; throws where this process may not, or
   * the kernel cannot.
   */
  static open(): UserFaults {
    const fd = openDescriptor();
    const api = Api.create({ api: UFFD_API, features: UFFD_FEATURE_MISSING_SHMEM });
    if (ioctlBuffer(fd, UFFDIO.API, api.$bytes) < 0) {
      const code = errno();
      close(fd);
      throw new SysError("watch for missing pages of memory files", code);
    }
    return new UserFaults(fd);
  }

  /** From now on whoever touches a page of this mapping that is missing waits for it. Whole pages. */
  register(address: number, length: number): void {
    const mode = UFFDIO_REGISTER_MODE_MISSING;
    const register = Register.create({ start: address, len: length, mode });
    if (ioctlBuffer(this.fd, UFFDIO.REGISTER, register.$bytes) < 0) {
      throw new SysError(`watch ${length} bytes for missing pages`, errno());
    }
    if ((register.ioctls & NEEDED_IOCTLS) !== NEEDED_IOCTLS) {
      throw new Error(
        `Cannot watch ${length} bytes for missing pages: the kernel puts none there`,
      );
    }
  }

  /** No page is asked for any more; who waits for one finds it, or an empty one. */
  unregister(address: number, length: number): void {
    this.#setRange(address, length);
    if (ioctlBuffer(this.fd, UFFDIO.UNREGISTER, this.#range.$bytes) < 0) {
      throw new SysError(`watch ${length} bytes no more`, errno());
    }
  }

  /** Calls `fault` with the addresses of pages that somebody waits for, and has not been told of before. */
  read(fault: (page: number) => void): void {
    for (;;) {
      const n = libc.symbols.read(this.fd, this.#messages, BigInt(this.#messages.length));
      if (n < 0) {
        if (errno() === EAGAIN) return;
        throw new SysError("read which pages are missing", errno());
      }
      const count = Math.floor(n / Message.size);
      for (let i = 0; i < count; i++) {
        const { event, address } = this.#faults[i];
        if (event === UFFD_EVENT_PAGEFAULT) fault(address - address % PAGE);
      }
      if (count < MAX_FAULTS) return;
    }
  }

  /**
   * Puts pages where they are missing and wakes who waits for them; how many bytes, which is less where one
   * is there already: 0 if the first is.
   */
  copy(to: number, from: Uint8Array<ArrayBuffer>): number {
    const copy = this.#copy;
    const source = addressOf(from);
    for (let done = 0;;) {
      copy.dst = to + done;
      copy.src = source + done;
      copy.len = from.length - done;
      copy.copy = 0;
      if (ioctlBuffer(this.fd, UFFDIO.COPY, copy.$bytes) === 0) return from.length;
      const code = errno();
      // It says how far it came before something changed, or why it did not begin.
      if (copy.copy > 0) done += copy.copy;
      else if (code === EEXIST) return done;
      else if (code !== EAGAIN) throw new SysError(`put ${from.length} bytes of pages`, code);
    }
  }

  /** The same with pages of zeros. */
  zero(to: number, length: number): number {
    const zero = this.#zero;
    for (let done = 0;;) {
      zero.start = to + done;
      zero.len = length - done;
      zero.zeropage = 0;
      if (ioctlBuffer(this.fd, UFFDIO.ZEROPAGE, zero.$bytes) === 0) return length;
      const code = errno();
      if (zero.zeropage > 0) done += zero.zeropage;
      else if (code === EEXIST) return done;
      else if (code !== EAGAIN) throw new SysError(`put ${length} bytes of zeros`, code);
    }
  }

  /** Has who waits for these pages look again. */
  wake(address: number, length: number): void {
    this.#setRange(address, length);
    if (ioctlBuffer(this.fd, UFFDIO.WAKE, this.#range.$bytes) < 0) {
      throw new SysError("wake who waits for pages", errno());
    }
  }

  close(): void {
    close(this.fd);
  }

  #setRange(address: number, length: number): void {
    this.#range.start = address;
    this.#range.len = length;
  }
}

/** Throws an error that says what is missing where pages of memory files cannot be put there when touched. */
export function checkUserFaults(): void {
  const faults = UserFaults.open();
  const fd = memfd("missing", PAGE);
  const page = map(PAGE, { fd });
  try {
    faults.register(page.address, PAGE);
  } finally {
    page.unmap();
    close(fd);
    faults.close();
  }
}

function openDescriptor(): number {
  const fd = Number(libc.symbols.userfaultfd(SYS_userfaultfd, BigInt(O_CLOEXEC_NONBLOCK)));
  if (fd >= 0) return fd;
  const code = errno();
  try {
    const device = open(DEVICE, O_RDWR);
    const made = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC_NONBLOCK);
    close(device);
    if (made >= 0) return made;
  } catch {
    // The system call has said why.
  }
  throw new SysError("open a userfaultfd", code);
}
