/**
 * A guest's serial port as the API has it, over its host's WebSocket.
 *
 * @module
 */
import type { Serial } from "./shell_line.ts";

/** What is kept of what was read, for when something is wrong. */
const LAST_WORDS = 4096;

/** The console ended, and the guest may run on: a host that has no time for a connection gives it up. */
export class ConsoleEnded extends Error {}

export class ConsoleSerial implements Serial, Disposable {
  readonly #socket: WebSocket;
  readonly #opened = Promise.withResolvers<void>();
  readonly #decoder = new TextDecoder();
  #more = Promise.withResolvers<void>();
  #rest = "";
  #ended = false;
  #lastWords = "";

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.onopen = () => this.#opened.resolve();
    socket.onmessage = ({ data }) => this.#take(this.#decoder.decode(data, { stream: true }));
    socket.onclose = ({ reason }) => {
      this.#ended = true;
      this.#opened.reject(
        new ConsoleEnded(`Cannot open the guest's console: ${reason || "refused"}`),
      );
      this.#wake();
    };
    // Where nobody waits for it, the next who reads hears of it.
    this.#opened.promise.catch(() => {});
  }

  #take(text: string) {
    this.#rest += text;
    this.#lastWords = (this.#lastWords + text).slice(-LAST_WORDS);
    this.#wake();
  }

  #wake() {
    this.#more.resolve();
    this.#more = Promise.withResolvers();
  }

  /** The last that the guest wrote. */
  get lastWords(): string {
    return this.#lastWords;
  }

  async send(text: string): Promise<void> {
    await this.#opened.promise;
    if (this.#ended) throw new ConsoleEnded(`The guest's console ended before "${text}" was typed`);
    this.#socket.send(new TextEncoder().encode(text));
  }

  async until(text: string): Promise<string> {
    while (!this.#rest.includes(text)) {
      if (this.#ended) throw new ConsoleEnded(`The guest's console ended before "${text}"`);
      await this.#more.promise;
    }
    const end = this.#rest.indexOf(text) + text.length;
    const seen = this.#rest.slice(0, end);
    this.#rest = this.#rest.slice(end);
    return seen;
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}
