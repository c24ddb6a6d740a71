/**
 * What all who give a guest to another VMM have in common.
 *
 * @module
 */
import type { EventLoop } from "../event_loop.ts";
import type { CopyFigures } from "../snapshot/saving.ts";

const HAND_OVER_BYTES = 16;

/** What became of it where nothing was copied. */
export const NOTHING_COPIED: CopyFigures = { pauseMs: 0, rounds: 0, bytes: 0 };

/** Names a hand-over on both sides. */
export function newHandOver(): string {
  return crypto.getRandomValues(new Uint8Array(HAND_OVER_BYTES)).toHex();
}

/** Something is to have happened before so long; one thing at a time. */
export class Deadline {
  readonly #loop: EventLoop;
  #cancel: () => void = () => {};

  constructor(loop: EventLoop) {
    this.#loop = loop;
  }

  /** Calls `late` in so many milliseconds, unless it is set anew or cleared. */
  set(ms: number, late: () => void): void {
    this.#cancel();
    this.#cancel = this.#loop.after(ms, late);
  }

  clear(): void {
    this.#cancel();
  }
}
