/**
 * The split virtqueue (virtio 1.2, section 2.7) as the main loop sees it.
 *
 * Everything here was written by the guest and may change while it is read, so each descriptor is
 * read once, and what {@linkcode VirtQueue.pop} answers with is checked: segments lie whole in RAM,
 * readable ones before writable ones. A chain that is malformed goes back to the driver with a length
 * of 0 and costs the guest that one request; a ring that contradicts itself stops the device.
 *
 * @module
 */
import type { GuestMemory } from "../../machine/memory.ts";
import { markWritable } from "./queue_changes.ts";
import {
  DESC_BYTES,
  F_INDIRECT,
  F_NEXT,
  F_WRITE,
  MAX_CHAIN_BYTES,
  MAX_QUEUE_SIZE,
} from "./queue_layout.ts";

/** What the driver configured for one queue, as the transport read it once at DRIVER_OK. */
export interface QueueSetup {
  readonly index: number;
  /** Entries. */
  readonly size: number;
  /** Guest physical addresses; not yet checked against RAM. */
  readonly desc: number;
  readonly avail: number;
  readonly used: number;
  /** Where to go on, in a machine that was restored; a new queue starts at 0. */
  readonly state?: QueueState;
}

/** Where a queue's three rings lie in the mapping of RAM; only {@linkcode checkRings} makes them. */
export interface Rings {
  readonly index: number;
  readonly size: number;
  readonly desc: number;
  readonly avail: number;
  readonly used: number;
}

/** How far a queue has got: with the rings in RAM, all that a snapshot needs of one without requests in flight. */
export interface QueueState {
  /** The avail.idx at which the next chain is taken. */
  nextAvail: number;
  /** The used.idx that the next returned chain gets. */
  nextUsed: number;
}

export interface VirtQueueOptions {
  /** The largest size that the device offered. */
  maxSize: number;
  /** Negotiated VIRTIO_F_EVENT_IDX. */
  eventIdx: boolean;
  /** Negotiated VIRTIO_F_INDIRECT_DESC. */
  indirect: boolean;
  /** Told once why the ring itself is broken; nothing is popped afterwards. */
  onViolation: (reason: string) => void;
  /** Where to go on; where the setup says without. */
  state?: QueueState;
}

/** Where a queue begins. */
export const NEW_QUEUE: QueueState = { nextAvail: 0, nextUsed: 0 };

// virtio 1.2, sections 2.7.6 and 2.7.8.
const AVAIL_F_NO_INTERRUPT = 1;
const USED_F_NO_NOTIFY = 1;

/**
 * The longest chain that is followed. Section 2.7.5.3.1 limits a chain to the queue's size, but Linux
 * heeds only a device's segment limit in indirect tables, also where it had to make the ring smaller;
 * 1024 is what one vectored system call takes.
 */
export const MAX_SEGMENTS = 1024;

/** Checks what the driver configured (section 2.7: size and alignments); throws a RangeError. */
export function checkRings(
  memory: GuestMemory,
  setup: QueueSetup,
  options: { maxSize: number },
): Rings {
  const { index, size } = setup;
  const refuse = (what: string): never => {
    throw new RangeError(`Cannot activate queue ${index}: ${what}`);
  };
  // Section 2.7: "Queue Size value is always a power of 2".
  if (
    !Number.isInteger(size) || size < 1 || size > Math.min(options.maxSize, MAX_QUEUE_SIZE) ||
    (size & (size - 1)) !== 0
  ) {
    refuse(`its size ${size} is not a power of two up to ${options.maxSize}`);
  }
  const place = (ring: string, guest: number, length: number, align: number): number => {
    if (!(guest % align === 0)) refuse(`the ${ring} at ${hex(guest)} is not aligned to ${align}`);
    const offset = memory.offset(guest, length);
    if (offset < 0) refuse(`the ${ring} at ${hex(guest)} (${length} bytes) is not in RAM`);
    return offset;
  };
  return {
    index,
    size,
    desc: place("descriptor table", setup.desc, DESC_BYTES * size, 16),
    avail: place("available ring", setup.avail, 6 + 2 * size, 2),
    used: place("used ring", setup.used, 6 + 8 * size, 4),
  };
}

function hex(address: number): string {
  return `0x${address.toString(16)}`;
}

/**
 * One split virtqueue.
 *
 * A device drains it like this, so that no notification is lost and each batch costs at most one
 * interrupt:
 *
 * ```ts ignore
 * queue.disableNotifications();
 * do {
 *   for (let head = queue.pop(); head >= 0; head = queue.pop()) queue.push(head, serve(queue));
 * } while (queue.enableNotifications());
 * if (queue.publish()) host.interruptQueue(index);
 * ```
 */
