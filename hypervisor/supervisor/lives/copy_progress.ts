/**
 * What a VMM says of a copy of memory, as a task tells it.
 *
 * @module
 */
import type { Work } from "./tasks.ts";

/** How far a copy is, as a VMM has it. */
export interface CopyFigures {
  doneBytes: number;
  totalBytes: number;
  rounds: number;
  remainingBytes: number;
}

/** Not so often that rates are noise. */
const LEAST_MS = 50;

export class CopyProgress {
  readonly #work: Pick<Work, "phase" | "progress" | "point">;
  readonly #now: () => number;
  #phase = "";
  #last: (CopyFigures & { at: number }) | null = null;
  /** Where the present round began. */
  #round: (CopyFigures & { at: number }) | null = null;
  #changedBytesPerSecond = 0;

  constructor(
    work: Pick<Work, "phase" | "progress" | "point">,
    options: { now?: () => number } = {},
  ) {
    this.#work = work;
    this.#now = options.now ?? (() => performance.now());
  }

  tell(figures: CopyFigures, phase: string): void {
    if (phase !== this.#phase) this.#work.phase(phase);
    this.#phase = phase;
    this.#work.progress(figures.doneBytes, figures.totalBytes);
    const at = this.#now();
    const now = { ...figures, at };
    this.#round ??= now;
    if (figures.rounds !== this.#round.rounds) {
      // What a round has to copy is what the guest changed during the one before.
      const seconds = (at - this.#round.at) / 1000;
      if (seconds > 0) this.#changedBytesPerSecond = figures.remainingBytes / seconds;
      this.#round = now;
    }
    const last = this.#last ??= now;
    if (at - last.at < LEAST_MS) return;
    this.#work.point({
      remainingBytes: figures.remainingBytes,
      bytesPerSecond: Math.max(0, figures.doneBytes - last.doneBytes) * 1000 / (at - last.at),
      changedBytesPerSecond: this.#changedBytesPerSecond,
    });
    this.#last = now;
  }
}
