/**
 * epoll(7), level-triggered unless said otherwise: what a main loop waits on.
 *
 * @module
 */
import { check, EINTR, errno } from "./errno.ts";
import { close } from "./files.ts";
import { libraryOf } from "./library.ts";

const libc = libraryOf({
  epoll_create1: { parameters: ["i32"], result: "i32" },
  epoll_ctl: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  epoll_wait: { parameters: ["i32", "buffer", "i32", "i32"], result: "i32" },
});

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;
/** What can be ready; the last two are told unasked: an error, and that the other side has gone. */
export const EPOLLIN = 1;
export const EPOLLOUT = 4;
export const EPOLLERR = 8;
export const EPOLLHUP = 16;
const EPOLLET = 0x8000_0000;

// struct epoll_event is packed on x86-64: u32 events, then u64 data at 4.
const EVENT_BYTES = 12;
const MAX_EVENTS = 64;

export class Epoll {
  /** Itself readable while something is ready, so that one epoll can watch another. */
  readonly fd: number = check(
    libc.symbols.epoll_create1(EPOLL_CLOEXEC),
    "create an epoll instance",
  );
  readonly #events = new Uint8Array(EVENT_BYTES * MAX_EVENTS);
  readonly #view = new DataView(this.#events.buffer);

  /** Watches `fd` until it can be read; with `edge`, each time that there is more to read. */
  add(fd: number, options: { edge?: boolean } = {}): void {
    this.#control(EPOLL_CTL_ADD, fd, options.edge ? EPOLLIN | EPOLLET : EPOLLIN);
  }

  /** Whether to watch a descriptor that was added until it can be read, written to, or both. */
  change(fd: number, options: { read: boolean; write: boolean }): void {
    this.#control(EPOLL_CTL_MOD, fd, (options.read ? EPOLLIN : 0) | (options.write ? EPOLLOUT : 0));
  }

  #control(operation: number, fd: number, events: number): void {
    const event = new DataView(new ArrayBuffer(EVENT_BYTES));
    event.setUint32(0, events, true);
    event.setInt32(4, fd, true);
    const bytes = new Uint8Array(event.buffer);
    check(libc.symbols.epoll_ctl(this.fd, operation, fd, bytes), `watch descriptor ${fd}`);
  }

  remove(fd: number): void {
    check(
      libc.symbols.epoll_ctl(this.fd, EPOLL_CTL_DEL, fd, this.#events),
      `stop watching descriptor ${fd}`,
    );
  }

  /** Blocks this thread until something is ready; how many of {@linkcode ready} are. */
  wait(timeoutMs = -1): number {
    const n = libc.symbols.epoll_wait(this.fd, this.#events, MAX_EVENTS, timeoutMs);
    if (n < 0 && errno() === EINTR) return 0;
    return check(n, "wait for events");
  }

  /** The descriptor of the `index`th event of the last {@linkcode wait}. */
  ready(index: number): number {
    return this.#view.getInt32(index * EVENT_BYTES + 4, true);
  }

  /** What is ready with it: EPOLLIN and its like. */
  events(index: number): number {
    return this.#view.getUint32(index * EVENT_BYTES, true);
  }

  /** Watches nothing any more. */
  close(): void {
    close(this.fd);
  }
}
