/**
 * A network device's queues served here, for hosts without vhost-net: frames go between the tap and guest
 * memory by readv and writev, in batches, and are never looked at.
 *
 * @module
 */
import { EAGAIN, EINTR } from "../../sys/errno.ts";
import { signal } from "../../sys/eventfd.ts";
import { Iovecs, MAX_IOVECS } from "../../sys/iovecs.ts";
import { map, type Mapping } from "../../sys/mapping.ts";
import { VNET_HEADER_BYTES } from "../../sys/tap_offloads.ts";
import { VectoredStream } from "../../sys/vectored_io.ts";
import { type DeviceHost, VIRTIO_F } from "./device.ts";
import { NET_QUEUE_SIZE, type NetBackend, RX, TX, VIRTIO_NET_F } from "./net_protocol.ts";
import { MAX_SEGMENTS, type QueueSetup, VirtQueue } from "./queue.ts";

/** Section 5.1.6.3: the largest frame with its header, if the driver takes large segments. */
const MAX_FRAME_BYTES = 65601;
/** Frames after which the other direction and other devices get their turn. */
const BATCH = 128;
/** With as many again and the overflow, a read takes MAX_IOVECS at most. */
const MAX_BUFFER_SEGMENTS = MAX_IOVECS / 2 - 1;
/** Where num_buffers lies in the header (section 5.1.6). */
const NUM_BUFFERS = 10;

export interface TapOptions {
  tap: number;
  queues: readonly QueueSetup[];
  features: ReadonlySet<number>;
}

export class TapBackend implements NetBackend {
  readonly #host: DeviceHost;
  readonly #tap: number;
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

  // Receive buffers that were taken off the queue and wait for a frame, in order; their segments are the
  // first entries of #rxIovecs.
  readonly #heads = new Int32Array(NET_QUEUE_SIZE);
  readonly #sizes = new Float64Array(NET_QUEUE_SIZE);
  readonly #segments = new Int32Array(NET_QUEUE_SIZE);
  /** Where the two bytes of each one's num_buffers lie in the mapping of RAM. */
  readonly #counts = new Float64Array(2 * NET_QUEUE_SIZE);
  #buffers = 0;
  #bufferBytes = 0;
  #bufferSegments = 0;
  #watching = false;
  #gone = false;

  constructor(host: DeviceHost, options: TapOptions) {
    const { features } = options;
    const queue = (setup: QueueSetup) =>
      new VirtQueue(host.memory, setup, {
        maxSize: NET_QUEUE_SIZE,
        eventIdx: features.has(VIRTIO_F.EVENT_IDX),
        indirect: features.has(VIRTIO_F.INDIRECT_DESC),
        onViolation: (reason) => {
          this.#watch(false);
          host.needsReset(reason);
        },
      });
    this.#host = host;
    this.#tap = options.tap;
    this.#rx = queue(options.queues[RX]);
    this.#tx = queue(options.queues[TX]);
    this.#mergeable = features.has(VIRTIO_NET_F.MRG_RXBUF);
    // Only now: what the driver configured wrongly throws above, and would leave these behind.
    this.#txIovecs = new Iovecs(MAX_SEGMENTS);
    this.#rxIovecs = new Iovecs(MAX_IOVECS);
    this.#overflow = map(MAX_FRAME_BYTES, { private: true });
    this.#writer = new VectoredStream(options.tap, this.#txIovecs);
    this.#reader = new VectoredStream(options.tap, this.#rxIovecs);
  }

