/**
 * KVM's log of the pages that vCPUs, and KVM for them, have written to.
 *
 * A page is write-protected when its bit is cleared, the first write to it sets the bit and takes the
 * protection away. Where KVM lets us clear bits ourselves (KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2), they are
 * cleared a range at a time, and only where there are any: a call that protects all of a big guest would
 * keep its vCPUs out of KVM's page tables for as long as it takes.
 *
 * @module
 */
import {
  KVM_CAP,
  KVM_DIRTY_LOG_INITIALLY_SET,
  KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE,
  KVM_MEM_LOG_DIRTY_PAGES,
} from "../kvm/ioctls.ts";
import type { Vm } from "../kvm/vm.ts";
import { map, type Mapping } from "../sys/mapping.ts";
import { dirtyBitmapBytes, type DirtyPages, type LogWords } from "./dirty_pages.ts";
import type { RamRegion } from "./memory.ts";

/** Pages that one call protects at most: 256 MiB. A multiple of 64. */
const RANGE_PAGES = 65_536;

/** The slots of a VM as they were given to KVM, in order from 0. */
export interface LoggedSlots {
  regions: readonly RamRegion[];
  /** Where the mapping begins that KVM was told of. */
  address: number;
}

/** Switches the log of a VM's slots on and off; see {@linkcode SlotLog} for what it says. */
export class SlotLogSwitch {
  readonly #vm: Pick<Vm, "setMemoryRegion" | "enable">;
  readonly #slots: LoggedSlots;

  constructor(vm: Pick<Vm, "setMemoryRegion" | "enable">, slots: LoggedSlots) {
    this.#vm = vm;
    this.#slots = slots;
  }

  /** True where bits are cleared by {@linkcode SlotLog} and not by being read. */
  start(): boolean {
    const manual = this.#manual();
    const { length } = this.#slots.regions;
    for (let slot = 0; slot < length; slot++) {
      try {
        this.#setFlags(slot, KVM_MEM_LOG_DIRTY_PAGES);
      } catch (error) {
        // A log that nobody reads costs the guest time.
        while (slot > 0) this.#setFlags(--slot, 0);
        throw error;
      }
    }
    return manual;
  }

  /** It must be said before there is any log. */
  #manual(): boolean {
    const cap = KVM_CAP.MANUAL_DIRTY_LOG_PROTECT2;
    // With all bits set from the start, also switching the log on protects nothing by itself.
    const both = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET;
    return this.#vm.enable(cap, both) || this.#vm.enable(cap, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
  }

  stop(): void {
    this.#slots.regions.forEach((_, slot) => this.#setFlags(slot, 0));
  }

  /** KVM takes a region that differs from a slot's in its flags alone for a change of those. */
  #setFlags(slot: number, flags: number): void {
    const { guest, offset, length } = this.#slots.regions[slot];
    const host = this.#slots.address + offset;
    this.#vm.setMemoryRegion(slot, { guest, size: length, host, flags });
  }
}

/** The log as any thread of the process reads it. */
export class SlotLog {
  readonly #vm: Pick<Vm, "dirtyLog" | "clearDirtyLog">;
  readonly #regions: readonly RamRegion[];
  readonly #manual: boolean;
  /** A slot's bitmap, as long as that of the longest. */
  readonly #bitmap: Mapping;

  constructor(
    vm: Pick<Vm, "dirtyLog" | "clearDirtyLog">,
    options: { regions: readonly RamRegion[]; manual: boolean },
  ) {
    this.#vm = vm;
    this.#regions = options.regions;
    this.#manual = options.manual;
    const longest = Math.max(...options.regions.map(({ length }) => dirtyBitmapBytes(length)));
    this.#bitmap = map(longest, { private: true });
  }

  /** Frees the bitmap; nothing may be asked of this afterwards. */
  free(): void {
    this.#bitmap.unmap();
  }

  /**
   * Adds the pages that were written to since they were last asked for. What is written from now on, also
   * while this runs, is told next time: it is for the pages as they are after this.
   */
  collect(into: DirtyPages): void {
    this.#regions.forEach((region, slot) => {
      this.#vm.dirtyLog(slot, this.#bitmap.address);
      into.addLog(this.#wordsOf(region), region.offset);
      // Only bits that were read are cleared, so none is lost that was set in between.
      if (this.#manual) this.#clear(slot, region);
    });
  }

  /** Forgets what was written until now, for whoever reads all of memory afterwards. */
  forget(): void {
    this.#regions.forEach((region, slot) => {
      if (!this.#manual) return this.#vm.dirtyLog(slot, this.#bitmap.address);
      // Those that are not set are cleared as well as those that are.
      this.#wordsOf(region).fill(0xffff_ffff);
      this.#clear(slot, region);
    });
  }

  #wordsOf({ length }: RamRegion): LogWords {
    return new Uint32Array(this.#bitmap.buffer, 0, dirtyBitmapBytes(length) / 4);
  }

  #clear(slot: number, region: RamRegion): void {
    const pages = Math.ceil(region.length / 4096);
    const words = this.#wordsOf(region);
    for (let first = 0; first < pages; first += RANGE_PAGES) {
      const count = Math.min(RANGE_PAGES, pages - first);
      const begin = first / 32;
      const end = Math.min(begin + RANGE_PAGES / 32, words.length);
      let word = begin;
      while (word < end && words[word] === 0) word++;
      if (word === end) continue;
      const address = this.#bitmap.address + first / 8;
      this.#vm.clearDirtyLog(slot, { first, count, address });
    }
  }
}
