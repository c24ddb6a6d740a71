/**
 * Keys out of the bytes that a terminal sends for them.
 *
 * @module
 */
import { printable } from "./text.ts";

/** Keys that are no characters. */
export type KeyName =
  | "up"
  | "down"
  | "left"
  | "right"
  | "home"
  | "end"
  | "enter"
  | "escape"
  | "backspace"
  | "delete"
  | "tab"
  | "backtab"
  | "redraw";

export type Key = { name: KeyName } | { char: string };

const ESCAPE = "\x1b";
/** No key's sequence is longer: what is, is no key. */
const LONGEST_SEQUENCE = 16;

const CONTROLS: Readonly<Record<string, KeyName>> = {
  "\r": "enter",
  "\n": "enter",
  "\t": "tab",
  "\b": "backspace",
  "\x7f": "backspace",
  "\x0c": "redraw",
  // Ctrl-C, which in raw mode is a key like any other.
  "\x03": "escape",
};

/** By what follows `ESC [` or `ESC O`. */
const SEQUENCES: Readonly<Record<string, KeyName>> = {
  "A": "up",
  "B": "down",
  "C": "right",
  "D": "left",
  "H": "home",
  "F": "end",
  "Z": "backtab",
  "1~": "home",
  "7~": "home",
  "4~": "end",
  "8~": "end",
  "3~": "delete",
};

/** Takes bytes as they come, in whatever pieces. */
export class KeyParser {
  readonly #decoder = new TextDecoder();
  /** Characters that may be the beginning of a key's sequence. */
  #pending = "";

  /** Whether what came last may be the Escape key, or the beginning of another: time tells. */
  get isOpen(): boolean {
    return this.#pending !== "";
  }

  push(bytes: Uint8Array): Key[] {
    const text = this.#decoder.decode(bytes, { stream: true });
    const keys: Key[] = [];
    for (const char of text) this.#take(char, keys);
    return keys;
  }

  /** Nothing more came: what is open was the Escape key. */
  flush(): Key[] {
    const wasEscape = this.#pending === ESCAPE;
    this.#pending = "";
    return wasEscape ? [{ name: "escape" }] : [];
  }

  #take(char: string, keys: Key[]): void {
    if (this.#pending === "") {
      if (char === ESCAPE) this.#pending = char;
      else this.#single(char, keys);
    } else if (this.#pending === ESCAPE) {
      if (char === "[" || char === "O") {
        this.#pending += char;
        return;
      }
      keys.push({ name: "escape" });
      this.#pending = "";
      this.#take(char, keys);
    } else this.#goOn(char, keys);
  }

  /** Within a sequence: parameters, and one character that ends it. */
  #goOn(char: string, keys: Key[]): void {
    // Another key's beginning: this one was cut off.
    if (char === ESCAPE) {
      this.#pending = char;
      return;
    }
    const sequence = this.#pending + char;
    // Linux's own consoles have "ESC [ [ A" for the key F1.
    const isOver = sequence.length > 3 && sequence[2] === "["
      ? true
      : !(sequence === `${ESCAPE}[[`) && /[@-~]/.test(char);
    if (!isOver && sequence.length < LONGEST_SEQUENCE && /[ -~]/.test(char)) {
      this.#pending = sequence;
      return;
    }
    this.#pending = "";
    const rest = sequence.slice(2);
    if (isOver && Object.hasOwn(SEQUENCES, rest)) keys.push({ name: SEQUENCES[rest] });
  }

  #single(char: string, keys: Key[]): void {
    if (Object.hasOwn(CONTROLS, char)) keys.push({ name: CONTROLS[char] });
    else if (printable(char) === char) keys.push({ char });
  }
}
