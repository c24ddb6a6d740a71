/**
 * How fast one room may tell: what floods the log drives everything else out of it.
 *
 * @module
 */

export interface PaceOptions {
  /** How many records may come at once. */
  burst: number;
  /** And how many a second in the long run. */
  perSecond: number;
  now?: () => number;
}

/** Lets records through, and counts those that came too fast. */
export class Pace {
  readonly #burst: number;
  readonly #perMs: number;
  readonly #now: () => number;
  #left: number;
  #at: number;
  #leftOut = 0;

  constructor({ burst, perSecond, now = () => performance.now() }: PaceOptions) {
    this.#burst = this.#left = burst;
    this.#perMs = perSecond / 1000;
    this.#now = now;
    this.#at = now();
  }

  /** Null for a record that is left out; else how many were before it, and not told of yet. */
  take(): { leftOut: number } | null {
    const now = this.#now();
    this.#left = Math.min(this.#burst, this.#left + (now - this.#at) * this.#perMs);
    this.#at = now;
    if (this.#left < 1) {
      this.#leftOut++;
      return null;
    }
    this.#left--;
    const leftOut = this.#leftOut;
    this.#leftOut = 0;
    return { leftOut };
  }
}
