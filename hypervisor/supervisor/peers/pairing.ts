/**
 * The code that another host needs to be paired with this one.
 *
 * @module
 */
import { normalizeCode, randomCode } from "../access/secrets.ts";

const VALID_MS = 10 * 60_000;
/** Wrong ones that are taken; then the offer is over. */
const MOST_ATTEMPTS = 5;

interface Offer {
  code: string;
  expiresAt: number;
  attempts: number;
}

/** One offer at a time, in memory only. */
export class PairingDesk {
  readonly #now: () => number;
  #offer: Offer | null = null;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** A new code, which takes the place of one that was offered before. */
  offer(): { code: string; expiresAt: number } {
    const code = randomCode();
    const expiresAt = this.#now() + VALID_MS;
    this.#offer = { code: normalizeCode(code), expiresAt, attempts: 0 };
    return { code, expiresAt };
  }

  /** Takes the offer, so that two at once cannot both have it; a wrong one puts it back. */
  takeCode(): { code: string; putBack(): void } | null {
    const offer = this.#offer;
    this.#offer = null;
    if (offer === null || offer.expiresAt <= this.#now()) return null;
    return {
      code: offer.code,
      putBack: () => {
        // One that was made meanwhile is the one that counts.
        if (++offer.attempts < MOST_ATTEMPTS) this.#offer ??= offer;
      },
    };
  }
}
