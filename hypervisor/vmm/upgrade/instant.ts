/**
 * Stops a guest of whose RAM nothing has to be copied, and takes its state at one instant: as
 * `snapshot/live_copy.ts`, which copies RAM as well.
 *
 * @module
 */
import type { EventLoop } from "../event_loop.ts";
import type { Captured } from "../snapshot/live_copy.ts";
import type { CopyFigures, SavableGuest } from "../snapshot/saving.ts";

/** How long vCPUs may take to leave the guest, in milliseconds. */
const PAUSE_TIMEOUT_MS = 10_000;

export interface InstantHost {
  /** The instant has been; the guest stands still. */
  taken(): void;
  /** It cannot be stopped, and is to be given up. */
  failed(error: Error): void;
}

export class Instant {
  /** Nothing is copied, so nobody has to be waited for. */
  readonly isMoving = false;
  readonly #guest: SavableGuest;
  readonly #host: InstantHost;
  readonly #pausedAt = performance.now();
  readonly #cancelTimeout: () => void;
  #phase: "pausing" | "still" | "over" = "pausing";
  #pauseMs: number | undefined;
  #captured: Captured | undefined;

  /** Asks the vCPUs out of the guest; nothing is told before this returns. */
  constructor(guest: SavableGuest, { loop, host }: { loop: EventLoop; host: InstantHost }) {
    this.#guest = guest;
    this.#host = host;
    this.#cancelTimeout = loop.after(PAUSE_TIMEOUT_MS, () => {
      if (this.#phase === "pausing") host.failed(new Error("its vCPUs do not pause"));
    });
    guest.hold();
    // One that stands still already tells nobody that it does.
    loop.after(0, () => this.look());
  }

  get isHolding(): boolean {
    return this.#phase !== "over";
  }

  /** What was taken at the instant, which has been. */
  get captured(): Captured {
    return this.#captured!;
  }

  get figures(): CopyFigures {
    const pauseMs = this.#pauseMs ?? performance.now() - this.#pausedAt;
    return { pauseMs: Math.round(pauseMs * 10) / 10, rounds: 0, bytes: 0 };
  }

  /** A vCPU may have left the guest. */
  look(): void {
    if (this.#phase !== "pausing" || !this.#guest.isParked) return;
    this.#phase = "still";
    this.#cancelTimeout();
    try {
      this.#guest.freeze();
      const { config, plugged, settings, history } = this.#guest;
      const machine = this.#guest.capture();
      const point = history.next();
      this.#captured = { config, plugged, settings, machine, point, takenAt: Date.now() };
      this.#host.taken();
    } catch (error) {
      this.#host.failed(error as Error);
    }
  }

  /** The guest goes on. */
  giveUp(): void {
    if (this.#phase === "over") return;
    this.close();
    this.#guest.release();
  }

  /** Nothing comes of it any more; the guest is left as it stands. */
  close(_?: { served: boolean }): void {
    this.#cancelTimeout();
    this.#phase = "over";
    this.#pauseMs ??= performance.now() - this.#pausedAt;
  }
}
