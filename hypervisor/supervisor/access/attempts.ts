/**
 * Limits guesses of a password or code: each failure makes the next wait longer, per address and,
 * more mildly, for all addresses together.
 *
 * @module
 */
import { problem } from "../problem.ts";

interface Failures {
  count: number;
  /** No attempt is taken before then, in milliseconds. */
  nextAt: number;
  /** When they are forgotten. */
  forgetAt: number;
}

const FREE_FAILURES = 3;
const FIRST_DELAY_MS = 2_000;
const MAX_DELAY_MS = 5 * 60_000;
const FORGET_MS = 60 * 60_000;

// Many addresses at once are slowed down together; never so far that they lock the owner out.
const GLOBAL_FREE_FAILURES = 30;
const GLOBAL_MAX_DELAY_MS = 10_000;

/** Addresses remembered at a time; beyond, the one that is forgotten soonest goes first. */
export const MAX_ADDRESSES = 1024;

const LONGEST_ADDRESS = 45;

/** The bucket of an address: an IPv6 subscriber has a whole /64. */
export function addressBucket(address: string): string {
  const trimmed = address.trim().toLowerCase();
  if (trimmed.length > LONGEST_ADDRESS || !/^[0-9a-f.:]+$/.test(trimmed)) return "unknown";
  if (!trimmed.includes(":")) return trimmed;
  if (trimmed.includes(".")) return trimmed.slice(trimmed.lastIndexOf(":") + 1);
  const [head] = trimmed.split("::");
  return head.split(":").slice(0, 4).join(":") + "::/64";
}

/** Counts failed attempts in bounded memory. */
export class Attempts {
  readonly #now: () => number;
  readonly #byAddress = new Map<string, Failures>();
  readonly #all: Failures = { count: 0, nextAt: 0, forgetAt: 0 };

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  get size(): number {
    return this.#byAddress.size;
  }

  /**
   * Takes an attempt from `address`, or throws until when to wait. It counts as failed until
   * {@linkcode succeed} is called, so that many at once are no way around.
   */
  take(address: string): void {
    const now = this.#now();
    const bucket = addressBucket(address);
    const own = this.#byAddress.get(bucket) ?? { count: 0, nextAt: 0, forgetAt: 0 };
    for (const failures of [own, this.#all]) {
      if (failures.forgetAt <= now) failures.count = 0;
    }
    const wait = Math.max(own.nextAt, this.#all.nextAt) - now;
    if (wait > 0) {
      const seconds = Math.ceil(wait / 1000);
      throw problem(
        "too_many_attempts",
        `Cannot take another attempt now: too many failed. Wait ${seconds} s`,
        { headers: { "retry-after": String(seconds) } },
      );
    }
    fail(own, { now, free: FREE_FAILURES, longest: MAX_DELAY_MS });
    fail(this.#all, { now, free: GLOBAL_FREE_FAILURES, longest: GLOBAL_MAX_DELAY_MS });
    this.#byAddress.delete(bucket);
    if (this.#byAddress.size >= MAX_ADDRESSES) this.#evict();
    this.#byAddress.set(bucket, own);
  }

  /** The last attempt from `address` was right: forgets its failures. */
  succeed(address: string): void {
    this.#byAddress.delete(addressBucket(address));
    this.#all.count = Math.max(0, this.#all.count - 1);
    this.#all.nextAt = 0;
  }

  #evict() {
    // Taking an attempt moves an address to the map's end, so the first is the least recent one.
    const [oldest] = this.#byAddress.keys();
    this.#byAddress.delete(oldest);
  }
}

function fail(
  failures: Failures,
  { now, free, longest }: { now: number; free: number; longest: number },
) {
  failures.count++;
  const over = failures.count - free;
  const delay = over <= 0 ? 0 : Math.min(longest, FIRST_DELAY_MS * 2 ** Math.min(over - 1, 20));
  failures.nextAt = now + delay;
  failures.forgetAt = now + FORGET_MS;
}
