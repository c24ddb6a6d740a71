/**
 * A block device at work, from DRIVER_OK to reset: requests off the queue, checked whole, handed over and
 * answered (virtio 1.2, section 5.2.6).
 *
 * @module
 */
import { EAGAIN, EINTR, SysError } from "../../sys/errno.ts";
import { drain, signal } from "../../sys/eventfd.ts";
import { Iovecs } from "../../sys/iovecs.ts";
import type { BlockEngine, EngineOptions } from "./block_engine.ts";
import {
  BLOCK_QUEUE_SIZE,
  HEADER_BYTES,
  ID_BYTES,
  VIRTIO_BLK_F,
  VIRTIO_BLK_S,
  VIRTIO_BLK_T,
} from "./block_protocol.ts";
import { type DeviceHost, VIRTIO_F } from "./device.ts";
import { SECTOR_BYTES } from "./disk.ts";
import { MAX_SEGMENTS, type QueueSetup, VirtQueue } from "./queue.ts";

/** What Linux moves in one call (MAX_RW_COUNT); the largest request that is served. */
const MAX_DATA_BYTES = 0x7fff_f000;
/** Rounds of a full queue after which other devices get their turn. */
const ROUNDS = 4;

/** What the requests are for. */
export interface Backing {
  fd: number;
  sectors: number;
  readonly: boolean;
  serial: Uint8Array<ArrayBuffer>;
  createEngine(options: EngineOptions): BlockEngine;
}

export class BlockRequests {
  readonly engine: BlockEngine;
  readonly #host: DeviceHost;
  readonly #queue: VirtQueue;
  readonly #backing: Backing;
  readonly #stableWrites: boolean;
  readonly #iovecs: Iovecs;
  readonly #header = new Uint8Array(HEADER_BYTES);
  readonly #headerView = new DataView(this.#header.buffer);
  readonly #done = (slot: number, result: number) => this.#completed(slot, result);
  readonly #transfer = { index: 0, count: 0, position: 0, stable: false };

  // One slot per request in flight, of which there are at most as many as the queue has entries. A
  // slot's iovecs begin at MAX_SEGMENTS times its number.
  readonly #free: Int32Array;
  #freeCount: number;
  readonly #heads: Int32Array;
  readonly #types: Int32Array;
  /** Where the status byte goes. */
  readonly #statuses: Float64Array;
  /** Bytes of data in the chain's writable part, for the length in the used ring. */
  readonly #filled: Float64Array;
  // What is left to transfer.
  readonly #left: Float64Array;
  readonly #positions: Float64Array;
  readonly #first: Int32Array;
  readonly #counts: Int32Array;
  #failed = false;