  notify(index: number): void {
    if (this.#rx.broken || this.#tx.broken) return;
    if (index === TX) this.#transmit();
    else this.#receive();
  }

  stop(): void {
    this.#watch(false);
    this.#txIovecs.free();
    this.#rxIovecs.free();
    this.#overflow.unmap();
  }

  #transmit(): void {
    const queue = this.#tx;
    const { address } = this.#host.memory;
    queue.disableNotifications();
    let budget = BATCH;
    do {
      for (let head = queue.pop(); head >= 0; head = queue.pop()) {
        const { offsets, lengths, readable } = queue;
        for (let i = 0; i < readable; i++) {
          this.#txIovecs.set(i, address + offsets[i], lengths[i]);
        }
        // The tap checks the header and drops what it does not like; so does a full queue behind it, as
        // on any network.
        while (this.#writer.write(readable) === -EINTR);
        queue.push(head, 0);
        if (--budget === 0) {
          signal(this.#host.queueNotifyFd(TX));
          if (queue.publish()) this.#host.interruptQueue(TX);
          return;
        }
      }
    } while (queue.enableNotifications());
    if (!queue.broken && queue.publish()) this.#host.interruptQueue(TX);
  }

  /** Reads what the tap has, as long as there are buffers for it. */
  #receive(): void {
    const queue = this.#rx;
    for (let budget = BATCH; budget > 0 && this.#fill(); budget--) {
      this.#rxIovecs.set(this.#bufferSegments, this.#overflow.address, this.#overflow.length);
      const n = this.#reader.read(this.#bufferSegments + 1);
      if (n < 0) {
        if (n === -EINTR) continue;
        // Anything but "all read" means that the interface was removed: the link stays silent.
        if (n !== -EAGAIN) this.#gone = true;
        break;
      }
      if (n >= VNET_HEADER_BYTES && n <= this.#bufferBytes) this.#deliver(n);
    }
    // After a violation, the host may have stopped this back-end already.
    if (queue.broken) return;
    if (queue.publish()) this.#host.interruptQueue(RX);
    // Without buffers the tap would stay readable and wake us for nothing.
    this.#watch(this.#buffers > 0 && !this.#gone);
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
    queue.disableNotifications();
    do {
      while (this.#bufferBytes < enough && this.#bufferSegments <= MAX_BUFFER_SEGMENTS) {
        const head = queue.pop();
        if (head < 0) break;
        this.#keep(head);
      }
      // With buffers in hand, the next frame looks for more; only without is a notification needed.
    } while (this.#buffers === 0 && queue.enableNotifications());
    return this.#buffers > 0 && !queue.broken;
  }

  #keep(head: number): void {
    const queue = this.#rx;
    const { offsets, lengths, readable, writable, writableBytes } = queue;
    // Section 5.1.6.3.1: each buffer holds a header at least.
    if (writableBytes < VNET_HEADER_BYTES || writable > MAX_BUFFER_SEGMENTS) {
      queue.push(head, 0);
      return;
    }
    const { address } = this.#host.memory;
    const at = this.#buffers++;
    for (let i = 0, start = 0; i < writable; i++) {
      const offset = offsets[readable + i];
      const length = lengths[readable + i];
      this.#rxIovecs.set(this.#bufferSegments++, address + offset, length);
      for (let byte = 0; byte < 2; byte++) {
        const within = NUM_BUFFERS + byte - start;
        if (within >= 0 && within < length) this.#counts[2 * at + byte] = offset + within;
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
    let used = 0;
    let segments = 0;
    while (length > 0) {
      const take = Math.min(length, this.#sizes[used]);
      this.#rx.push(this.#heads[used], take);
      this.#bufferBytes -= this.#sizes[used];
      segments += this.#segments[used++];
      length -= take;
    }
    const { bytes } = this.#host.memory;
    bytes[this.#counts[0]] = used;
    bytes[this.#counts[1]] = used >> 8;
    this.#heads.copyWithin(0, used, this.#buffers);
    this.#sizes.copyWithin(0, used, this.#buffers);
    this.#segments.copyWithin(0, used, this.#buffers);
    this.#counts.copyWithin(0, 2 * used, 2 * this.#buffers);
    this.#rxIovecs.move(0, segments, this.#bufferSegments - segments);
    this.#buffers -= used;
    this.#bufferSegments -= segments;
  }
}
