/**
 * TLS for those who connect: a connection as a wire, which can be cut at any time.
 *
 * It is Node's, not Deno's own: `Deno.TlsConn.close` does not let go of a connection whose handshake is not
 * done, so that whoever connects and says nothing would keep a descriptor for ever.
 *
 * @module
 */
import type { TLSSocket } from "node:tls";
import type { Wire } from "./channel.ts";

/** What may wait here to be read, in bytes; then the other side waits. */
const MOST_WAITING = 4 << 20;

export class TlsWire implements Wire {
  readonly #socket: TLSSocket;
  #waiting: Uint8Array[] = [];
  #bytes = 0;
  #isOver = false;
  #error: Error | null = null;
  #wake: () => void = () => {};

  constructor(socket: TLSSocket) {
    this.#socket = socket;
    socket.on("data", (bytes: Uint8Array) => {
      this.#waiting.push(bytes);
      this.#bytes += bytes.length;
      if (this.#bytes > MOST_WAITING) socket.pause();
      this.#wake();
    });
    socket.on("error", (error: Error) => this.#end(error));
    socket.on("end", () => this.#end(null));
    socket.on("close", () => this.#end(null));
  }

  #end(error: Error | null) {
    this.#isOver = true;
    this.#error ??= error;
    this.#wake();
  }

  async read(into: Uint8Array): Promise<number | null> {
    while (this.#waiting.length === 0) {
      if (this.#error !== null) throw this.#error;
      if (this.#isOver) return null;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    let count = 0;
    while (count < into.length && this.#waiting.length > 0) {
      const [first] = this.#waiting;
      const part = first.subarray(0, into.length - count);
      into.set(part, count);
      count += part.length;
      if (part.length === first.length) this.#waiting.shift();
      else this.#waiting[0] = first.subarray(part.length);
    }
    this.#bytes -= count;
    if (this.#bytes < MOST_WAITING && this.#socket.isPaused()) this.#socket.resume();
    return count;
  }

  write(bytes: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.#isOver) return reject(this.#error ?? new Error("the connection is closed"));
      this.#socket.write(bytes, (error) => error ? reject(error) : resolve(bytes.length));
    });
  }

  closeWrite(): Promise<void> {
    return new Promise((resolve) => this.#socket.end(() => resolve()));
  }

  close(): void {
    this.#socket.destroy();
  }
}