  constructor(
    host: DeviceHost,
    setup: QueueSetup,
    features: ReadonlySet<number>,
    backing: Backing,
  ) {
    this.#host = host;
    this.#backing = backing;
    this.#queue = new VirtQueue(host.memory, setup, {
      maxSize: BLOCK_QUEUE_SIZE,
      eventIdx: features.has(VIRTIO_F.EVENT_IDX),
      indirect: features.has(VIRTIO_F.INDIRECT_DESC),
      onViolation: (reason) => this.#fail(reason),
    });
    // Section 5.2.6.2: a driver that will not flush has its writes made stable one by one.
    this.#stableWrites = !features.has(VIRTIO_BLK_F.FLUSH);
    const depth = this.#queue.size;
    this.#free = Int32Array.from({ length: depth }, (_, i) => i);
    this.#freeCount = depth;
    this.#heads = new Int32Array(depth);
    this.#types = new Int32Array(depth);
    this.#statuses = new Float64Array(depth);
    this.#filled = new Float64Array(depth);
    this.#left = new Float64Array(depth);
    this.#positions = new Float64Array(depth);
    this.#first = new Int32Array(depth);
    this.#counts = new Int32Array(depth);
    this.#iovecs = new Iovecs(depth * MAX_SEGMENTS);
    this.engine = backing.createEngine({ fd: backing.fd, iovecs: this.#iovecs, depth });
    const { eventFd } = this.engine;
    if (eventFd >= 0) {
      host.watch(eventFd, () => {
        drain(eventFd);
        this.run();
      });
    }
  }

  /** Serves what the queue holds and what has completed. */
  run(): void {
    if (this.#failed) return;
    const queue = this.#queue;
    queue.disableNotifications();
    let rounds = 0;
    do {
      for (let head = queue.pop(); head >= 0; head = queue.pop()) this.#start(head);
      // A violation stops the device in the middle of this.
      if (this.#failed) return;
      this.#drive();
      if (this.#failed) return;
      if (++rounds > ROUNDS) {
        // Notifications stay off; this one is ours.
        signal(this.#host.queueNotifyFd(queue.rings.index));
        break;
      }
    } while (queue.enableNotifications());
    if (queue.publish()) this.#host.interruptQueue(queue.rings.index);
  }

  /** Waits for what is in flight, so that nothing touches guest memory afterwards. */
  stop(): void {
    this.#failed = true;
    if (this.engine.eventFd >= 0) this.#host.unwatch(this.engine.eventFd);
    while (this.engine.inFlight > 0) {
      this.engine.wait();
      this.engine.reap(() => {});
    }
    this.engine.close();
    this.#iovecs.free();
  }

  #drive(): void {
    try {
      // What completes at once can leave a rest to submit again.
      do this.engine.submit(); while (this.engine.reap(this.#done) > 0);
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      this.#fail(error.message);
    }
  }

  #fail(reason: string): void {
    this.#failed = true;
    // The host may stop this device before it returns.
    this.#host.needsReset(reason);
  }

  /** Checks the request that was just popped, whole, before any of it is carried out. */
  #start(head: number): void {
    const queue = this.#queue;
    const { readable, readableBytes, writableBytes } = queue;
    if (writableBytes === 0) {
      // No place for a status byte.
      queue.push(head, 0);
      return;
    }
    const last = readable + queue.writable - 1;
    const status = queue.offsets[last] + queue.lengths[last] - 1;
    const filled = writableBytes - 1;
    if (readableBytes < HEADER_BYTES) {
      this.#finish(head, VIRTIO_BLK_S.IOERR, status, filled > 0 ? 0 : 1);
      return;
    }
    this.#copyHeader();
    const type = this.#headerView.getUint32(0, true);
    const sector = this.#headerView.getUint32(8, true) +
      this.#headerView.getUint32(12, true) * 0x1_0000_0000;
    switch (type) {
      case VIRTIO_BLK_T.IN:
      case VIRTIO_BLK_T.OUT: {
        const write = type === VIRTIO_BLK_T.OUT;
        const bytes = write ? readableBytes - HEADER_BYTES : filled;
        const good = bytes % SECTOR_BYTES === 0 && bytes <= MAX_DATA_BYTES &&
          sector + bytes / SECTOR_BYTES <= this.#backing.sectors &&
          !(write && this.#backing.readonly);
        if (!good) {
          this.#finish(head, VIRTIO_BLK_S.IOERR, status, filled > 0 ? 0 : 1);
        } else if (bytes === 0) {
          this.#finish(head, VIRTIO_BLK_S.OK, status, filled > 0 ? 0 : 1);
        } else {
          const slot = this.#take(head, type, status, write ? 0 : filled);
          this.#left[slot] = bytes;
          this.#positions[slot] = sector * SECTOR_BYTES;
          this.#gather(slot, write ? HEADER_BYTES : 0, bytes, write);
          this.#transferRest(slot);
        }
        break;
      }
      case VIRTIO_BLK_T.FLUSH:
        this.engine.sync(this.#take(head, type, status, 0));
        break;
      case VIRTIO_BLK_T.GET_ID: {
        const bytes = Math.min(filled, ID_BYTES);
        this.#scatter(this.#backing.serial, bytes);
        this.#finish(head, VIRTIO_BLK_S.OK, status, filled > bytes ? bytes : bytes + 1);
        break;
      }
      default:
        this.#finish(head, VIRTIO_BLK_S.UNSUPP, status, filled > 0 ? 0 : 1);
    }
  }

  /** The header may lie in any number of segments (section 2.7.4.1); it is read once. */
  #copyHeader(): void {
    const { offsets, lengths } = this.#queue;
    const { bytes } = this.#host.memory;
    for (let segment = 0, n = 0; n < HEADER_BYTES; segment++) {
      const take = Math.min(HEADER_BYTES - n, lengths[segment]);
      for (let i = 0; i < take; i++) this.#header[n++] = bytes[offsets[segment] + i];
    }
  }

  /** Writes the first `count` of `source` to the beginning of the chain's writable part. */
  #scatter(source: Uint8Array, count: number): void {
    const { offsets, lengths, readable } = this.#queue;
    const { bytes } = this.#host.memory;
    for (let segment = readable, n = 0; n < count; segment++) {
      const take = Math.min(count - n, lengths[segment]);
      for (let i = 0; i < take; i++) bytes[offsets[segment] + i] = source[n++];
    }
  }

  /** Makes `length` bytes of one part of the chain, `skip` bytes in, the slot's iovecs. */
  #gather(slot: number, skip: number, length: number, fromReadable: boolean): void {
    const { offsets, lengths, readable } = this.#queue;
    const { address } = this.#host.memory;
    const base = slot * MAX_SEGMENTS;
    let count = 0;
    for (let segment = fromReadable ? 0 : readable; length > 0; segment++) {
      if (skip >= lengths[segment]) {
        skip -= lengths[segment];
        continue;
      }
      const take = Math.min(lengths[segment] - skip, length);
      this.#iovecs.set(base + count++, address + offsets[segment] + skip, take);
      length -= take;
      skip = 0;
    }
    this.#first[slot] = base;
    this.#counts[slot] = count;
  }

  #transferRest(slot: number): void {
    const transfer = this.#transfer;
    transfer.index = this.#first[slot];
    transfer.count = this.#counts[slot];
    transfer.position = this.#positions[slot];
    transfer.stable = this.#stableWrites;
    if (this.#types[slot] === VIRTIO_BLK_T.IN) this.engine.read(slot, transfer);
    else this.engine.write(slot, transfer);
  }

  #take(head: number, type: number, status: number, filled: number): number {
    const slot = this.#free[--this.#freeCount];
    this.#heads[slot] = head;
    this.#types[slot] = type;
    this.#statuses[slot] = status;
    this.#filled[slot] = filled;
    this.#left[slot] = 0;
    return slot;
  }

  #completed(slot: number, result: number): void {
    if (result === -EINTR || result === -EAGAIN) {
      if (this.#types[slot] === VIRTIO_BLK_T.FLUSH) this.engine.sync(slot);
      else this.#transferRest(slot);
      return;
    }
    if (result > 0 && result < this.#left[slot]) {
      this.#left[slot] -= result;
      this.#positions[slot] += result;
      const used = this.#iovecs.advance(this.#first[slot], this.#counts[slot], result);
      this.#first[slot] += used;
      this.#counts[slot] -= used;
      this.#transferRest(slot);
      return;
    }
    // A result of 0 with something left is the end of a file that has shrunk.
    const good = result >= 0 && result >= this.#left[slot];
    const filled = this.#filled[slot];
    this.#free[this.#freeCount++] = slot;
    this.#finish(
      this.#heads[slot],
      good ? VIRTIO_BLK_S.OK : VIRTIO_BLK_S.IOERR,
      this.#statuses[slot],
      good || filled === 0 ? filled + 1 : 0,
    );
  }

  /** `written` counts the bytes from the beginning of the writable part (section 2.7.8.2). */
  #finish(head: number, status: number, at: number, written: number): void {
    this.#host.memory.bytes[at] = status;
    this.#queue.push(head, written);
  }
}
