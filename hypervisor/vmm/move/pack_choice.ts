/**
 * Whether packing makes memory go faster, found out by doing it: it does where the connection is what holds
 * a copy up, and packing does not hold it up more.
 *
 * What is compared is how much memory goes through in a time, packed and as it is. Each is measured for two
 * windows of time, of which the first says little: what lies between the two sides may have room that fills.
 * The other way is tried again now and then, ever more seldom, as pages, networks and processors change.
 *
 * @module
 */

const WINDOW_MS = 100;
/** As it is, memory waits for the connection at least for so much of the time, or packing is not tried. */
const WAITS = 0.5;
/** Packed, it waits for so much of the time: then the connection is still what holds it up. */
const STILL_WAITS = 0.1;
const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 16_000;

export class PackChoice {
  readonly #now: () => number;
  #packs = false;
  /** Bytes of memory that go through in a millisecond, as it is and packed; 0 while that is not known. */
  readonly #rates = { plain: 0, packed: 0 };
  /** When the window began. */
  #began: number;
  #waitedMs = 0;
  #memory = 0;
  #wire = 0;
  /** The window is the first after a change. */
  #isFilling = true;
  #retryMs = FIRST_RETRY_MS;
  #retryAt = 0;

  /** `now` is the time in milliseconds. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#began = now();
  }

  /** Whether what comes next is to be packed. */
  get packs(): boolean {
    return this.#packs;
  }

  /** The connection took nothing for so long, or nothing was given to it on purpose. */
  waited(ms: number): void {
    this.#waitedMs += ms;
  }

  /** Memory is sent from here on, after a while in which it may have not been. */
  begin(): void {
    this.#began = this.#now();
    this.#waitedMs = this.#memory = this.#wire = 0;
  }

  /** So much of memory was sent, in so many bytes. */
  sent(memory: number, wire: number): void {
    this.#memory += memory;
    this.#wire += wire;
    const now = this.#now();
    const elapsed = now - this.#began;
    if (elapsed < WINDOW_MS) return;
    if (!this.#isFilling) this.#decide(now, elapsed);
    else this.#isFilling = false;
    this.begin();
  }

  #decide(now: number, elapsed: number): void {
    const rates = this.#rates;
    const waits = this.#waitedMs / elapsed;
    const rate = this.#memory / elapsed;
    if (!this.#packs) {
      rates.plain = rate;
      const isBetter = rates.packed > rate || now >= this.#retryAt;
      if (waits >= WAITS && isBetter) this.#change(now);
      return;
    }
    rates.packed = rate;
    if (waits >= STILL_WAITS) {
      // So much goes through the connection, whatever it is.
      rates.plain = this.#wire / elapsed;
      this.#retryMs = FIRST_RETRY_MS;
      this.#retryAt = now + this.#retryMs;
    } else if (rate < rates.plain || now >= this.#retryAt) this.#change(now);
  }

  #change(now: number): void {
    this.#packs = !this.#packs;
    this.#isFilling = true;
    this.#retryAt = now + this.#retryMs;
    this.#retryMs = Math.min(2 * this.#retryMs, LONGEST_RETRY_MS);
  }
}
