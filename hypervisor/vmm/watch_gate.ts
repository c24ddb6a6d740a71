/**
 * What devices wait for, behind a gate: while it is shut none of them is called, and when it opens
 * again all that came meanwhile is still there.
 *
 * @module
 */
import type { EventLoop, Interest } from "./event_loop.ts";

interface Watch {
  ready: () => void;
  edge: boolean;
  interest: Interest | undefined;
}

interface Timer {
  action: () => void;
}

export class WatchGate {
  readonly #loop: EventLoop;
  readonly #watches = new Map<number, Watch>();
  /** Those that came while the gate was shut. */
  readonly #due = new Set<Timer>();
  #isShut = false;

  constructor(loop: EventLoop) {
    this.#loop = loop;
  }

  get isShut(): boolean {
    return this.#isShut;
  }

  /** As {@linkcode EventLoop.watch}. */
  watch(fd: number, ready: () => void, options: { edge?: boolean } = {}): void {
    this.#watches.set(fd, { ready, edge: options.edge ?? false, interest: undefined });
    if (!this.#isShut) this.#loop.watch(fd, ready, options);
  }

  want(fd: number, interest: Interest): void {
    const watch = this.#watches.get(fd);
    if (watch !== undefined) watch.interest = interest;
    if (!this.#isShut) this.#loop.want(fd, interest);
  }

  unwatch(fd: number): void {
    if (this.#watches.delete(fd) && !this.#isShut) this.#loop.unwatch(fd);
  }

  after(ms: number, action: () => void): () => void {
    const timer: Timer = { action };
    const cancel = this.#loop.after(ms, () => {
      if (this.#isShut) this.#due.add(timer);
      else action();
    });
    return () => {
      this.#due.delete(timer);
      cancel();
    };
  }

  shut(): void {
    if (this.#isShut) return;
    this.#isShut = true;
    for (const fd of this.#watches.keys()) this.#loop.unwatch(fd);
  }

  open(): void {
    if (!this.#isShut) return;
    this.#isShut = false;
    // What is ready is told of again, also by those that tell of each signal once.
    for (const [fd, { ready, edge, interest }] of this.#watches) {
      this.#loop.watch(fd, ready, { edge });
      if (interest !== undefined) this.#loop.want(fd, interest);
    }
    for (const timer of [...this.#due]) if (this.#due.delete(timer)) timer.action();
  }
}
