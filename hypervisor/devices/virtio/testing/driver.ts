/**
 * The guest's side of a virtqueue, for tests: lays rings out in RAM, makes chains available and takes
 * used ones, as virtio 1.2, section 2.7.13 and 2.7.14 tell a driver to. It can also lie.
 *
 * @module
 */
import { GuestMemory } from "../../../machine/memory.ts";
import { map } from "../../../sys/mapping.ts";
import type { QueueSetup } from "../queue.ts";

export const F_NEXT = 1;
export const F_WRITE = 2;
export const F_INDIRECT = 4;

/** What lies on both sides of a test's RAM, and must still lie there in the end. */
const GUARD_BYTES = 8192;
const GUARD = 0x5AFE_6A2D;

/**
 * RAM of `length` bytes that belongs to no guest; pages exist once touched. When it is disposed of, it
 * throws if anything was written beside it, by whomever.
 */
export function testMemory(length: number): GuestMemory & Disposable {
  const mapping = map(length + 2 * GUARD_BYTES);
  const [below, above] = [0, mapping.length - GUARD_BYTES].map((at) =>
    new Uint32Array(mapping.buffer, at, GUARD_BYTES / 4).fill(GUARD)
  );
  const memory = new GuestMemory(mapping.address + GUARD_BYTES, length);
  const check = () => {
    const isUntouched = [below, above].every((guard) => guard.every((word) => word === GUARD));
    mapping.unmap();
    if (!isUntouched) throw new Error("Bytes beside the guest's RAM were written");
  };
  return Object.assign(memory, { [Symbol.dispose]: check });
}

export interface Buffer {
  address: number;
  length: number;
  /** The device writes it. */
  writable?: boolean;
}

export interface Descriptor {
  address: number;
  length: number;
  flags: number;
  next: number;
}

export interface Used {
  head: number;
  written: number;
}

export interface DriverOptions {
  size: number;
  /** Guest physical address of the rings, a multiple of 16; they take {@linkcode ringBytes}. */
  base: number;
  index?: number;
  eventIdx?: boolean;
}

/** How much RAM the rings of a queue take, with room for one indirect table per descriptor's worth. */
export function ringBytes(size: number): number {
  return Math.ceil((16 * size + 6 + 2 * size + 2 + 6 + 8 * size) / 4096) * 4096;
}

export class Driver {
  readonly setup: QueueSetup;
  readonly #memory: GuestMemory;
  readonly #eventIdx: boolean;
  #free: number[];
  #chains = new Map<number, number[]>();
  #avail = 0;
  #used = 0;

  constructor(memory: GuestMemory, options: DriverOptions) {
    const { size, base, index = 0 } = options;
    this.#memory = memory;
    this.#eventIdx = options.eventIdx ?? false;
    const avail = base + 16 * size;
    const used = Math.ceil((avail + 6 + 2 * size) / 4) * 4;
    this.setup = { index, size, desc: base, avail, used };
    this.#free = Array.from({ length: size }, (_, i) => size - 1 - i);
    memory.bytes.fill(0, this.#at(base), this.#at(base) + ringBytes(size));
  }

  #at(guest: number): number {
    const offset = this.#memory.offset(guest, 1);
    if (offset < 0) throw new RangeError(`Cannot reach ${guest}: not RAM`);
    return offset;
  }

  get free(): number {
    return this.#free.length;
  }

  /** Writes one descriptor of the table at `table` (the queue's own without). */
  describe(index: number, descriptor: Descriptor, table: number = this.setup.desc): void {
    const at = this.#at(table + 16 * index);
    const { view } = this.#memory;
    view.setBigUint64(at, BigInt(descriptor.address), true);
    view.setUint32(at + 8, descriptor.length, true);
    view.setUint16(at + 12, descriptor.flags, true);
    view.setUint16(at + 14, descriptor.next, true);
  }

