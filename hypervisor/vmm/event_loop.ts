/**
 * The VMM's main loop: it waits on descriptors and timers, and never returns to JavaScript's own event
 * loop, so that everything but the vCPUs is served by one thread without a hand-over.
 *
 * @module
 */
import { Epoll } from "../sys/epoll.ts";
import { Timers } from "./timers.ts";

/** What to wait for on a descriptor besides its being readable. */
export interface Interest {
  read: boolean;
  write: boolean;
}

export class EventLoop {
  readonly #epoll = new Epoll();
  readonly #timers = new Timers();
  readonly #watched = new Map<number, () => void>();

  /**
   * Calls `ready` whenever `fd` can be read, level-triggered, until {@linkcode unwatch}; with `edge`,
   * once each time that it is signalled, so that nobody has to read it.
   */
  watch(fd: number, ready: () => void, options: { edge?: boolean } = {}): void {
    this.#epoll.add(fd, options);
    this.#watched.set(fd, ready);
  }

  /** Changes what a watched descriptor is watched for. */
  want(fd: number, interest: Interest): void {
    this.#epoll.change(fd, interest);
  }

  unwatch(fd: number): void {
    if (this.#watched.delete(fd)) this.#epoll.remove(fd);
  }

  /** Calls `action` once, `ms` milliseconds from now; the function that is returned cancels it. */
  after(ms: number, action: () => void): () => void {
    return this.#timers.after(ms, action);
  }

  /** Goes round until `done`. */
  run(done: () => boolean): void {
    while (!done()) {
      const n = this.#epoll.wait(this.#timers.timeoutMs);
      // What one of them does may unwatch another.
      for (let i = 0; i < n; i++) this.#watched.get(this.#epoll.ready(i))?.();
      this.#timers.run();
    }
  }
}
