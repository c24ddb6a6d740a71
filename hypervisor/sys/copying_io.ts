/**
 * Bytes between memory at an address and a file or a stream, for a thread that does nothing else: these
 * calls wait.
 *
 * @module
 */
import { check, EAGAIN, EINTR, errno, SysError } from "./errno.ts";
import { libraryOf } from "./library.ts";

const libc = libraryOf({
  pwrite: { parameters: ["i32", "usize", "usize", "i64"], result: "i64" },
  fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
  poll: { parameters: ["buffer", "u64", "i32"], result: "i32" },
  memcmp: { parameters: ["usize", "usize", "usize"], result: "i32" },
});

const F_GETFL = 3;
const F_SETFL = 4;
const O_NONBLOCK = 0o4000;

export const POLLIN = 1;
export const POLLOUT = 4;

/** Writes all of it to a file at `position`. */
export function writeAll(
  fd: number,
  from: { address: number; length: number },
  position: number,
): void {
  let done = 0;
  while (done < from.length) {
    const at = BigInt(from.address + done);
    const rest = BigInt(from.length - done);
    const n = Number(libc.symbols.pwrite(fd, at, rest, BigInt(position + done)));
    if (n > 0) done += n;
    else if (n === 0) {
      throw new Error(`Cannot write ${rest} bytes at ${position}: nothing is taken`);
    } else if (errno() !== EINTR) throw new SysError(`write ${rest} bytes at ${position}`, errno());
  }
}

/** From now on calls on what the descriptor stands for, whoever has it, answer EAGAIN and do not wait. */
export function setNonBlocking(fd: number): void {
  const flags = check(libc.symbols.fcntl(fd, F_GETFL, 0), `look at descriptor ${fd}`);
  check(libc.symbols.fcntl(fd, F_SETFL, flags | O_NONBLOCK), `make descriptor ${fd} not wait`);
}

/** Waits for one descriptor, or for an eventfd that stands for "wait no longer". */
export class InterruptibleWait {
  readonly #pollfds = new Uint8Array(16);
  readonly #view = new DataView(this.#pollfds.buffer);

  constructor(wakeFd: number) {
    this.#view.setInt32(8, wakeFd, true);
    this.#view.setInt16(12, POLLIN, true);
  }

  /** Returns once `fd` is ready for `events`, or is broken; false if it was woken. */
  until(fd: number, events: number): boolean {
    this.#view.setInt32(0, fd, true);
    this.#view.setInt16(4, events, true);
    for (;;) {
      if (libc.symbols.poll(this.#pollfds, 2n, -1) < 0) {
        if (errno() !== EINTR) throw new SysError(`wait for descriptor ${fd}`, errno());
        continue;
      }
      return this.#view.getInt16(14, true) === 0;
    }
  }
}

/** Whether a result of a call on a stream means that it would have to wait, or was interrupted. */
export function isToWait(result: number): boolean {
  return result === -EAGAIN || result === -EINTR;
}

/** Whether two ranges of memory hold the same. */
export function isSame(address: number, other: number, length: number): boolean {
  return libc.symbols.memcmp(BigInt(address), BigInt(other), BigInt(length)) === 0;
}
