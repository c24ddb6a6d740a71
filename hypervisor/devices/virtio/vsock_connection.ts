/**
 * One stream between a program of the guest and one of the host: how much each side may send (virtio
 * 1.2, section 5.10.6.3), and what the guest sent and the host's program has not taken yet.
 *
 * @module
 */
import { addressOf } from "../../sys/mapping.ts";
import { sendAt, WAIT } from "../../sys/stream_io.ts";
import { VIRTIO_VSOCK_SHUTDOWN } from "./vsock_protocol.ts";

/** What the guest may send before the host's program has taken any of it. */
export const BUFFER_BYTES = 128 * 1024;

/** Packets that the guest is still to get, sent in this order. */
export const PENDING = { REQUEST: 1, RESPONSE: 2, CREDIT: 4, SHUTDOWN: 8 } as const;

export const BOTH = VIRTIO_VSOCK_SHUTDOWN.RCV | VIRTIO_VSOCK_SHUTDOWN.SEND;

export class VsockConnection {
  readonly hostPort: number;
  readonly guestPort: number;
  /** The unix socket; -1 once it is closed. */
  fd: number;
  /** Both sides have agreed to talk. */
  open = false;
  /** A set of {@linkcode PENDING}. */
  pending = 0;
  /** The guest has been told of it, or has told us: it has to be told of its end. */
  known = false;
  /** What the guest said that it does no more, and what this side does no more, as SHUTDOWN's flags. */
  guestEnded = 0;
  hostEnded = 0;

  // Section 5.10.6.3: counts of bytes, which wrap at 2^32.
  /** How much the guest can buffer, and how much its program has taken. */
  guestAlloc = 0;
  guestTaken = 0;
  sentToGuest = 0;
  taken = 0;
  /** Which `taken` the guest was last told. */
  told = 0;

  #buffer: Uint8Array<ArrayBuffer> | undefined;
  #address = 0;
  #start = 0;
  #length = 0;

  constructor(fd: number, ports: { host: number; guest: number }) {
    this.fd = fd;
    this.hostPort = ports.host;
    this.guestPort = ports.guest;
  }

  /** How much may be sent to the guest. */
  get credit(): number {
    // A guest may claim to have taken what it was never sent: then there is none.
    const waiting = (this.sentToGuest - this.guestTaken) >>> 0;
    return Math.max(0, this.guestAlloc - waiting);
  }

  /** How much the guest may send. */
  get room(): number {
    return BUFFER_BYTES - this.#length;
  }

  /** What waits for the host's program. */
  get buffered(): number {
    return this.#length;
  }

  /** Whether the guest should be told that there is room again. */
  get owesCredit(): boolean {
    return ((this.taken - this.told) >>> 0) >= BUFFER_BYTES / 2;
  }

  take(bytes: number): void {
    this.taken = (this.taken + bytes) >>> 0;
  }

  /** Keeps what the socket had no room for; the caller has looked at {@linkcode room}. */
  keep(bytes: Uint8Array): void {
    if (this.#buffer === undefined) {
      this.#buffer = new Uint8Array(BUFFER_BYTES);
      this.#address = addressOf(this.#buffer);
    }
    const at = (this.#start + this.#length) % BUFFER_BYTES;
    const first = Math.min(bytes.length, BUFFER_BYTES - at);
    this.#buffer.set(bytes.subarray(0, first), at);
    this.#buffer.set(bytes.subarray(first), 0);
    this.#length += bytes.length;
  }

  /** Sends what was kept, as far as the socket takes it; false if it takes nothing any more. */
  flush(): boolean {
    while (this.#length > 0) {
      const run = Math.min(this.#length, BUFFER_BYTES - this.#start);
      const n = sendAt(this.fd, this.#address + this.#start, run);
      if (n <= 0) return n === WAIT;
      this.#start = (this.#start + n) % BUFFER_BYTES;
      this.#length -= n;
      this.take(n);
    }
    return true;
  }

  /** Forgets what was kept: nobody reads it any more. */
  discard(): void {
    this.take(this.#length);
    this.#length = 0;
    this.#buffer = undefined;
  }
}
