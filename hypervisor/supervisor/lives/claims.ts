/**
 * Guests that something has hold of, such as a move: what they are made of does not change meanwhile.
 *
 * @module
 */
import { problem } from "../problem.ts";

export interface Claim {
  /** Why, as the end of a sentence: `it moves to "b"`. */
  reason: string;
  /** It is not started here either, nor does it go on. Default: false. */
  keepsOff?: boolean;
  /** It may be changed all the same, as nobody else has to do with it. Default: false. */
  mayChange?: boolean;
  /** What is promised to it of the host's memory, beside what guests have which are up. Default: 0. */
  memoryMiB?: number;
}

/** By guests' ids; one claim for each. */
export class Claims {
  readonly #claims = new Map<string, Claim>();

  /** Takes hold of a guest, in the place of what had hold of it; returns what lets go of it. */
  hold(id: string, claim: Claim): () => void {
    this.#claims.set(id, claim);
    return () => {
      if (this.#claims.get(id) === claim) this.#claims.delete(id);
    };
  }

  /** Lets go of a guest, whatever has hold of it. */
  release(id: string): void {
    this.#claims.delete(id);
  }

  /** Throws where a guest cannot be changed now. */
  refuseChange({ id, name }: { id: string; name: string }): void {
    const claim = this.#claims.get(id);
    if (claim === undefined || claim.mayChange) return;
    throw problem("busy", `Cannot change "${name}": ${claim.reason}`);
  }

  /** Throws where anything has hold of a guest. */
  refuseMove({ id, name }: { id: string; name: string }): void {
    const claim = this.#claims.get(id);
    if (claim !== undefined) throw problem("busy", `Cannot move "${name}": ${claim.reason}`);
  }

  /** Whether a guest is neither to be started here nor to go on. */
  keepsOff(id: string): boolean {
    return this.#claims.get(id)?.keepsOff ?? false;
  }

  /** Throws where a guest is not to run here; `doing` begins the message: `Cannot start`. */
  refuseRunning({ id, name }: { id: string; name: string }, doing: string): void {
    const claim = this.#claims.get(id);
    if (claim?.keepsOff) throw problem("wrong_state", `${doing} "${name}": ${claim.reason}`);
  }

  get memoryMiB(): number {
    return [...this.#claims.values()].reduce((sum, { memoryMiB = 0 }) => sum + memoryMiB, 0);
  }
}