  /** Writes `buffers` as one chain of descriptors and makes it available; its head, or -1 if the table is full. */
  add(buffers: readonly Buffer[], options: { indirectTable?: number } = {}): number {
    const { indirectTable } = options;
    const needed = indirectTable === undefined ? buffers.length : 1;
    if (needed > this.#free.length) return -1;
    const indices = Array.from({ length: needed }, () => this.#free.pop()!);
    const flags = (i: number) =>
      (buffers[i].writable ? F_WRITE : 0) | (i + 1 < buffers.length ? F_NEXT : 0);
    if (indirectTable === undefined) {
      buffers.forEach(({ address, length }, i) =>
        this.describe(indices[i], { address, length, flags: flags(i), next: indices[i + 1] ?? 0 })
      );
    } else {
      buffers.forEach(({ address, length }, i) =>
        this.describe(i, { address, length, flags: flags(i), next: i + 1 }, indirectTable)
      );
      const length = 16 * buffers.length;
      this.describe(indices[0], { address: indirectTable, length, flags: F_INDIRECT, next: 0 });
    }
    this.#chains.set(indices[0], indices);
    this.offer(indices[0]);
    return indices[0];
  }

  /** Makes `head` available, whatever it is. */
  offer(head: number): void {
    const { avail, size } = this.setup;
    const { view } = this.#memory;
    view.setUint16(this.#at(avail + 4 + 2 * (this.#avail & (size - 1))), head, true);
    this.#avail = (this.#avail + 1) & 0xffff;
    this.setAvailIndex(this.#avail);
  }

  setAvailIndex(value: number): void {
    Atomics.store(this.#memory.u16, this.#at(this.setup.avail + 2) / 2, value);
  }

  /** Starts both rings at `index`, as if that many chains had gone through. */
  startAt(index: number): void {
    this.#avail = this.#used = index;
    this.setAvailIndex(index);
    Atomics.store(this.#memory.u16, this.#at(this.setup.used + 2) / 2, index);
  }

  /** The next chain that the device returned; its descriptors are free again. */
  take(): Used | undefined {
    const { used, size } = this.setup;
    if (this.usedIndex === this.#used) return undefined;
    const at = this.#at(used + 4 + 8 * (this.#used & (size - 1)));
    this.#used = (this.#used + 1) & 0xffff;
    const head = this.#memory.view.getUint32(at, true);
    const written = this.#memory.view.getUint32(at + 4, true);
    this.#free.push(...(this.#chains.get(head) ?? []));
    this.#chains.delete(head);
    return { head, written };
  }

  takeAll(): Used[] {
    const all: Used[] = [];
    for (let next = this.take(); next !== undefined; next = this.take()) all.push(next);
    return all;
  }

  get usedIndex(): number {
    return Atomics.load(this.#memory.u16, this.#at(this.setup.used + 2) / 2);
  }

  get usedFlags(): number {
    return Atomics.load(this.#memory.u16, this.#at(this.setup.used) / 2);
  }

  get availEvent(): number {
    const { used, size } = this.setup;
    return Atomics.load(this.#memory.u16, this.#at(used + 4 + 8 * size) / 2);
  }

  /** Whether the device asked to be notified of what was added after the avail.idx `before`. */
  wantsKick(before: number): boolean {
    if (!this.#eventIdx) return (this.usedFlags & 1) === 0;
    return ((this.#avail - this.availEvent - 1) & 0xffff) < ((this.#avail - before) & 0xffff);
  }

  get availIndex(): number {
    return this.#avail;
  }

  /** Asks for an interrupt once the used.idx passes `index`. */
  setUsedEvent(index: number): void {
    const { avail, size } = this.setup;
    Atomics.store(this.#memory.u16, this.#at(avail + 4 + 2 * size) / 2, index);
  }

  setAvailFlags(flags: number): void {
    Atomics.store(this.#memory.u16, this.#at(this.setup.avail) / 2, flags);
  }
}
