/**
 * Keeps a copy within a number of bytes a second.
 *
 * @module
 */

/** What may go at once after a while in which less went than might have, in seconds. */
const BURST_SECONDS = 0.1;

export class Pacing {
  readonly #now: () => number;
  #limit = 0;
  #sent = 0;
  #at: number;
  /** Bytes that may go now; negative while there is to be waited. */
  #allowance = 0;

  /** `now` is the time in milliseconds. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#at = now();
  }

  /** How many milliseconds to wait now that `sent` bytes have gone in all; the limit may change, 0 is none. */
  wait(sent: number, limit: number): number {
    const now = this.#now();
    const elapsed = now - this.#at;
    const fresh = sent - this.#sent;
    this.#at = now;
    this.#sent = sent;
    if (limit !== this.#limit) {
      this.#limit = limit;
      this.#allowance = 0;
    }
    if (limit === 0) return 0;
    const most = limit * BURST_SECONDS;
    this.#allowance = Math.min(most, this.#allowance + elapsed / 1000 * limit) - fresh;
    return this.#allowance >= 0 ? 0 : Math.ceil(-this.#allowance / limit * 1000);
  }
}