export class VirtQueue {
  /** The segments of the chain that {@linkcode pop} last returned: places in the mapping of RAM. */
  readonly offsets: Float64Array<ArrayBuffer> = new Float64Array(MAX_SEGMENTS);
  readonly lengths: Float64Array<ArrayBuffer> = new Float64Array(MAX_SEGMENTS);
  /** How many of them the device may read; they come first. */
  readable = 0;
  /** How many of them the device may write; they follow. */
  writable = 0;
  readableBytes = 0;
  writableBytes = 0;
  /** Chains that went back unserved because they were malformed. */
  rejected = 0;

  readonly rings: Rings;
  readonly #memory: GuestMemory;
  readonly #eventIdx: boolean;
  readonly #indirect: boolean;
  readonly #onViolation: (reason: string) => void;
  /** Heads that the device holds. */
  readonly #held: Uint8Array;
  readonly #mask: number;
  // Indices into memory.u16.
  readonly #availFlags: number;
  readonly #availIdx: number;
  readonly #availRing: number;
  readonly #usedEvent: number;
  readonly #usedFlags: number;
  readonly #usedIdx: number;
  readonly #availEvent: number;

  #nextAvail: number;
  #nextUsed: number;
  /** avail.idx as last read. */
  #seenAvail: number;
  /** used.idx at the last decision about an interrupt. */
  #decidedUsed: number;
  #inFlight = 0;
  #broken = false;

  constructor(memory: GuestMemory, setup: QueueSetup, options: VirtQueueOptions) {
    const rings = checkRings(memory, setup, options);
    const { size } = rings;
    this.rings = rings;
    this.#memory = memory;
    this.#eventIdx = options.eventIdx;
    this.#indirect = options.indirect;
    this.#onViolation = options.onViolation;
    this.#held = new Uint8Array(size);
    this.#mask = size - 1;
    this.#availFlags = rings.avail / 2;
    this.#availIdx = rings.avail / 2 + 1;
    this.#availRing = rings.avail / 2 + 2;
    this.#usedEvent = rings.avail / 2 + 2 + size;
    this.#usedFlags = rings.used / 2;
    this.#usedIdx = rings.used / 2 + 1;
    this.#availEvent = rings.used / 2 + 2 + 4 * size;
    const { nextAvail, nextUsed } = options.state ?? setup.state ?? NEW_QUEUE;
    this.#nextAvail = this.#seenAvail = nextAvail & 0xffff;
    this.#nextUsed = this.#decidedUsed = nextUsed & 0xffff;
  }

  get size(): number {
    return this.rings.size;
  }

  /** Chains popped and not yet pushed. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** True after a violation: the driver has to reset the device. */
  get broken(): boolean {
    return this.#broken;
  }

  get state(): QueueState {
    return this.stateBefore(0);
  }

