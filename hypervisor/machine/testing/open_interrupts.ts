/**
 * The eventfds of interrupts that tests have made, which nobody else closes: many small machines in one
 * process of tests take more descriptors than a process may have.
 *
 * @module
 */
import { close } from "../../sys/files.ts";
import type { Interrupts } from "../interrupts.ts";

export class OpenInterrupts {
  readonly #all: { chip: Interrupts; others: readonly number[] }[] = [];

  /** They are closed by {@linkcode OpenInterrupts.close}, as are `others`. */
  add(chip: Interrupts, others: readonly number[] = []): void {
    this.#all.push({ chip, others });
  }

  /** Closes all that were added; nothing of these is used any more. */
  close(): void {
    for (const { chip, others } of this.#all.splice(0)) {
      chip.closeAll();
      others.forEach(close);
    }
  }
}
