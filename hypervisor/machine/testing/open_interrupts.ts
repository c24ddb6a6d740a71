/**
 * The eventfds of interrupts that tests have made, which nobody else closes: many small machines in one
 * process of tests take more descriptors than a process may have.
 *
 * @module
 */
import { close } from "../../sys/files.ts";
import { GSI } from "../address_map.ts";
import { type Interrupts, MAX_MSI } from "../interrupts.ts";
import type { FakeVm } from "./fake_vm.ts";

export class OpenInterrupts {
  readonly #all: { chip: Interrupts; vm: FakeVm; others: readonly number[] }[] = [];

  /** Closes them with {@linkcode OpenInterrupts.close}, and `others`. */
  add(chip: Interrupts, vm: FakeVm, others: readonly number[] = []): void {
    this.#all.push({ chip, vm, others });
  }

  /** Closes all that were added; nothing of these is used any more. */
  close(): void {
    for (const { chip, vm, others } of this.#all.splice(0)) {
      const lines = [...vm.irqfds].filter(([, gsi]) => gsi < GSI.FIRST_MSI).map(([fd]) => fd);
      const vectors = Array.from({ length: MAX_MSI }, (_, i) => chip.fd(i)).filter((fd) => fd > 0);
      [...lines, ...vectors, ...others].forEach(close);
    }
  }
}
