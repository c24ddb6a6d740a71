/**
 * A program on the host that talks to a device's unix socket, for tests.
 *
 * @module
 */
import { close } from "../../../sys/files.ts";
import {
  connectUnix,
  receive,
  send,
  shutdownSending,
  WOULD_BLOCK,
} from "../../../sys/unix_sockets.ts";

export class UnixClient {
  readonly #fd: number;
  readonly #buffer = new Uint8Array(65536);
  #closed = false;
  /** The other side sends no more. */
  ended = false;

  /** Connects to `path`, or takes over a descriptor. */
  constructor(at: string | number) {
    this.#fd = typeof at === "string" ? connectUnix(at) : at;
  }

  /** How many of the bytes the socket took. */
  send(bytes: Uint8Array<ArrayBuffer> | string): number {
    const all = typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes;
    let sent = 0;
    while (sent < all.length) {
      const n = send(this.#fd, all.subarray(sent));
      if (n === WOULD_BLOCK) break;
      sent += n;
    }
    return sent;
  }

  /** What has come so far. */
  read(): Uint8Array<ArrayBuffer> {
    const parts: Uint8Array<ArrayBuffer>[] = [];
    for (;;) {
      const n = this.#receive();
      if (n === WOULD_BLOCK) break;
      if (n === 0) {
        this.ended = true;
        break;
      }
      parts.push(this.#buffer.slice(0, n));
    }
    const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    parts.reduce((at, part) => (all.set(part, at), at + part.length), 0);
    return all;
  }

  // A socket that was closed with something unread is reset, which is an end like any other.
  #receive(): number {
    try {
      return receive(this.#fd, this.#buffer);
    } catch {
      return 0;
    }
  }

  text(): string {
    return new TextDecoder().decode(this.read());
  }

  endSending(): void {
    shutdownSending(this.#fd);
  }

  close(): void {
    if (!this.#closed) close(this.#fd);
    this.#closed = true;
  }
}
