/**
 * A pair of a network device's queues served here, for hosts without vhost-net and for cards with a rate
 * limit: frames go between the tap and guest memory by readv and writev, in batches, and are never looked
 * at.
 *
 * @module
 */
import { EAGAIN, EINTR } from "../../sys/errno.ts";
import { drain, signal } from "../../sys/eventfd.ts";
import { Iovecs, MAX_IOVECS } from "../../sys/iovecs.ts";
import { map, type Mapping } from "../../sys/mapping.ts";
import { VNET_HEADER_BYTES } from "../../sys/tap_offloads.ts";
import { VectoredStream } from "../../sys/vectored_io.ts";
import { type DeviceHost, VIRTIO_F } from "./device.ts";
import type { NetBackend, NetLimits, PairOptions, PairState } from "./net_pair.ts";
import { MAX_NET_QUEUE_SIZE, TX, VIRTIO_NET_F } from "./net_protocol.ts";
import { MAX_SEGMENTS, type QueueSetup, type QueueState, VirtQueue } from "./queue.ts";

/** Section 5.1.6.3: the largest frame with its header, if the driver takes large segments. */
const MAX_FRAME_BYTES = 65601;
/** Frames after which the other direction and other devices get their turn. */
const BATCH = 128;
/** With as many again and the overflow, a read takes MAX_IOVECS at most. */
const MAX_BUFFER_SEGMENTS = MAX_IOVECS / 2 - 1;
/** What is kept slides through arrays twice as long as it gets, and is seldom moved back. */
const ROOM = 2 * MAX_IOVECS;
/** Where num_buffers lies in the header (section 5.1.6). */
const NUM_BUFFERS = 10;

export interface TapOptions extends PairOptions {
  limits: NetLimits;
}

export class TapBackend implements NetBackend {
  /** Frames from the host that were larger than the driver's buffers. */
  oversized = 0;
  readonly #host: DeviceHost;
  readonly #tap: number;
  readonly #limits: NetLimits;
  readonly #rx: VirtQueue;
  readonly #tx: VirtQueue;
  readonly #mergeable: boolean;
  readonly #txIovecs: Iovecs;
  readonly #writer: VectoredStream;
  readonly #rxIovecs: Iovecs;
  readonly #reader: VectoredStream;
  /**
   * Comes after the driver's buffers in each read: what ends up in here did not fit, and the frame is
   * dropped instead of being passed on cut short.
   */
  readonly #overflow: Mapping;
  readonly #readable = () => this.#receive();

  // Receive buffers that were taken off the queue and wait for a frame, in order, from #first to #end;
  // their segments are the entries of #rxIovecs from #firstSegment to #endSegment.
  readonly #heads = new Int32Array(ROOM);
  readonly #sizes = new Float64Array(ROOM);
  readonly #segments = new Int32Array(ROOM);
  /** Where the two bytes of each one's num_buffers lie in the mapping of RAM. */
  readonly #counts = new Float64Array(2 * ROOM);
  #first = 0;
  #end = 0;
  #firstSegment = 0;
  #endSegment = 0;
  #bufferBytes = 0;
  #watching = false;
  #gone = false;

  constructor(host: DeviceHost, options: TapOptions) {
    const { features, state } = options;
    const queue = (setup: QueueSetup, state: QueueState) =>
      new VirtQueue(host.memory, setup, {
        maxSize: MAX_NET_QUEUE_SIZE,
        eventIdx: features.has(VIRTIO_F.EVENT_IDX),
        indirect: features.has(VIRTIO_F.INDIRECT_DESC),
        onViolation: (reason) => {
          this.#watch(false);
          host.needsReset(reason);
        },
        state,
      });
    this.#host = host;
    this.#tap = options.tap;
    this.#limits = options.limits;
    this.#rx = queue(options.rx, state.rx);
    this.#tx = queue(options.tx, state.tx);
    this.#mergeable = features.has(VIRTIO_NET_F.MRG_RXBUF);
    // Only now: what the driver configured wrongly throws above, and would leave these behind.
    this.#txIovecs = new Iovecs(MAX_SEGMENTS);
    this.#rxIovecs = new Iovecs(ROOM + 1);
    this.#overflow = map(MAX_FRAME_BYTES, { private: true });
    this.#writer = new VectoredStream(options.tap, this.#txIovecs);
    this.#reader = new VectoredStream(options.tap, this.#rxIovecs);
    [options.rx.index, options.tx.index].forEach((index, direction) => {
      const fd = host.queueNotifyFd(index);
      host.watch(fd, () => {
        drain(fd);
        this.notify(direction);
      });
    });
  }

