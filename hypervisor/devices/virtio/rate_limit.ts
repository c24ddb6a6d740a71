/**
 * Rate limits: a bucket of operations and a bucket of bytes, each of which fills at its rate up to
 * its burst. Disks and network cards share it.
 *
 * A request may go while neither bucket is empty, and takes what it takes: it can leave a debt, which
 * is paid before the next one goes. So a request needs no size before it is taken off its queue, none
 * is too large to ever pass, and what passes in the long run is the rate.
 *
 * @module
 */
import type { DeviceHost } from "./device.ts";

/** What is absent is unlimited. */
export interface RateLimit {
  /** 1 to 10^12. */
  operationsPerSecond?: number;
  /** How many operations may pass at once after a pause, 1 to 10^12; a tenth of a second's worth without. */
  operationsBurst?: number;
  /** 1 to 10^12. */
  bytesPerSecond?: number;
  /** How many bytes may pass at once after a pause, 1 to 10^12; a tenth of a second's worth without. */
  bytesBurst?: number;
}

const MAX = 1e12;
const FIELDS = ["operationsPerSecond", "operationsBurst", "bytesPerSecond", "bytesBurst"] as const;
const DEFAULT_BURST_SECONDS = 0.1;
/** Whoever waits comes back for this much of the rate, not for each operation. */
const QUANTUM_SECONDS = 0.005;

/** Returns a limit that cannot be wrong, null and undefined being none; throws a TypeError or RangeError. */
export function checkRateLimit(value: unknown, what: string): RateLimit {
  if (value === undefined || value === null) return {};
  if (typeof value !== "object" || Array.isArray(value)) {
    throw new TypeError(`Cannot use ${what} ${JSON.stringify(value)}: it must be an object`);
  }
  const limit: RateLimit = {};
  for (const [key, number] of Object.entries(value)) {
    const field = FIELDS.find((name) => name === key);
    if (field === undefined) {
      throw new TypeError(`Cannot use ${what} "${key}": known fields are ${FIELDS.join(", ")}`);
    }
    if (number === undefined) continue;
    if (!Number.isInteger(number) || number < 1 || number > MAX) {
      throw new RangeError(
        `Cannot use ${what} ${field} ${number}: it must be a whole number from 1 to ${MAX}`,
      );
    }
    limit[field] = number;
  }
  for (const kind of ["operations", "bytes"] as const) {
    if (limit[`${kind}Burst`] !== undefined && limit[`${kind}PerSecond`] === undefined) {
      throw new TypeError(`Cannot use ${what} ${kind}Burst without ${kind}PerSecond`);
    }
  }
  return limit;
}

class Bucket {
  /** Per millisecond; infinite where there is no limit. */
  readonly #rate: number;
  readonly #burst: number;
  // A number in a typed array is changed in place, where a field's would be allocated anew.
  readonly #level = new Float64Array(1);

  constructor(perSecond = Infinity, burst = Math.max(1, perSecond * DEFAULT_BURST_SECONDS)) {
    this.#rate = perSecond / 1000;
    this.#burst = burst;
    this.#level[0] = burst;
  }

  get limited(): boolean {
    return this.#rate !== Infinity;
  }

  get empty(): boolean {
    return this.#level[0] <= 0;
  }

  fill(ms: number): void {
    if (this.limited) this.#level[0] = Math.min(this.#burst, this.#level[0] + ms * this.#rate);
  }

  spend(amount: number): void {
    if (this.limited) this.#level[0] -= amount;
  }

  /** Milliseconds until it is worth coming back. */
  get waitMs(): number {
    if (!this.limited || !this.empty) return 0;
    const quantum = Math.min(this.#burst, Math.max(1, this.#rate * 1000 * QUANTUM_SECONDS));
    return (quantum - this.#level[0]) / this.#rate;
  }
}

/**
 * One limit at work:
 *
 * ```ts ignore
 * while (limiter.open && (head = queue.pop()) >= 0) limiter.spend(bytesOf(head));
 * if (!limiter.open) limiter.waitOn(host, this.#again);
 * ```
 */
export class RateLimiter {
  readonly #now: () => number;
  readonly #last = new Float64Array(1);
  #operations!: Bucket;
  #bytes!: Bucket;
  #limited = false;
  #limit: RateLimit = {};
  #cancel: (() => void) | undefined;
  /** How often somebody had to wait. */
  waits = 0;

  /** `now` is a clock in milliseconds; it is read only where there is a limit. */
  constructor(limit: RateLimit = {}, now: () => number = () => performance.now()) {
    this.#now = now;
    this.limit = limit;
  }

  get limit(): RateLimit {
    return this.#limit;
  }

  /** Puts another limit in force, with full buckets. Who waits goes on waiting until the old time. */
  set limit(limit: RateLimit) {
    this.#limit = limit;
    this.#operations = new Bucket(limit.operationsPerSecond, limit.operationsBurst);
    this.#bytes = new Bucket(limit.bytesPerSecond, limit.bytesBurst);
    this.#limited = this.#operations.limited || this.#bytes.limited;
    if (this.#limited) this.#last[0] = this.#now();
  }

  /** Whether another operation may go now. */
  get open(): boolean {
    if (!this.#limited) return true;
    // Each time, and not only when a bucket is empty: time that passed while it was full is no credit.
    this.#fill();
    return !this.#operations.empty && !this.#bytes.empty;
  }

  /** One operation of so many bytes has gone. */
  spend(bytes: number): void {
    if (!this.#limited) return;
    this.#operations.spend(1);
    this.#bytes.spend(bytes);
  }

  /** Calls `again` from the I/O loop when it is worth trying; at most one waits at a time. */
  waitOn(host: DeviceHost, again: () => void): void {
    if (this.#cancel !== undefined) return;
    this.waits++;
    this.#fill();
    const ms = Math.max(this.#operations.waitMs, this.#bytes.waitMs, 1);
    this.#cancel = host.after(Math.ceil(ms), () => {
      this.#cancel = undefined;
      again();
    });
  }

  /** Nobody is called any more. */
  cancel(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #fill(): void {
    const now = this.#now();
    const ms = now - this.#last[0];
    this.#last[0] = now;
    if (ms <= 0) return;
    this.#operations.fill(ms);
    this.#bytes.fill(ms);
  }
}
