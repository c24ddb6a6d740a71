/**
 * Lines from a stream that may turn into raw bytes after any of them.
 *
 * @module
 */

const NEWLINE = 10;
const CHUNK = 64 * 1024;

/** Reads lines of bounded length. */
export class LineReader {
  readonly #source: { read(into: Uint8Array): Promise<number | null> };
  readonly #longest: number;
  #pending: Uint8Array<ArrayBuffer> = new Uint8Array();

  constructor(
    source: { read(into: Uint8Array): Promise<number | null> },
    options: { longest: number },
  ) {
    this.#source = source;
    this.#longest = options.longest;
  }

  /** The next line without its end; null where the stream ends. Half a line at the end is dropped. */
  async next(): Promise<string | null> {
    let searched = 0;
    while (true) {
      const end = this.#pending.indexOf(NEWLINE, searched);
      if (end > this.#longest || (end < 0 && this.#pending.length > this.#longest)) {
        throw new RangeError(`Cannot read a line: it is longer than ${this.#longest} bytes`);
      }
      if (end >= 0) {
        const line = new TextDecoder().decode(this.#pending.subarray(0, end));
        this.#pending = this.#pending.slice(end + 1);
        return line;
      }
      searched = this.#pending.length;
      const chunk = await this.read();
      if (chunk === null) return null;
      const joined = new Uint8Array(this.#pending.length + chunk.length);
      joined.set(this.#pending);
      joined.set(chunk, this.#pending.length);
      this.#pending = joined;
    }
  }

  /** Bytes that came after the last line. */
  rest(): Uint8Array<ArrayBuffer> {
    const rest = this.#pending;
    this.#pending = new Uint8Array();
    return rest;
  }

  /** The next bytes of the stream itself; null at its end. */
  async read(): Promise<Uint8Array<ArrayBuffer> | null> {
    const buffer = new Uint8Array(CHUNK);
    const count = await this.#source.read(buffer);
    return count === null ? null : buffer.subarray(0, count);
  }
}