  /** Where the queue would go on had the last `held` chains not been taken; they are still in flight. */
  stateBefore(held: number): QueueState {
    return { nextAvail: (this.#nextAvail - held) & 0xffff, nextUsed: this.#nextUsed };
  }

  /**
   * Takes the next well-formed chain: its head, with its segments in this object's fields until the
   * next call; -1 if there is none.
   */
  pop(): number {
    while (!this.#broken) {
      if (this.#nextAvail === this.#seenAvail && !this.#lookForMore()) return -1;
      const head = Atomics.load(
        this.#memory.u16,
        this.#availRing + (this.#nextAvail & this.#mask),
      );
      if (head > this.#mask) {
        return this.#violation(`head ${head} is outside the descriptor table`);
      }
      if (this.#held[head] !== 0) {
        return this.#violation(`head ${head} was made available again while it is in use`);
      }
      this.#nextAvail = (this.#nextAvail + 1) & 0xffff;
      this.#held[head] = 1;
      this.#inFlight++;
      if (this.#walk(head)) return head;
      this.rejected++;
      this.push(head, 0);
    }
    return -1;
  }

  /**
   * Returns a chain of which `written` bytes were filled; the driver sees it after {@linkcode publish}.
   * Nothing is written to it any more: here is where what a device writes counts as changed.
   */
  push(head: number, written: number): void {
    if (this.#held[head] !== 1) throw new Error(`Cannot push head ${head}: it is not in flight`);
    this.#held[head] = 0;
    this.#inFlight--;
    // Section 2.7.8: a le32 id and a le32 length.
    const at = this.rings.used + 4 + 8 * (this.#nextUsed & this.#mask);
    this.#memory.view.setUint32(at, head, true);
    this.#memory.view.setUint32(at + 4, written, true);
    this.#nextUsed = (this.#nextUsed + 1) & 0xffff;
    if (this.#memory.changes !== undefined) {
      this.#memory.changed(at, 8);
      markWritable(this.#memory, this.rings, head);
    }
  }

  /**
   * Before the device lets go of chains that it never returns: what it may have written to them counts
   * as changed. By devices that write before they know whether they will return.
   */
  abandon(): void {
    if (this.#memory.changes === undefined || this.#inFlight === 0) return;
    for (let head = 0; head <= this.#mask; head++) {
      if (this.#held[head] !== 0) markWritable(this.#memory, this.rings, head);
    }
  }

  /** Shows the driver all that was pushed; true if it wants an interrupt for it (section 2.7.7). */
  publish(): boolean {
    const fresh = (this.#nextUsed - this.#decidedUsed) & 0xffff;
    if (fresh === 0) return false;
    const u16 = this.#memory.u16;
    // Atomics are sequentially consistent: this store is not seen before the entries above it, and the
    // load below does not pass it (otherwise a driver that re-arms in between would sleep forever).
    Atomics.store(u16, this.#usedIdx, this.#nextUsed);
    this.#memory.changed(2 * this.#usedIdx, 2);
    this.#decidedUsed = this.#nextUsed;
    if (this.#eventIdx) {
      const event = Atomics.load(u16, this.#usedEvent);
      return ((this.#nextUsed - event - 1) & 0xffff) < fresh;
    }
    return (Atomics.load(u16, this.#availFlags) & AVAIL_F_NO_INTERRUPT) === 0;
  }

  /** Advises the driver to spare its notifications (section 2.7.10). */
  disableNotifications(): void {
    // With EVENT_IDX, flags stays 0; an avail_event that the driver has passed has the same effect.
    if (this.#eventIdx) return;
    Atomics.store(this.#memory.u16, this.#usedFlags, USED_F_NO_NOTIFY);
    this.#memory.changed(2 * this.#usedFlags, 2);
  }

  /** Asks for a notification of the next chain; true if there already is one: pop again first. */
  enableNotifications(): boolean {
    if (this.#broken) return false;
    const u16 = this.#memory.u16;
    const at = this.#eventIdx ? this.#availEvent : this.#usedFlags;
    Atomics.store(u16, at, this.#eventIdx ? this.#nextAvail : 0);
    this.#memory.changed(2 * at, 2);
    // A chain that was added before the driver could see the line above came without a notification.
    return Atomics.load(u16, this.#availIdx) !== this.#nextAvail;
  }

  /** Reads avail.idx; false if there is nothing new, or nothing that can be. */
  #lookForMore(): boolean {
    const seen = Atomics.load(this.#memory.u16, this.#availIdx);
    const fresh = (seen - this.#nextAvail) & 0xffff;
    if (fresh === 0) return false;
    // The driver owns `size` entries at most, so an index further ahead is nonsense.
    if (fresh > this.rings.size) {
      this.#violation(`available index ${seen} is ${fresh} ahead of a queue of ${this.rings.size}`);
      return false;
    }
    this.#seenAvail = seen;
    return true;
  }

  #violation(reason: string): -1 {
    this.#broken = true;
    this.#onViolation(`queue ${this.rings.index}: ${reason}`);
    return -1;
  }

  /** Follows the chain from `head` and fills the segment arrays; false if it is malformed. */
  #walk(head: number): boolean {
    const view = this.#memory.view;
    this.readable =
      this.writable =
      this.readableBytes =
      this.writableBytes =
        0;
    let table = this.rings.desc;
    let entries = this.rings.size;
    let nested = false;
    let index = head;
    let steps = 0;
    let count = 0;
    for (;;) {
      // Section 2.7.5.2 forbids loops; more steps than the table has entries is one.
      if (index >= entries || ++steps > entries || count >= MAX_SEGMENTS) return false;
      // The one read of this descriptor: the guest may rewrite it as we go.
      const at = table + DESC_BYTES * index;
      const address = view.getUint32(at, true) + view.getUint32(at + 4, true) * 0x1_0000_0000;
      const length = view.getUint32(at + 8, true);
      const word = view.getUint32(at + 12, true);
      const flags = word & 0xffff;
      if ((flags & F_INDIRECT) !== 0) {
        // Section 2.7.5.3.1: negotiated, one level, and last in its chain; WRITE is to be ignored.
        if (!this.#indirect || nested || (flags & F_NEXT) !== 0) return false;
        if (length === 0 || length % DESC_BYTES !== 0 || length > DESC_BYTES * MAX_SEGMENTS) {
          return false;
        }
        table = this.#memory.offset(address, length);
        if (table < 0) return false;
        entries = length / DESC_BYTES;
        nested = true;
        index = steps = 0;
        continue;
      }
      if (length !== 0) {
        const offset = this.#memory.offset(address, length);
        if (offset < 0) return false;
        if ((flags & F_WRITE) !== 0) {
          this.writable++;
          this.writableBytes += length;
        } else {
          // Section 2.7.4.2: what the device writes comes after what it reads.
          if (this.writable !== 0) return false;
          this.readable++;
          this.readableBytes += length;
        }
        if (this.readableBytes + this.writableBytes >= MAX_CHAIN_BYTES) return false;
        this.offsets[count] = offset;
        this.lengths[count] = length;
        count++;
      }
      if ((flags & F_NEXT) === 0) return true;
      index = word >>> 16;
    }
  }
}
