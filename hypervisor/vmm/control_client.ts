/**
 * One connection to the control socket, as the main loop serves it: nothing here waits.
 *
 * @module
 */
import { close } from "../sys/files.ts";
import { MAX_PASSED, receiveDescriptors, sendDescriptors } from "../sys/passed_descriptors.ts";
import { receive, send, WOULD_BLOCK } from "../sys/unix_sockets.ts";
import { MAX_LINE_BYTES, SERIAL_REPLAY_BYTES } from "./control.ts";
import type { EventLoop } from "./event_loop.ts";

/** How much a client may fall behind before it is dropped, in bytes. */
const MAX_BACKLOG = 4 * SERIAL_REPLAY_BYTES;
const READ_BYTES = 4096;

export interface ClientHost {
  /** The first line came. */
  request(client: ControlClient, line: string): void;
  /** What follows it: how many of the bytes could be taken. The rest is offered again. */
  received(client: ControlClient, bytes: Uint8Array): number;
  /** It is gone. */
  closed(client: ControlClient): void;
}

export class ControlClient {
  readonly #fd: number;
  readonly #loop: EventLoop;
  readonly #host: ClientHost;
  /** What came and could not be used yet. */
  #rest: Uint8Array<ArrayBuffer> = new Uint8Array();
  #hasRequest = false;
  #outgoing: Uint8Array<ArrayBuffer>[] = [];
  /** What goes along with the bytes, which nothing else does after them. */
  #descriptors: { of: Uint8Array<ArrayBuffer>; fds: readonly number[] } | undefined;
  /** What came along with the request, until somebody takes it. */
  #received: number[] = [];
  #backlog = 0;
  /** The other side sends no more. */
  #saysNoMore = false;
  /** This side does not either, once all is sent. */
  #isEnding = false;
  #isOpen = true;

  constructor(fd: number, options: { loop: EventLoop; host: ClientHost }) {
    this.#fd = fd;
    this.#loop = options.loop;
    this.#host = options.host;
    this.#loop.watch(fd, () => this.#ready());
  }

  #ready(): void {
    try {
      this.#flush();
      if (this.#isOpen && this.#wantsToRead) this.#read();
    } catch {
      // The other side went away.
      this.close();
    }
  }

  #read(): void {
    const buffer = new Uint8Array(READ_BYTES);
    // After the request nothing is wanted but bytes: what else comes, the kernel drops.
    const n = this.#hasRequest
      ? receive(this.#fd, buffer)
      : receiveDescriptors(this.#fd, buffer, this.#received);
    if (n === WOULD_BLOCK) return;
    if (this.#received.length > MAX_PASSED) return this.close();
    if (n === 0) return this.#ended();
    const joined = new Uint8Array(this.#rest.length + n);
    joined.set(this.#rest);
    joined.set(buffer.subarray(0, n), this.#rest.length);
    this.#rest = joined;
    if (!this.#hasRequest) this.#takeRequest();
    else this.offer();
  }

  // What was sent before the end is used first.
  #ended(): void {
    this.#saysNoMore = true;
    if (!this.#hasRequest || this.#rest.length === 0) this.end();
    else this.#want();
  }

  #takeRequest(): void {
    const end = this.#rest.indexOf(0x0A);
    if (end < 0) {
      if (this.#rest.length > MAX_LINE_BYTES) this.close();
      return;
    }
    const line = new TextDecoder().decode(this.#rest.subarray(0, end));
    this.#rest = this.#rest.slice(end + 1);
    this.#hasRequest = true;
    this.#host.request(this, line);
    if (this.#isOpen) this.offer();
  }

  /** Offers what came and could not be taken. */
  offer(): void {
    if (!this.#hasRequest || this.#rest.length === 0) return;
    const taken = this.#host.received(this, this.#rest);
    this.#rest = this.#rest.slice(taken);
    if (this.#saysNoMore && this.#rest.length === 0) this.end();
    else this.#want();
  }

  answer(message: unknown): void {
    this.send(new TextEncoder().encode(JSON.stringify(message) + "\n"));
  }

  /** The descriptors that came along with the request, which are the caller's to close. */
  takeDescriptors(): number[] {
    return this.#received.splice(0);
  }

  /** As {@linkcode answer}, with descriptors that are closed when they have gone; once. */
  answerWith(message: unknown, fds: readonly number[]): void {
    const of = new TextEncoder().encode(JSON.stringify(message) + "\n");
    this.#descriptors = { of, fds };
    this.send(of);
    if (!this.#isOpen) this.#closeDescriptors();
  }

  #closeDescriptors(): void {
    this.#descriptors?.fds.forEach(close);
    this.#descriptors = undefined;
    this.takeDescriptors().forEach(close);
  }

  /** Sends in order; never waits. */
  send(bytes: Uint8Array<ArrayBuffer>): void {
    if (bytes.length === 0 || !this.#isOpen) return;
    this.#backlog += bytes.length;
    if (this.#backlog > MAX_BACKLOG) return this.close();
    this.#outgoing.push(bytes);
    try {
      this.#flush();
    } catch {
      this.close();
    }
  }

  #flush(): void {
    while (this.#outgoing.length > 0) {
      const [first] = this.#outgoing;
      const n = this.#transmit(first);
      if (n === WOULD_BLOCK) break;
      this.#backlog -= n;
      if (n === first.length) this.#outgoing.shift();
      else this.#outgoing[0] = first.slice(n);
    }
    if (this.#isEnding && !this.hasMore) this.close();
    else this.#want();
  }

  #transmit(bytes: Uint8Array<ArrayBuffer>): number {
    if (this.#descriptors?.of !== bytes) return send(this.#fd, bytes);
    const n = sendDescriptors(this.#fd, bytes, this.#descriptors.fds);
    if (n !== WOULD_BLOCK) {
      this.#descriptors.fds.forEach(close);
      this.#descriptors = undefined;
    }
    return n;
  }

  #want(): void {
    if (!this.#isOpen) return;
    this.#loop.want(this.#fd, { read: this.#wantsToRead, write: this.hasMore });
  }

  get #wantsToRead(): boolean {
    if (this.#isEnding || this.#saysNoMore) return false;
    return !this.#hasRequest || this.#rest.length < READ_BYTES;
  }

  /** Whether there is something that the other side has not taken yet. */
  get hasMore(): boolean {
    return this.#outgoing.length > 0;
  }

  /** Closes once all that was sent has gone. */
  end(): void {
    this.#isEnding = true;
    try {
      this.#flush();
    } catch {
      this.close();
    }
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#outgoing = [];
    this.#closeDescriptors();
    this.#loop.unwatch(this.#fd);
    close(this.#fd);
    this.#host.closed(this);
  }
}
