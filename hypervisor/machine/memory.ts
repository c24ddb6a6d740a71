/**
 * Guest RAM: guest physical addresses to bytes of this process.
 *
 * RAM is one file in memory, mapped once; guest physical addresses skip the hole below 4 GiB. Every
 * address from a guest is checked here, once: {@linkcode GuestMemory.offset} answers with the place
 * in the mapping or with -1, and nothing behind it checks again.
 *
 * @module
 */
import { bufferAt, replaceWithZeros } from "../sys/mapping.ts";
import { discard, protect } from "../sys/memory_advice.ts";
import type { DirtyPages } from "./dirty_pages.ts";
import type { HotplugRegion } from "./hotplug.ts";

const GiB = 2 ** 30;

/** RAM ends here at the latest; devices lie between this and 4 GiB. */
export const HOLE_START = 3 * GiB;
export const HOLE_END = 4 * GiB;

export interface RamRegion {
  /** Guest physical address. */
  readonly guest: number;
  /** Where its bytes begin in the mapping. */
  readonly offset: number;
  readonly length: number;
}

/** How `length` bytes of RAM lie in guest physical address space. */
export function ramRegions(length: number): RamRegion[] {
  if (length <= HOLE_START) return [{ guest: 0, offset: 0, length }];
  return [
    { guest: 0, offset: 0, length: HOLE_START },
    { guest: HOLE_END, offset: HOLE_START, length: length - HOLE_START },
  ];
}

export interface GuestMemoryOptions {
  /** To which memory can be added; it lies in the same mapping. */
  hotplug?: HotplugRegion;
  /**
   * A second mapping of the same file for this process's own accesses. In the one at `address` memory
   * that is not plugged is inaccessible, so that KVM, vhost and io_uring cannot be made to fill it.
   */
  viewAddress?: number;
  /** The mapping is private and anonymous: no file backs it. */
  private?: boolean;
  /** The mapping is a private copy of a file, of which a page is made when it is first written. */
  copied?: boolean;
}

/**
 * Of a private copy, ranges at least this long are given back: each then is a mapping of its own to the
 * kernel, which has no room for many.
 */
const MIN_DISCARD = 2 * 2 ** 20;
const MAX_DISCARDS = 16_384;

export class GuestMemory {
  /** For what the kernel is told of: the address of offset 0. */
  readonly address: number;
  /** Bytes of RAM that are there from the start. */
  readonly length: number;
  /** RAM that is there from the start. */
  readonly regions: readonly RamRegion[];
  /** All that KVM and vhost are to know of: RAM, and where some can be added. */
  readonly slots: readonly RamRegion[];
  readonly hotplug: HotplugRegion | undefined;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** For `Atomics` on ring indices. */
  readonly u16: Uint16Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
  /** The kernel holds on to RAM's pages for I/O: to give one back would part the guest's from the kernel's. */
  pinned = false;
  /** Pages are still to come from elsewhere: one that is given back now would come again. */
  arriving = false;
  /** Where {@linkcode changed} remembers what this process writes; absent while nobody wants to know. */
  changes: DirtyPages | undefined;
  /** The address of the log for kernel back-ends, a bit for each guest page; absent likewise. */
  vhostLog: number | undefined;
  readonly #viewAddress: number;
  #private: boolean;
  #copied: boolean;
  #discards = 0;

  /** A view of RAM that is mapped at `address`, in whichever thread. */
  constructor(address: number, length: number, options: GuestMemoryOptions = {}) {
    const { hotplug } = options;
    this.address = address;
    this.length = length;
    this.regions = ramRegions(length);
    this.hotplug = hotplug;
    this.slots = hotplug === undefined ? this.regions : [...this.regions, hotplug];
    this.#viewAddress = options.viewAddress ?? address;
    this.#private = options.private ?? false;
    this.#copied = options.copied ?? false;
    const all = hotplug === undefined ? length : hotplug.offset + hotplug.length;
    const buffer = bufferAt(this.#viewAddress, all);
    this.bytes = new Uint8Array(buffer);
    this.u16 = new Uint16Array(buffer);
    this.view = new DataView(buffer);
  }

  /** Where guest physical `[guest, guest + length)` lies in {@linkcode bytes}; -1 if not all of it is RAM. */
  offset(guest: number, length: number): number {
    const low = this.length < HOLE_START ? this.length : HOLE_START;
    if (guest >= 0 && guest + length <= low) return guest;
    if (guest >= HOLE_END && guest + length <= this.length + (HOLE_END - HOLE_START)) {
      return guest - (HOLE_END - HOLE_START);
    }
    return this.hotplug === undefined ? -1 : this.hotplug.place(guest, length);
  }

  /**
   * Said by whoever has written to `[offset, offset + length)` of the mapping, or had the kernel write
   * there: after it is written, or somebody may copy what was there before and look no more, and before
   * the guest can know of it. vCPUs' writes are in KVM's log, vhost's in its own.
   */
  changed(offset: number, length: number): void {
    if (this.changes !== undefined) this.changes.add(offset, length);
  }

  /**
   * Gives whole pages back to the host, at an offset that {@linkcode offset} answered with; they read as
   * 0 until they are written again. False if the host would not have them.
   */
  discard(offset: number, length: number): boolean {
    if (this.pinned && offset < this.length || this.arriving) return false;
    const done = this.#copied
      ? this.#replace(offset, length)
      : discard(this.#viewAddress + offset, length, { private: this.#private }) === 0;
    // The kernel's log knows of pages that are written to, and not of those that are gone.
    this.changed(offset, length);
    return done;
  }

  /**
   * The mapping has become a private copy of a file, with the same content. In the thread that gives
   * memory back, which others do not.
   */
  becomeCopy(): void {
    this.#private = false;
    this.#copied = true;
    this.#discards = 0;
  }

  /** Given back, the file's old content would be there again: so that goes too. */
  #replace(offset: number, length: number): boolean {
    if (length < MIN_DISCARD || this.#discards === MAX_DISCARDS) return false;
    this.#discards++;
    return replaceWithZeros(this.address + offset, length);
  }

  /** Makes what is plugged accessible, as the registers of a machine that was saved say. */
  restore(): void {
    const region = this.hotplug;
    if (region === undefined) return;
    const count = region.length / region.blockBytes;
    for (let block = 0; block < count; block++) {
      if (region.plugged(block, 1) === 1 && !this.plug(block, 1)) {
        throw new RangeError(`Cannot restore the guest's memory: block ${block} cannot be added`);
      }
    }
  }

  /** Makes `count` blocks of the hot-plug region from `first` on usable. False if the host cannot. */
  plug(first: number, count: number): boolean {
    const { region, at, length } = this.#blocks(first, count);
    if (protect(this.address + at, length, { accessible: true }) < 0) return false;
    region.set(first, count, true);
    this.changed(at, length);
    return true;
  }

  /** Takes blocks away, with what the host had behind them. False if the host cannot. */
  unplug(first: number, count: number): boolean {
    const { region, at, length } = this.#blocks(first, count);
    // The guest first: what it writes from now on is a fault, and not a new page.
    if (protect(this.address + at, length, { accessible: false }) < 0) return false;
    region.set(first, count, false);
    this.discard(at, length);
    return true;
  }

  #blocks(first: number, count: number): { region: HotplugRegion; at: number; length: number } {
    const region = this.hotplug;
    if (region === undefined) throw new Error("Cannot plug memory: there is no region for it");
    const { offset, blockBytes } = region;
    return { region, at: offset + first * blockBytes, length: count * blockBytes };
  }
}
