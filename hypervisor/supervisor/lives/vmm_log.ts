/**
 * What a VMM prints: a file that it appends to.
 *
 * @module
 */
const LIMIT_BYTES = 1024 * 1024;
const TAIL_BYTES = 8 * 1024;

/** The last of it. */
export function logTail(path: string): string {
  try {
    using file = Deno.openSync(path);
    const size = file.statSync().size;
    file.seekSync(Math.max(0, size - TAIL_BYTES), Deno.SeekMode.Start);
    const bytes = new Uint8Array(TAIL_BYTES);
    const count = file.readSync(bytes) ?? 0;
    return new TextDecoder().decode(bytes.subarray(0, count));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
}

/** What one look at it takes: a VMM may print what its guest makes it. */
const LOOK_BYTES = 4 * 1024;
const LOOK_LINES = 20;
const LONGEST_LINE = 500;

/** Reads on in it, a look at a time. */
export class VmmLogReader {
  readonly #path: string;
  #at: number;

  /** With `old`, what is there already has been read by another supervisor. */
  constructor(path: string, options: { old?: boolean } = {}) {
    this.#path = path;
    this.#at = options.old ? sizeOf(path) : 0;
  }

  /** The lines since the last look, and how many bytes of them were too much. */
  read(): { lines: string[]; leftOut: number } {
    const size = sizeOf(this.#path);
    // It was emptied.
    if (size < this.#at) this.#at = 0;
    if (size === this.#at) return { lines: [], leftOut: 0 };
    using file = Deno.openSync(this.#path);
    file.seekSync(this.#at, Deno.SeekMode.Start);
    const bytes = new Uint8Array(LOOK_BYTES);
    const count = file.readSync(bytes) ?? 0;
    const isAll = this.#at + count >= size;
    const end = bytes.subarray(0, count).lastIndexOf(0x0a) + 1;
    // A line that is not ended yet waits for the next look, unless it is longer than any should be.
    if (isAll && end === 0 && count < LOOK_BYTES) return { lines: [], leftOut: 0 };
    const taken = end === 0 ? count : end;
    const lines = new TextDecoder().decode(bytes.subarray(0, taken)).split("\n")
      .filter((it) => it.trim() !== "");
    const next = isAll ? this.#at + taken : size;
    const told = lines.slice(0, LOOK_LINES).map((it) => it.slice(0, LONGEST_LINE));
    const leftOut = next - this.#at - taken +
      (lines.length > LOOK_LINES
        ? lines.slice(LOOK_LINES).reduce((sum, it) => sum + it.length + 1, 0)
        : 0);
    this.#at = next;
    return { lines: told, leftOut };
  }
}

function sizeOf(path: string): number {
  try {
    return Deno.statSync(path).size;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 0;
    throw error;
  }
}

/** Empties it where it has grown too long; the VMM appends, so it goes on at the start. */
export function boundLog(path: string): void {
  if (sizeOf(path) > LIMIT_BYTES) Deno.truncateSync(path);
}
