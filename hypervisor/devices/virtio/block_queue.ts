/**
 * One queue of a block device at work: requests taken off it, checked whole, handed to the engine and
 * answered (virtio 1.2, section 5.2.6).
 *
 * @module
 */
import { EAGAIN, EDQUOT, EINTR, ENOSPC, EOPNOTSUPP } from "../../sys/errno.ts";
import type { Iovecs } from "../../sys/iovecs.ts";
import { pwritev } from "../../sys/vectored_io.ts";
import {
  BLOCK_QUEUE_SIZE,
  HEADER_BYTES,
  ID_BYTES,
  MAX_DISCARD_SECTORS,
  MAX_WRITE_ZEROES_SECTORS,
  RANGE_BYTES,
  SECTOR_BYTES,
  VIRTIO_BLK_S,
  VIRTIO_BLK_T,
  WRITE_ZEROES_UNMAP,
} from "./block_protocol.ts";
import type { BlockRequests } from "./block_requests.ts";
import { COUNT } from "./block_statistics.ts";
import { type DeviceHost, VIRTIO_F } from "./device.ts";
import { MAX_SEGMENTS, type QueueSetup, VirtQueue } from "./queue.ts";

/** What Linux moves in one call (MAX_RW_COUNT); the largest request that is served. */
const MAX_DATA_BYTES = 0x7fff_f000;
/** Requests of up to so many segments have their iovecs side by side; others have a page or more each. */
const FEW_SEGMENTS = 8;
/**
 * How many bytes are handed over at a time. Reads from the page cache are copied while they are handed
 * over: the guest is to have the first ones to work with while the next ones are copied.
 */
const BATCH_BYTES = 256 * 1024;
/** How many iovecs a queue needs. */
export const QUEUE_IOVECS = BLOCK_QUEUE_SIZE * (FEW_SEGMENTS + MAX_SEGMENTS);

export interface BlockQueueOptions {
  host: DeviceHost;
  setup: QueueSetup;
  features: ReadonlySet<number>;
  /** The device's, of which those from `firstIovec` on are this queue's. */
  iovecs: Iovecs;
  firstIovec: number;
  /** The tag of slot 0. */
  firstTag: number;
}

export class BlockQueue {
  readonly ring: VirtQueue;
  readonly #requests: BlockRequests;
  readonly #memory: DeviceHost["memory"];
  readonly #iovecs: Iovecs;
  readonly #few: number;
  readonly #many: number;
  readonly #firstTag: number;
  readonly #header = new Uint8Array(HEADER_BYTES + RANGE_BYTES);
  readonly #headerView = new DataView(this.#header.buffer);
  readonly #transfer = { index: 0, count: 0, position: 0, direct: false, stable: false };
  readonly #range = { position: 0, length: 0, unmap: false };

  // One slot per request in flight, of which there are at most as many as the queue has entries.
  readonly #free: Int32Array;
  #freeCount: number;
  readonly #heads: Int32Array;
  readonly #types: Int32Array;
  /** Where the status byte goes. */
  readonly #statuses: Float64Array;
  /** Bytes of data in the chain's writable part, for the length in the used ring. */
  readonly #filled: Float64Array;
  // What is left to transfer, or the range to discard or zero.
  readonly #left: Float64Array;
  readonly #positions: Float64Array;
  readonly #first: Int32Array;
  readonly #counts: Int32Array;
  readonly #unmap: Uint8Array;

  constructor(requests: BlockRequests, options: BlockQueueOptions) {
    const { host, setup, features, firstIovec } = options;
    this.#requests = requests;
    this.#memory = host.memory;
    this.#iovecs = options.iovecs;
    this.#firstTag = options.firstTag;
    this.ring = new VirtQueue(host.memory, setup, {
      maxSize: BLOCK_QUEUE_SIZE,
      eventIdx: features.has(VIRTIO_F.EVENT_IDX),
      indirect: features.has(VIRTIO_F.INDIRECT_DESC),
      onViolation: (reason) => requests.fail(reason),
    });
    this.#few = firstIovec;
    this.#many = firstIovec + BLOCK_QUEUE_SIZE * FEW_SEGMENTS;
    const depth = this.ring.size;
    // The last is taken first, so the lowest numbers are those in use.
    this.#free = Int32Array.from({ length: depth }, (_, i) => depth - 1 - i);
    this.#freeCount = depth;
    this.#heads = new Int32Array(depth);
    this.#types = new Int32Array(depth);
    this.#statuses = new Float64Array(depth);
    this.#filled = new Float64Array(depth);
    this.#left = new Float64Array(depth);
    this.#positions = new Float64Array(depth);
    this.#first = new Int32Array(depth);
    this.#counts = new Int32Array(depth);
    this.#unmap = new Uint8Array(depth);
  }

