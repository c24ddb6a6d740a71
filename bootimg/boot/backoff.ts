/**
 * How long to wait before a process that died is started again.
 *
 * @module
 */

/** The first wait: a single crash should hardly be noticed. */
export const FIRST_DELAY_MS = 100;
/** The longest wait: what is broken must not keep the host busy, yet be tried. */
export const LONGEST_DELAY_MS = 30_000;
/** A process that ran this long was healthy: its next death counts as the first. */
export const HEALTHY_MS = 60_000;
/** That many deaths in a row are shown on the screen. */
export const WORRYING_DEATHS = 3;

/** Counts deaths in a row and tells how long to wait after each. */
export class Backoff {
  #deaths = 0;

  /** Deaths since the process last ran for {@linkcode HEALTHY_MS}. */
  get deaths(): number {
    return this.#deaths;
  }

  get isWorrying(): boolean {
    return this.#deaths >= WORRYING_DEATHS;
  }

  /** Notes that the process died after `ranMs`; returns the milliseconds to wait. */
  died(ranMs: number): number {
    this.#deaths = ranMs >= HEALTHY_MS ? 1 : this.#deaths + 1;
    return Math.min(FIRST_DELAY_MS * 2 ** (this.#deaths - 1), LONGEST_DELAY_MS);
  }
}
