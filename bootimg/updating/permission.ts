/**
 * The word of whoever stands before the host that one update may be older, or signed by nobody.
 *
 * @module
 */

/** How long it holds. */
export const PERMISSION_MS = 30 * 60 * 1000;

/** Holds for one update, and for a while; a restart ends it. */
export class Permission {
  readonly #now: () => number;
  #until = -Infinity;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  give(): void {
    this.#until = this.#now() + PERMISSION_MS;
  }

  get holds(): boolean {
    return this.#now() < this.#until;
  }

  take(): void {
    this.#until = -Infinity;
  }
}
