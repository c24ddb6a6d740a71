/**
 * The host's own display and keyboard, as a terminal of Linux's.
 *
 * @module
 */
import { terminalSize } from "../../hypervisor/sys/terminals.ts";
import { sensibleSize, type Size, USUAL_SIZE } from "../screen/canvas.ts";
import { type Key, KeyParser } from "../screen/keys.ts";
import { attempt } from "./log.ts";

/** How long the Escape key is waited for to be the beginning of another. */
const ESCAPE_MS = 50;

/** What the screen is drawn on and its menu typed at. */
export interface Terminal {
  size(): Size;
  /** Shows what was written, one after the other; what blocks is nobody's business. */
  write(output: string): void;
  /** When all that was written is shown. */
  readonly settled: Promise<unknown>;
  onKey(listener: (key: Key) => void): void;
}

/** A terminal by its path; null where there is none. */
export function openTerminal(path: string): Terminal | null {
  try {
    return new LinuxTerminal(path);
  } catch {
    // A machine without a display.
    return null;
  }
}

class LinuxTerminal implements Terminal {
  readonly #path: string;
  readonly #output: Deno.FsFile;
  #settled: Promise<unknown> = Promise.resolve();

  constructor(path: string) {
    this.#path = path;
    this.#output = Deno.openSync(path, { write: true });
  }

  get settled(): Promise<unknown> {
    return this.#settled;
  }

  size(): Size {
    try {
      return sensibleSize(terminalSize(this.#path));
    } catch {
      return USUAL_SIZE;
    }
  }

  write(output: string): void {
    this.#settled = this.#settled.then(() =>
      attempt("Cannot draw the screen", async () => {
        let bytes = new TextEncoder().encode(output);
        while (bytes.length > 0) bytes = bytes.subarray(await this.#output.write(bytes));
      })
    );
  }

  onKey(listener: (key: Key) => void): void {
    void attempt("Cannot read the keyboard", async () => {
      // Another one than for writing: who reads a file of Deno's holds it.
      using input = await Deno.open(this.#path);
      input.setRaw(true);
      await readKeys(input, listener);
    });
  }
}

/** Tells each key, until the input ends. */
export async function readKeys(
  input: { read(bytes: Uint8Array): Promise<number | null> },
  listener: (key: Key) => void,
): Promise<void> {
  const parser = new KeyParser();
  const bytes = new Uint8Array(256);
  let timer: ReturnType<typeof setTimeout> | undefined;
  for (let count; (count = await input.read(bytes)) !== null;) {
    clearTimeout(timer);
    parser.push(bytes.subarray(0, count)).forEach(listener);
    if (parser.isOpen) timer = setTimeout(() => parser.flush().forEach(listener), ESCAPE_MS);
  }
  clearTimeout(timer);
}
