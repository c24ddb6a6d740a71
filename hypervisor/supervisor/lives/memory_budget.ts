/**
 * Keeps guests from being promised more memory than there is.
 *
 * @module
 */
import { problem } from "../problem.ts";

/** The host's memory, and what of it is promised to guests. */
export class MemoryBudget {
  readonly #totalMiB: () => number;
  /** MiB that guests have which are up, but for one. */
  readonly #promisedMiB: (but: string) => number;

  constructor(totalMiB: () => number, promisedMiB: (but: string) => number) {
    this.#totalMiB = totalMiB;
    this.#promisedMiB = promisedMiB;
  }

  /** Throws where the guest is to have more than the whole host has. */
  refuseTooMuch({ name, memoryMiB }: { name: string; memoryMiB: number }): void {
    const total = this.#totalMiB();
    if (memoryMiB > total) {
      throw problem(
        "not_enough_memory",
        `Cannot give "${name}" ${memoryMiB} MiB of memory: the host has ${total} MiB`,
        { fields: [{ path: "memoryMiB", message: `must be at most ${total}` }] },
      );
    }
  }

  /** Throws where the guest cannot have so much beside those that are up. */
  refuseUnfit(guest: { id: string; name: string; verb: string }, wantedMiB: number): void {
    const { id, name, verb } = guest;
    const total = this.#totalMiB();
    const promised = this.#promisedMiB(id);
    if (promised + wantedMiB > total) {
      throw problem(
        "not_enough_memory",
        `Cannot ${verb} "${name}": it has ${wantedMiB} MiB of memory, and of the host's ` +
          `${total} MiB, ${promised} MiB are promised to guests that run`,
      );
    }
  }
}
