/**
 * What a socket device sends its guest: resets, what is pending of each stream, and what programs of
 * the host have written.
 *
 * @module
 */
import { receiveAt } from "../../sys/stream_io.ts";
import { scatter } from "./chain_bytes.ts";
import type { DeviceHost } from "./device.ts";
import type { QueueState, VirtQueue } from "./queue.ts";
import { BUFFER_BYTES, PENDING, type VsockConnection } from "./vsock_connection.ts";
import {
  HOST_CID,
  RX,
  VIRTIO_VSOCK_OP as OP,
  VIRTIO_VSOCK_TYPE_STREAM,
  VsockHeader,
} from "./vsock_protocol.ts";
import { VsockResets } from "./vsock_resets.ts";

const HEADER = VsockHeader.size;

export interface VsockToGuestOptions {
  queue: VirtQueue;
  cid: number;
  /** The guest offers no buffers: nothing can be sent until it notifies. */
  starved: () => void;
}

export class VsockToGuest {
  readonly resets = new VsockResets();
  readonly #host: DeviceHost;
  readonly #queue: VirtQueue;
  readonly #starved: () => void;
  /** Those with something pending, in order. */
  readonly #waiting = new Set<VsockConnection>();
  readonly #out = VsockHeader.create({
    src_cid: HOST_CID,
    type: VIRTIO_VSOCK_TYPE_STREAM,
    buf_alloc: BUFFER_BYTES,
  });
  /** A buffer of the guest's that was taken off the queue; -1 for none. */
  #head = -1;
  #stopped = false;

  constructor(host: DeviceHost, options: VsockToGuestOptions) {
    this.#host = host;
    this.#queue = options.queue;
    this.#starved = options.starved;
    this.#out.dst_cid = options.cid;
  }

  stop(): void {
    this.#stopped = true;
  }

  /** How far the queue has got; the buffer in hand counts as not taken. */
  get state(): QueueState {
    return this.#queue.stateBefore(this.#head >= 0 ? 1 : 0);
  }

  pend(connection: VsockConnection, what: number): void {
    connection.pending |= what;
    this.#waiting.add(connection);
  }

  forget(connection: VsockConnection): void {
    this.#waiting.delete(connection);
  }

  /** Has a buffer of the guest's in hand; false if it offers none, or the device was stopped. */
  take(): boolean {
    if (this.#head >= 0) return true;
    const queue = this.#queue;
    if (this.#stopped) return false;
    queue.disableNotifications();
    do {
      this.#head = queue.pop();
    } while (this.#head < 0 && queue.enableNotifications());
    if (this.#stopped) return false;
    if (this.#head < 0) {
      this.#starved();
      return false;
    }
    if (queue.writableBytes > HEADER) return true;
    this.#host.needsReset("a receive buffer has no room for a packet");
    return false;
  }

  /** Receives behind the header of the buffer in hand: bytes, 0 at the end, or a negative errno. */
  receive(connection: VsockConnection): number {
    const { offsets, lengths, readable, writable } = this.#queue;
    const base = this.#host.memory.address;
    let skip = HEADER;
    let room = connection.credit;
    let filled = 0;
    for (let i = readable; i < readable + writable && room > 0; i++) {
      const from = Math.min(skip, lengths[i]);
      skip -= from;
      const want = Math.min(lengths[i] - from, room);
      if (want === 0) continue;
      const n = receiveAt(connection.fd, base + offsets[i] + from, want);
      if (n <= 0) return filled > 0 ? filled : n;
      filled += n;
      room -= n;
      if (n < want) break;
    }
    return filled;
  }

  /** Makes the buffer in hand a packet. */
  send(
    connection: VsockConnection,
    op: number,
    fields: { len?: number; flags?: number } = {},
  ): void {
    const out = this.#out;
    out.src_port = connection.hostPort;
    out.dst_port = connection.guestPort;
    out.op = op;
    out.len = fields.len ?? 0;
    out.flags = fields.flags ?? 0;
    out.fwd_cnt = connection.told = connection.taken;
    connection.known = true;
    this.#put(out.$bytes, HEADER + out.len);
  }

  #put(header: Uint8Array, length: number): void {
    scatter(this.#queue, this.#host.memory, header);
    this.#queue.push(this.#head, length);
    this.#head = -1;
  }

  /** Sends what is pending, as far as the guest has buffers; it sees that after {@linkcode publish}. */
  tell(): void {
    while (this.resets.size > 0 && this.take()) this.#put(this.resets.next(), HEADER);
    for (const connection of this.#waiting) {
      while (connection.pending !== 0 && this.take()) this.#sendPending(connection);
      if (connection.pending !== 0) return;
      this.#waiting.delete(connection);
    }
  }

  publish(): void {
    if (!this.#stopped && this.#queue.publish()) this.#host.interruptQueue(RX);
  }

  #sendPending(connection: VsockConnection): void {
    const first = connection.pending & -connection.pending;
    connection.pending &= ~first;
    switch (first) {
      case PENDING.REQUEST:
        return this.send(connection, OP.REQUEST);
      case PENDING.RESPONSE:
        return this.send(connection, OP.RESPONSE);
      case PENDING.CREDIT:
        return this.send(connection, OP.CREDIT_UPDATE);
      case PENDING.SHUTDOWN:
        return this.send(connection, OP.SHUTDOWN, { flags: connection.hostEnded });
    }
  }
}
