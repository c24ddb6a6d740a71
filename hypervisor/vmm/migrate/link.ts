/**
 * The connection between two VMMs, as the main loop has it: frames come and go, and nothing waits. While
 * the mover's stream has it, it is lent. On one host, descriptors may go along with a frame.
 *
 * @module
 */
import { ECONNRESET, EPIPE, SysError } from "../../sys/errno.ts";
import { close } from "../../sys/files.ts";
import { receiveDescriptors, sendDescriptors } from "../../sys/passed_descriptors.ts";
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

/** What is read before anything else is looked at ... */
const READ_BYTES = 1 << 20;
/** ... and how many frames, for small ones may ask for much. */
const READ_FRAMES = 16;

export interface LinkHost {
  frame(frame: Frame): void;
  /**
   * The other side is gone, or says what cannot be understood; nothing comes any more. `isGone` where it has
   * closed the connection, and all that it had said was whole.
   */
  broken(error: Error, isGone: boolean): void;
  /** What the connection did not take at once has gone. */
  flushed?(): void;
}

/** The other side has closed the connection. */
class Gone extends MigrationError {}

interface Outgoing {
  bytes: Uint8Array<ArrayBuffer>;
  /** What goes along with the first of the bytes. */
  fds: readonly number[];
}

export class Link {
  readonly fd: number;
  readonly #loop: EventLoop;
  readonly #host: LinkHost;
  readonly #descriptors: number[] | undefined;
  #outgoing: Outgoing[] = [];
  readonly #header = new Uint8Array(FrameHeader.size);
  #body: Uint8Array<ArrayBuffer> | undefined;
  #kind: FrameKind = "failed";
  /** Of the header, or of the body once it has come. */
  #have = 0;
  /** Something had to wait, and the host has not been told that it has gone. */
  #isBehind = false;
  #isReading = true;
  #isOpen = true;
  #isClosed = false;

  /** Takes a connected socket, which it closes. What comes along is added to `descriptors`, or dropped without. */
  constructor(
    fd: number,
    options: { loop: EventLoop; host: LinkHost; descriptors?: number[] },
  ) {
    this.fd = fd;
    this.#loop = options.loop;
    this.#host = options.host;
    this.#descriptors = options.descriptors;
    this.#loop.watch(fd, () => this.#ready());
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Whether all that was said has gone. */
  get isFlushed(): boolean {
    return this.#outgoing.length === 0;
  }

  /** `fds` are as many as one message can bring, and stay the caller's. */
  say(kind: FrameKind, body?: Uint8Array<ArrayBuffer>, fds: readonly number[] = []): void {
    if (!this.#isOpen) return;
    this.#outgoing.push({ bytes: encodeFrame(kind, body), fds });
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
      this.#tellFlushed();
    });
  }

  #guarded(action: () => void): void {
    try {
      action();
    } catch (error) {
      if (!this.#isOpen) return;
      const isGone = error instanceof Gone && this.#have === 0 && this.#body === undefined;
      this.end();
      this.#host.broken(error as Error, isGone);
    }
  }

  #flush(): void {
    while (this.#outgoing.length > 0) {
      const [first] = this.#outgoing;
      const n = this.#send(first);
      if (n === WOULD_BLOCK) break;
      if (n === first.bytes.length) this.#outgoing.shift();
      else this.#outgoing[0] = { bytes: first.bytes.subarray(n), fds: [] };
    }
    this.#isBehind ||= !this.isFlushed;
    this.#want();
  }

  /** Only from the loop, whoever had the last of it sent: a host may say more, and must not be in the middle of it. */
  #tellFlushed(): void {
    if (!this.#isBehind || !this.isFlushed || !this.#isOpen || !this.#isReading) return;
    this.#isBehind = false;
    this.#want();
    this.#host.flushed?.();
  }

  #want(): void {
    if (this.#isReading) this.#loop.want(this.fd, { read: true, write: this.#isBehind });
  }

  /** Never a byte beyond a frame: what follows may be the mover's. The loop calls again where there is more. */
  #read(): void {
    let bytes = READ_BYTES;
    let frames = READ_FRAMES;
    while (this.#isOpen && this.#isReading && bytes > 0 && frames > 0) {
      const into = this.#body ?? this.#header;
      const rest = into.subarray(this.#have, Math.min(into.length, this.#have + bytes));
      if (rest.length > 0) {
        const n = this.#receive(rest);
        if (n === WOULD_BLOCK) return;
        if (n === 0) throw new Gone("The other VMM is gone");
        this.#have += n;
        bytes -= n;
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
        frames--;
        this.#host.frame(frame);
      }
    }
  }

  #send({ bytes, fds }: Outgoing): number {
    try {
      return fds.length > 0 ? sendDescriptors(this.fd, bytes, fds) : send(this.fd, bytes);
    } catch (error) {
      // It is gone, which is read, after all that it had said.
      if (error instanceof SysError && error.errno === EPIPE) return bytes.length;
      throw error;
    }
  }

  #receive(into: Uint8Array<ArrayBuffer>): number {
    try {
      if (this.#descriptors === undefined) return receive(this.fd, into);
      return receiveDescriptors(this.fd, into, this.#descriptors);
    } catch (error) {
      // It has not read all that was said to it; what it had said has come before this.
      if (error instanceof SysError && error.errno === ECONNRESET) return 0;
      throw error;
    }
  }
}