  /** Takes up to a queue's size of requests or a batch of bytes, as long as the rate limit lets any pass. */
  take(): void {
    const { ring } = this;
    const { limiter } = this.#requests;
    let bytes = 0;
    for (let n = ring.size; n > 0 && bytes < BATCH_BYTES && limiter.open; n--) {
      const head = ring.pop();
      if (head < 0) return;
      const moved = this.#start(head);
      limiter.spend(moved);
      bytes += moved;
    }
  }

  /**
   * Checks the request that was just popped, whole, before any of it is carried out; how many bytes of
   * data it moves.
   */
  #start(head: number): number {
    const { ring } = this;
    const { readable, readableBytes, writableBytes } = ring;
    if (writableBytes === 0) {
      // No place for a status byte.
      ring.push(head, 0);
      return 0;
    }
    const last = readable + ring.writable - 1;
    const status = ring.offsets[last] + ring.lengths[last] - 1;
    const filled = writableBytes - 1;
    const refuse = filled > 0 ? 0 : 1;
    if (readableBytes < HEADER_BYTES) return this.#finish(head, VIRTIO_BLK_S.IOERR, status, refuse);
    this.#copyHeader(Math.min(readableBytes, HEADER_BYTES + RANGE_BYTES));
    const type = this.#headerView.getUint32(0, true);
    const sector = this.#headerView.getUint32(8, true) +
      this.#headerView.getUint32(12, true) * 0x1_0000_0000;
    switch (type) {
      case VIRTIO_BLK_T.IN:
      case VIRTIO_BLK_T.OUT: {
        const write = type === VIRTIO_BLK_T.OUT;
        const bytes = write ? readableBytes - HEADER_BYTES : filled;
        const good = bytes % SECTOR_BYTES === 0 && bytes <= MAX_DATA_BYTES &&
          sector + bytes / SECTOR_BYTES <= this.#requests.sectors &&
          !(write && this.#requests.disk.readonly);
        if (!good) return this.#finish(head, VIRTIO_BLK_S.IOERR, status, refuse);
        if (bytes === 0) return this.#finish(head, VIRTIO_BLK_S.OK, status, refuse);
        const slot = this.#take(head, type, status, write ? 0 : filled);
        this.#left[slot] = bytes;
        this.#positions[slot] = sector * SECTOR_BYTES;
        this.#gather(slot, write ? HEADER_BYTES : 0, bytes, write);
        const { counters } = this.#requests;
        counters[write ? COUNT.WRITES : COUNT.READS]++;
        counters[write ? COUNT.WRITTEN_BYTES : COUNT.READ_BYTES] += bytes;
        this.#issue(slot);
        return bytes;
      }
      case VIRTIO_BLK_T.FLUSH:
        this.#requests.counters[COUNT.FLUSHES]++;
        this.#issue(this.#take(head, type, status, 0));
        return 0;
      case VIRTIO_BLK_T.GET_ID: {
        const bytes = Math.min(filled, ID_BYTES);
        this.#scatter(this.#requests.serial, bytes);
        return this.#finish(head, VIRTIO_BLK_S.OK, status, filled > bytes ? bytes : bytes + 1);
      }
      case VIRTIO_BLK_T.DISCARD:
      case VIRTIO_BLK_T.WRITE_ZEROES: {
        const refusal = this.#checkRange(type, readableBytes - HEADER_BYTES);
        if (refusal !== VIRTIO_BLK_S.OK) return this.#finish(head, refusal, status, refuse);
        const slot = this.#take(head, type, status, 0);
        // Of the bytes that were copied, not of those in the guest's memory.
        this.#positions[slot] = this.#rangeSector() * SECTOR_BYTES;
        this.#left[slot] = this.#headerView.getUint32(HEADER_BYTES + 8, true) * SECTOR_BYTES;
        this.#unmap[slot] = this.#headerView.getUint32(HEADER_BYTES + 12, true);
        this.#requests.counters[COUNT.DISCARDS]++;
        this.#issue(slot);
        return 0;
      }
      default:
        return this.#finish(head, VIRTIO_BLK_S.UNSUPP, status, refuse);
    }
  }

