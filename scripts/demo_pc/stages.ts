/**
 * When each stage was reached, in seconds from power-on.
 *
 * @module
 */

/** Notes stages and prints each as it is reached. */
export class Stages {
  readonly #now: () => number;
  readonly #reached: { stage: string; at: number }[] = [];

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Notes that a stage was reached now, or `at` that second. */
  reached(stage: string, at = this.#now()): void {
    this.#reached.push({ stage, at });
    console.log(row({ stage, at }));
  }

  /** All stages so far. */
  table(): string {
    return ["", "Seconds from power-on:", ...this.#reached.map(row)].join("\n");
  }
}

function row({ stage, at }: { stage: string; at: number }): string {
  return `${at.toFixed(1).padStart(8)}  ${stage}`;
}
