/**
 * What is to happen later, for a loop that sleeps in epoll until then.
 *
 * @module
 */

interface Timer {
  /** On the clock of `performance.now()`. */
  at: number;
  action: () => void;
}

/** A handful of timers: most of the time there is none. */
export class Timers {
  readonly #timers = new Set<Timer>();

  /** Calls `action` once, `ms` milliseconds from now; the function that is returned cancels it. */
  after(ms: number, action: () => void): () => void {
    const timer = { at: performance.now() + ms, action };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** How long a loop may sleep, in whole milliseconds; -1 for ever. */
  get timeoutMs(): number {
    if (this.#timers.size === 0) return -1;
    let first = Infinity;
    for (const { at } of this.#timers) first = Math.min(first, at);
    return Math.max(0, Math.ceil(first - performance.now()));
  }

  /** Calls what is due. */
  run(): void {
    if (this.#timers.size === 0) return;
    const now = performance.now();
    for (const timer of [...this.#timers]) {
      // An action may have cancelled one that is due as well.
      if (timer.at <= now && this.#timers.delete(timer)) timer.action();
    }
  }
}
