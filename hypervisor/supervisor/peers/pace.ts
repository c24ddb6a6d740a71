/**
 * A limit on bytes a second that several flows share.
 *
 * @module
 */

/** What may pass at once after a pause, in milliseconds' worth. */
const BURST_MS = 100;

export class Pace {
  #bytesPerSecond: number | null;
  readonly #now: () => number;
  /** When what has passed so far would be through at the limit, in milliseconds. */
  #through = 0;
  #lifted = Promise.withResolvers<void>();

  /** Null for as many as there can be. */
  constructor(bytesPerSecond: number | null, now: () => number = () => performance.now()) {
    this.#bytesPerSecond = bytesPerSecond;
    this.#now = now;
  }

  /** Resolves when so many more bytes may pass. Those that ask first come first. */
  async take(bytes: number): Promise<void> {
    if (this.#bytesPerSecond === null) return;
    const now = this.#now();
    this.#through = Math.max(this.#through, now - BURST_MS);
    const wait = this.#through - now;
    this.#through += bytes * 1000 / this.#bytesPerSecond;
    if (wait <= 0) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const waited = new Promise<void>((resolve) => timer = setTimeout(resolve, wait));
    await Promise.race([waited, this.#lifted.promise]);
    clearTimeout(timer);
  }

  /** From now on nothing waits, nor do those that do: a guest stands still. */
  lift(): void {
    this.#bytesPerSecond = null;
    this.#lifted.resolve();
  }
}
