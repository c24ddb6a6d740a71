/**
 * A connection to a VMM's control socket on which descriptors come and go with what is said, which
 * Deno's own connections cannot do. It looks every few milliseconds whether there is more: it is for what
 * takes a moment.
 *
 * @module
 */
import { close } from "../../sys/files.ts";
import { receiveDescriptors, sendDescriptors } from "../../sys/passed_descriptors.ts";
import { connectUnix, send, WOULD_BLOCK } from "../../sys/unix_sockets.ts";
import { MAX_LINE_BYTES, type Request } from "../../vmm/control.ts";
import { LineReader } from "./lines.ts";

const LOOK_MS = 1;

export class PassingControl implements Disposable {
  /** What has come along, in order; what is not taken is closed with the connection. */
  readonly descriptors: number[] = [];
  readonly #fd: number;
  readonly #lines = new LineReader(
    { read: (into) => this.#read(into as Uint8Array<ArrayBuffer>) },
    { longest: MAX_LINE_BYTES },
  );
  #isOpen = true;

  /** Throws where nobody listens. */
  constructor(path: string) {
    this.#fd = connectUnix(path);
  }

  /** Sends a line, with which the descriptors go; they stay open here. */
  async send(
    message: Request | { op: "go" },
    options: { descriptors?: readonly number[] } = {},
  ): Promise<void> {
    const { descriptors = [] } = options;
    const bytes = new TextEncoder().encode(JSON.stringify(message) + "\n");
    let left = descriptors;
    for (let at = 0; at < bytes.length;) {
      this.#checkOpen();
      const rest = bytes.subarray(at);
      const count = left.length > 0 ? sendDescriptors(this.#fd, rest, left) : send(this.#fd, rest);
      if (count === WOULD_BLOCK) await pause();
      else {
        left = [];
        at += count;
      }
    }
  }

  /** The next line; null at the end. */
  line(): Promise<string | null> {
    return this.#lines.next();
  }

  async #read(into: Uint8Array<ArrayBuffer>): Promise<number | null> {
    while (true) {
      this.#checkOpen();
      const count = receiveDescriptors(this.#fd, into, this.descriptors);
      if (count !== WOULD_BLOCK) return count === 0 ? null : count;
      await pause();
    }
  }

  #checkOpen() {
    if (!this.#isOpen) throw new Error("Cannot go on: the connection to the VMM was closed");
  }

  /** Takes the descriptors that came, which are the caller's to close from then on. */
  take(): number[] {
    return this.descriptors.splice(0);
  }

  /** Ends it; a read that waits on it throws. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.take().forEach(close);
    close(this.#fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, LOOK_MS));
}
