/**
 * The connection between two VMMs, as the main loop has it: frames come and go, and nothing waits. While
 * the mover's stream has it, it is lent.
 *
 * @module
 */
import { close } from "../../sys/files.ts";
import { receive, send, WOULD_BLOCK } from "../../sys/unix_sockets.ts";
import type { EventLoop } from "../event_loop.ts";
import {
  decodeHeader,
  encodeFrame,
  type Frame,
  FrameHeader,
  type FrameKind,
  MigrationError,
} from "./frames.ts";

/** What is read at once. */
const READ_BYTES = 1 << 20;

export interface LinkHost {
  frame(frame: Frame): void;
  /** The other side is gone, or says what cannot be understood; nothing comes any more. */
  broken(error: Error): void;
}

export class Link {
  readonly fd: number;
  readonly #loop: EventLoop;
  readonly #host: LinkHost;
  #outgoing: Uint8Array<ArrayBuffer>[] = [];
  readonly #header = new Uint8Array(FrameHeader.size);
  #body: Uint8Array<ArrayBuffer> | undefined;
  #kind: FrameKind = "failed";
  /** Of the header, or of the body once it has come. */
  #have = 0;
  #isReading = true;
  #isOpen = true;
  #isClosed = false;

  /** Takes a connected socket, which it closes. */
  constructor(fd: number, options: { loop: EventLoop; host: LinkHost }) {
    this.fd = fd;
    this.#loop = options.loop;
    this.#host = options.host;
    this.#loop.watch(fd, () => this.#ready());
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Whether all that was said has gone. */
  get isFlushed(): boolean {
    return this.#outgoing.length === 0;
  }

  say(kind: FrameKind, body?: Uint8Array<ArrayBuffer>): void {
    if (!this.#isOpen) return;
    this.#outgoing.push(encodeFrame(kind, body));
    this.#guarded(() => this.#flush());
  }

  /** Leaves what comes from here on to somebody else, until it is given back. */
  lend(): void {
    this.#isReading = false;
    this.#loop.unwatch(this.fd);
  }

  giveBack(): void {
    if (this.#isReading || !this.#isOpen) return;
    this.#isReading = true;
    this.#loop.watch(this.fd, () => this.#ready());
    this.#want();
  }

  /** Neither says nor hears anything more. The descriptor stays, for whoever still has it. */
  end(): void {
    this.#isOpen = false;
    this.#outgoing = [];
    this.#loop.unwatch(this.fd);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.end();
    close(this.fd);
  }

  #ready(): void {
    this.#guarded(() => {
      this.#flush();
      this.#read();
    });
  }

  #guarded(action: () => void): void {
    try {
      action();
    } catch (error) {
      if (!this.#isOpen) return;
      this.end();
      this.#host.broken(error as Error);
    }
  }

  #flush(): void {
    while (this.#outgoing.length > 0) {
      const [first] = this.#outgoing;
      const n = send(this.fd, first);
      if (n === WOULD_BLOCK) break;
      if (n === first.length) this.#outgoing.shift();
      else this.#outgoing[0] = first.subarray(n);
    }
    this.#want();
  }

  #want(): void {
    if (this.#isReading) this.#loop.want(this.fd, { read: true, write: !this.isFlushed });
  }

  /** Never a byte beyond a frame: what follows may be the mover's. */
  #read(): void {
    while (this.#isOpen && this.#isReading) {
      const into = this.#body ?? this.#header;
      const rest = into.subarray(this.#have, Math.min(into.length, this.#have + READ_BYTES));
      if (rest.length > 0) {
        const n = receive(this.fd, rest);
        if (n === WOULD_BLOCK) return;
        if (n === 0) throw new MigrationError("The other VMM is gone");
        this.#have += n;
      }
      if (this.#have < into.length) continue;
      this.#have = 0;
      if (this.#body === undefined) {
        const { kind, length } = decodeHeader(this.#header);
        this.#kind = kind;
        this.#body = new Uint8Array(length);
      } else {
        const frame = { kind: this.#kind, body: this.#body };
        this.#body = undefined;
        this.#host.frame(frame);
      }
    }
  }
}
