/**
 * Slows a guest's vCPUs down: each runs for a while, then stays out of the guest for a while.
 *
 * @module
 */
import { type GuestLife, slowedPeriodMs } from "./lifecycle.ts";

export class SlowDown {
  readonly #life: GuestLife;
  readonly #after: (ms: number, action: () => void) => () => void;
  #percent = 0;
  #cancel: (() => void) | undefined;

  constructor(life: GuestLife, after: (ms: number, action: () => void) => () => void) {
    this.#life = life;
    this.#after = after;
  }

  /** By how much, from 0 to 99: at 80, a vCPU runs for a fifth of the time. */
  set percent(percent: number) {
    if (percent === this.#percent) return;
    this.#percent = percent;
    this.#life.slow(percent);
    this.#cancel?.();
    this.#cancel = undefined;
    if (percent > 0) this.#kick();
  }

  get percent(): number {
    return this.#percent;
  }

  /** A vCPU looks at nothing while it runs the guest, so each of its rests begins with a kick. */
  #kick(): void {
    this.#life.kickAll();
    this.#cancel = this.#after(slowedPeriodMs(this.#percent), () => this.#kick());
  }
}