  get rejected(): number {
    return this.#rx.rejected + this.#tx.rejected;
  }

  notify(direction: number): void {
    if (this.#rx.broken || this.#tx.broken) return;
    if (direction === TX) this.#transmit();
    else this.#receive();
  }

  stop(): PairState {
    this.#watch(false);
    for (const queue of [this.#rx, this.#tx]) {
      this.#host.unwatch(this.#host.queueNotifyFd(queue.rings.index));
    }
    this.#txIovecs.free();
    this.#rxIovecs.free();
    this.#overflow.unmap();
    const { nextAvail, nextUsed } = this.#rx.state;
    // A frame that did not fit was read into them all the same.
    this.#rx.abandon();
    // Buffers that wait for a frame are as if they had not been taken.
    const kept = this.#end - this.#first;
    return { rx: { nextAvail: (nextAvail - kept) & 0xffff, nextUsed }, tx: this.#tx.state };
  }

  #transmit(): void {
    const queue = this.#tx;
    const limit = this.#limits.send;
    const { address } = this.#host.memory;
    queue.disableNotifications();
    let budget = BATCH;
    do {
      while (limit.open) {
        const head = queue.pop();
        if (head < 0) break;
        const { offsets, lengths, readable } = queue;
        for (let i = 0; i < readable; i++) {
          this.#txIovecs.set(i, address + offsets[i], lengths[i]);
        }
        // The tap checks the header and drops what it does not like; so does a full queue behind it, as
        // on any network.
        while (this.#writer.write(readable) === -EINTR);
        limit.spend(Math.max(0, queue.readableBytes - VNET_HEADER_BYTES));
        queue.push(head, 0);
        if (--budget === 0) {
          signal(this.#host.queueNotifyFd(queue.rings.index));
          return this.#publish(queue);
        }
      }
      // The driver needs to tell nobody while what is there already has to wait.
      if (!limit.open) {
        limit.waitOn(this.#host, this.#limits.sendAgain);
        break;
      }
    } while (queue.enableNotifications());
    this.#publish(queue);
  }

  #publish(queue: VirtQueue): void {
    // After a violation, the host may have stopped this back-end already.
    if (!queue.broken && queue.publish()) this.#host.interruptQueue(queue.rings.index);
  }

  /** Reads what the tap has, as long as there are buffers for it. */
  #receive(): void {
    const queue = this.#rx;
    const limit = this.#limits.receive;
    for (let budget = BATCH; budget > 0 && limit.open && this.#fill(); budget--) {
      this.#rxIovecs.set(this.#endSegment, this.#overflow.address, this.#overflow.length);
      const n = this.#reader.read(this.#endSegment - this.#firstSegment + 1, this.#firstSegment);
      if (n < 0) {
        if (n === -EINTR) continue;
        // Anything but "all read" means that the interface was removed: the link stays silent.
        if (n !== -EAGAIN) this.#gone = true;
        break;
      }
      limit.spend(Math.max(0, n - VNET_HEADER_BYTES));
      if (n > this.#bufferBytes) this.oversized++;
      else if (n >= VNET_HEADER_BYTES) this.#deliver(n);
    }
    if (queue.broken) return;
    this.#publish(queue);
    const waits = !limit.open;
    if (waits) limit.waitOn(this.#host, this.#limits.receiveAgain);
    // Without buffers or leave the tap would stay readable and wake us for nothing.
    this.#watch(this.#end > this.#first && !this.#gone && !waits);
  }

  #watch(on: boolean): void {
    if (on === this.#watching) return;
    this.#watching = on;
    if (on) this.#host.watch(this.#tap, this.#readable);
    else this.#host.unwatch(this.#tap);
  }

  /** Takes buffers until the largest frame fits; false if there is none at all. */
  #fill(): boolean {
    const queue = this.#rx;
    // Section 5.1.6.3.2: one chain per frame unless MRG_RXBUF was negotiated.
    const enough = this.#mergeable ? MAX_FRAME_BYTES : 1;
    if (this.#bufferBytes >= enough) return true;
    queue.disableNotifications();
    do {
      while (
        this.#bufferBytes < enough &&
        this.#endSegment - this.#firstSegment <= MAX_BUFFER_SEGMENTS
      ) {
        const head = queue.pop();
        if (head < 0) break;
        this.#keep(head);
      }
      // With buffers in hand, the next frame looks for more; only without is a notification needed.
    } while (this.#end === this.#first && queue.enableNotifications());
    return this.#end > this.#first && !queue.broken;
  }

  #keep(head: number): void {
    const queue = this.#rx;
    const { offsets, lengths, readable, writable, writableBytes } = queue;
    // Section 5.1.6.3.1: each buffer holds a header at least.
    if (writableBytes < VNET_HEADER_BYTES || writable > MAX_BUFFER_SEGMENTS) {
      queue.push(head, 0);
      return;
    }
    if (this.#endSegment + writable > ROOM) this.#slideBack();
    const { address } = this.#host.memory;
    const at = this.#end++;
    for (let i = 0, start = 0; i < writable; i++) {
      const offset = offsets[readable + i];
      const length = lengths[readable + i];
      this.#rxIovecs.set(this.#endSegment++, address + offset, length);
      if (start <= NUM_BUFFERS + 1) {
        for (let byte = 0; byte < 2; byte++) {
          const within = NUM_BUFFERS + byte - start;
          if (within >= 0 && within < length) this.#counts[2 * at + byte] = offset + within;
        }
      }
      start += length;
    }
    this.#heads[at] = head;
    this.#sizes[at] = writableBytes;
    this.#segments[at] = writable;
    this.#bufferBytes += writableBytes;
  }

  /** Returns the buffers that a frame of `length` bytes with its header fills. */
  #deliver(length: number): void {
    const first = this.#first;
    let used = 1;
    for (let room = this.#sizes[first]; room < length; used++) room += this.#sizes[first + used];
    const { bytes } = this.#host.memory;
    bytes[this.#counts[2 * first]] = used;
    bytes[this.#counts[2 * first + 1]] = used >> 8;
    let at = first;
    while (length > 0) {
      const size = this.#sizes[at];
      const take = Math.min(length, size);
      this.#rx.push(this.#heads[at], take);
      this.#bufferBytes -= size;
      this.#firstSegment += this.#segments[at++];
      length -= take;
    }
    this.#first = at;
  }

  /** Moves what is kept to the beginning of the arrays; each buffer has a segment, so both have room. */
  #slideBack(): void {
    this.#heads.copyWithin(0, this.#first, this.#end);
    this.#sizes.copyWithin(0, this.#first, this.#end);
    this.#segments.copyWithin(0, this.#first, this.#end);
    this.#counts.copyWithin(0, 2 * this.#first, 2 * this.#end);
    this.#rxIovecs.move(0, this.#firstSegment, this.#endSegment - this.#firstSegment);
    this.#end -= this.#first;
    this.#endSegment -= this.#firstSegment;
    this.#first = this.#firstSegment = 0;
  }
}