  #rangeSector(): number {
    return this.#headerView.getUint32(HEADER_BYTES, true) +
      this.#headerView.getUint32(HEADER_BYTES + 4, true) * 0x1_0000_0000;
  }

  /** Section 5.2.6.2 on DISCARD and WRITE_ZEROES, of which one range a request is offered. */
  #checkRange(type: number, bytes: number): number {
    const discard = type === VIRTIO_BLK_T.DISCARD;
    if (!this.#requests.disk.discard) return VIRTIO_BLK_S.UNSUPP;
    if (this.#requests.disk.readonly || bytes !== RANGE_BYTES) return VIRTIO_BLK_S.IOERR;
    const count = this.#headerView.getUint32(HEADER_BYTES + 8, true);
    const flags = this.#headerView.getUint32(HEADER_BYTES + 12, true);
    if ((flags & ~WRITE_ZEROES_UNMAP) !== 0 || (discard && flags !== 0)) return VIRTIO_BLK_S.UNSUPP;
    const most = discard ? MAX_DISCARD_SECTORS : MAX_WRITE_ZEROES_SECTORS;
    const good = count > 0 && count <= most &&
      this.#rangeSector() + count <= this.#requests.sectors;
    return good ? VIRTIO_BLK_S.OK : VIRTIO_BLK_S.IOERR;
  }

  /** The header may lie in any number of segments (section 2.7.4.1); it is read once. */
  #copyHeader(count: number): void {
    const { offsets, lengths } = this.ring;
    const { bytes } = this.#memory;
    for (let segment = 0, n = 0; n < count; segment++) {
      const take = Math.min(count - n, lengths[segment]);
      for (let i = 0; i < take; i++) this.#header[n++] = bytes[offsets[segment] + i];
    }
  }

  /** Writes the first `count` of `source` to the beginning of the chain's writable part. */
  #scatter(source: Uint8Array, count: number): void {
    const { offsets, lengths, readable } = this.ring;
    const { bytes } = this.#memory;
    for (let segment = readable, n = 0; n < count; segment++) {
      const take = Math.min(count - n, lengths[segment]);
      for (let i = 0; i < take; i++) bytes[offsets[segment] + i] = source[n++];
    }
  }

  /** Makes `length` bytes of one part of the chain, `skip` bytes in, the slot's iovecs. */
  #gather(slot: number, skip: number, length: number, fromReadable: boolean): void {
    const { offsets, lengths, readable, writable } = this.ring;
    const { address } = this.#memory;
    const most = fromReadable ? readable : writable;
    const base = most <= FEW_SEGMENTS
      ? this.#few + slot * FEW_SEGMENTS
      : this.#many + slot * MAX_SEGMENTS;
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

  /** Hands over what a slot's request has left to do. */
  #issue(slot: number): void {
    const { engine } = this.#requests;
    const tag = this.#firstTag + slot;
    switch (this.#types[slot]) {
      case VIRTIO_BLK_T.IN:
      case VIRTIO_BLK_T.OUT:
        return this.#transferRest(slot, tag);
      case VIRTIO_BLK_T.FLUSH:
        return engine.sync(tag);
    }
    const range = this.#range;
    range.position = this.#positions[slot];
    range.length = this.#left[slot];
    range.unmap = this.#unmap[slot] !== 0;
    if (this.#types[slot] === VIRTIO_BLK_T.DISCARD) engine.discard(tag, range);
    else engine.zero(tag, range);
  }

  #transferRest(slot: number, tag: number): void {
    const requests = this.#requests;
    const transfer = this.#transfer;
    transfer.index = this.#first[slot];
    transfer.count = this.#counts[slot];
    transfer.position = this.#positions[slot];
    transfer.direct = requests.disk.direct !== undefined && this.#isAligned(slot);
    if (this.#types[slot] === VIRTIO_BLK_T.IN) return requests.engine.read(tag, transfer);
    transfer.stable = requests.stableWrites;
    if (requests.disk.direct === undefined || transfer.direct) {
      return requests.engine.write(tag, transfer);
    }
    // The page cache would write back what lies beside these bytes in their page as it was when it read
    // it. So nothing else is on its way, and the page is clean again before anything is. Rare enough to
    // wait for: drivers align what they can.
    requests.settle();
    transfer.stable = true;
    // Settling may have used the object for another request.
    transfer.index = this.#first[slot];
    transfer.count = this.#counts[slot];
    transfer.position = this.#positions[slot];
    this.completed(slot, pwritev(requests.disk.fd, this.#iovecs, transfer));
  }

  /** Whether the rest of a transfer can go past the page cache. */
  #isAligned(slot: number): boolean {
    const { memory, offset } = this.#requests.disk.direct!;
    if (this.#positions[slot] % offset !== 0) return false;
    for (let i = this.#counts[slot], at = this.#first[slot]; i > 0; i--, at++) {
      if (this.#iovecs.base(at) % memory !== 0 || this.#iovecs.length(at) % offset !== 0) {
        return false;
      }
    }
    return true;
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

  /** Tries a request again that was kept. */
  restart(slot: number): void {
    this.#issue(slot);
  }

  completed(slot: number, result: number): void {
    if (result === -EINTR || result === -EAGAIN) return this.#issue(slot);
    const requests = this.#requests;
    const type = this.#types[slot];
    // Whatever became of it, something may have been written.
    if (requests.changes.isOn) this.#changed(slot);
    const transfers = type === VIRTIO_BLK_T.IN || type === VIRTIO_BLK_T.OUT;
    if (transfers && result > 0 && result < this.#left[slot]) {
      this.#left[slot] -= result;
      this.#positions[slot] += result;
      const done = this.#iovecs.advance(this.#first[slot], this.#counts[slot], result);
      this.#first[slot] += done;
      this.#counts[slot] -= done;
      return this.#issue(slot);
    }
    // A flush that finds no room is another matter: what it did not write may be gone.
    const fills = type === VIRTIO_BLK_T.OUT || type === VIRTIO_BLK_T.WRITE_ZEROES;
    if (fills && (result === -ENOSPC || result === -EDQUOT)) {
      return requests.shortage.hold(this.#firstTag + slot);
    }
    // A result of 0 with something left is the end of a file that has shrunk.
    const good = transfers ? result >= this.#left[slot] : result >= 0;
    const unsupported = !transfers && type !== VIRTIO_BLK_T.FLUSH && result === -EOPNOTSUPP;
    const filled = this.#filled[slot];
    if (!good && !unsupported) requests.counters[COUNT.ERRORS]++;
    this.#free[this.#freeCount++] = slot;
    this.#finish(
      this.#heads[slot],
      good ? VIRTIO_BLK_S.OK : unsupported ? VIRTIO_BLK_S.UNSUPP : VIRTIO_BLK_S.IOERR,
      this.#statuses[slot],
      good || filled === 0 ? filled + 1 : 0,
    );
    if (requests.shortage.active) requests.shortage.done(this.#firstTag + slot);
  }

  /** A request is given up of which nobody is told what became. */
  abandon(slot: number): void {
    if (this.#requests.changes.isOn) this.#changed(slot);
  }

  #changed(slot: number): void {
    const type = this.#types[slot];
    if (type === VIRTIO_BLK_T.IN || type === VIRTIO_BLK_T.FLUSH) return;
    this.#requests.changes.add(this.#positions[slot], this.#left[slot]);
  }

  /** `written` counts the bytes from the beginning of the writable part (section 2.7.8.2). Moves none: 0. */
  #finish(head: number, status: number, at: number, written: number): 0 {
    this.#memory.bytes[at] = status;
    this.ring.push(head, written);
    return 0;
  }
}
