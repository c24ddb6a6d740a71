/**
 * What a PC says on its serial port, with the time of each line.
 *
 * @module
 */

export interface SerialLine {
  /** Seconds since the power went on. */
  at: number;
  text: string;
}

const KEPT_LINES = 2000;

/** Reads the serial port until the PC is off. */
export class SerialScreen {
  readonly #lines: SerialLine[] = [];
  readonly #waiting = new Set<() => void>();
  readonly #poweredOn: number;
  #ended = false;

  constructor(
    serial: ReadableStream<Uint8Array>,
    errors: ReadableStream<Uint8Array>,
    poweredOn: number,
  ) {
    this.#poweredOn = poweredOn;
    const all = [this.#read(serial), this.#read(errors)];
    Promise.allSettled(all).then(() => {
      this.#ended = true;
      this.#wake();
    });
  }

  get hasEnded(): boolean {
    return this.#ended;
  }

  get lines(): readonly SerialLine[] {
    return this.#lines;
  }

  /** The end of what was said, for errors. */
  get lastWords(): string {
    return this.#lines.slice(-30).map((it) => `${it.at.toFixed(1)}  ${it.text}`).join("\n");
  }

  /** Waits for a line that matches, also one of before; throws after the limit or if the PC ends. */
  async waitFor(
    pattern: RegExp,
    limitSeconds: number,
  ): Promise<{ at: number; match: RegExpMatchArray }> {
    const until = performance.now() + limitSeconds * 1000;
    for (let next = 0;;) {
      for (; next < this.#lines.length; next++) {
        const { at, text } = this.#lines[next];
        const match = text.match(pattern);
        if (match) return { at, match };
      }
      const left = until - performance.now();
      if (left <= 0 || this.#ended) {
        const why = this.#ended ? "the PC is off" : `it did not come in ${limitSeconds} s`;
        throw new Error(`Cannot find ${pattern} on the screen: ${why}\n${this.lastWords}`);
      }
      await this.#change(left);
    }
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    let rest = "";
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      const parts = (rest + decoder.decode(chunk, { stream: true })).split(/\r*\n/);
      rest = parts.pop()!;
      for (const part of parts) this.#add(part);
      this.#wake();
    }
    if (rest !== "") this.#add(rest);
  }

  #add(text: string): void {
    const clean = withoutControls(text);
    // QEMU says of each CPU what its emulation lacks of the model: nobody can act on it.
    if (clean.trim() === "" || clean.includes("TCG doesn't support")) return;
    this.#lines.push({ at: (performance.now() - this.#poweredOn) / 1000, text: clean });
    if (this.#lines.length > KEPT_LINES) this.#lines.splice(0, 1);
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  async #change(limitMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.add(resolve);
    const timer = setTimeout(resolve, limitMs);
    await promise;
    clearTimeout(timer);
    this.#waiting.delete(resolve);
  }
}

/** The text without what moves the cursor or changes colours: firmware draws with it. */
export function withoutControls(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/\x1b(\[[0-9;?=]*[A-Za-z]|[()][A-Z0-9]|.)/g, "").replace(/\p{Cc}/gu, "");
}
