/**
 * Makes RAM's content at an instant a file that never changes again, of which the guest itself and those
 * that go on from there have private copies.
 *
 * RAM of a guest that booted is such a file already, but for the shared mapping through which the guest
 * writes to it: at the instant a private copy takes the mapping's place, and no byte is copied. A guest
 * whose RAM is a private copy by now has pages of its own, which have to become part of a file.
 *
 * @module
 */
import { close } from "../sys/files.ts";
import { Mapping, memfd } from "../sys/mapping.ts";
import { writeAt } from "../sys/positioned_io.ts";
import { mapCopyOver, setPagesAside } from "../sys/remapping.ts";
import { seal } from "../sys/seals.ts";
import type { DataRange } from "../sys/sparse.ts";
import type { GuestMemory } from "./memory.ts";
import type { MemorySpec, RamOptions } from "./ram.ts";
import { finishCopy } from "./ram_copy.ts";
import { presentRanges } from "./ram_source.ts";

const PAGE = 4096;
const PAGE_WORDS = PAGE / 4;
/** What is written at once. */
const RUN_BYTES = 2 ** 20;

/** RAM as this thread has it, and how it was mapped; both change when its base does. */
export interface ForkableRam {
  memory: GuestMemory;
  spec: MemorySpec;
  /** What the kernel was told of it. */
  options: RamOptions;
}

/** Why there can be no copies of RAM; undefined where there can. */
export function whyUnforkable({ memory, spec }: ForkableRam): string | undefined {
  if (spec.hotplug !== undefined) return "memory can be added to it, for which it is mapped twice";
  if (spec.pooled) return "its memory is from a pool of huge pages, which has none for copies";
  // The kernel would go on reading and writing the pages that it holds.
  if (memory.pinned) return "its memory is pinned for a disk";
}

/** What RAM's content is to be in: as it was when this was made, for the vCPUs and devices stand still. */
export class RamBase {
  /** Bytes that have to be copied, and that have been. */
  readonly totalBytes: number;
  doneBytes = 0;
  readonly fd: number;
  readonly #ram: ForkableRam;
  /** Its file is the guest's own, as it is. */
  readonly #isTaken: boolean;
  readonly #ranges: DataRange[];
  readonly #words: Uint32Array<ArrayBuffer>;

  /** Throws where there is no memory for it. */
  constructor(ram: ForkableRam) {
    const { memory, spec } = ram;
    this.#ram = ram;
    this.#isTaken = spec.fd !== undefined && !spec.copied;
    this.fd = this.#isTaken ? spec.fd! : memfd("guest-ram", spec.length);
    this.#ranges = this.#isTaken ? [] : presentRanges(spec);
    this.totalBytes = this.#ranges.reduce((sum, { start, end }) => sum + end - start, 0);
    const { buffer, byteOffset } = memory.bytes;
    this.#words = new Uint32Array(buffer, byteOffset, spec.length / 4);
  }

  /** Copies about `budget` bytes more; true once there is no more to copy. */
  step(budget: number): boolean {
    for (; budget > 0; budget -= RUN_BYTES) {
      const [range] = this.#ranges;
      if (range === undefined) return true;
      const end = Math.min(range.end, range.start + RUN_BYTES);
      this.#copy(range.start, end);
      this.doneBytes += end - range.start;
      range.start = end;
      if (end === range.end) this.#ranges.shift();
    }
    return this.#ranges.length === 0;
  }

  #copy(start: number, end: number): void {
    const { bytes } = this.#ram.memory;
    let from = start;
    for (let at = start; at < end; at += PAGE) {
      if (!isZero(this.#words, at / 4, PAGE_WORDS)) continue;
      if (at > from) writeAt(this.fd, bytes.subarray(from, at), from);
      from = at + PAGE;
    }
    if (end > from) writeAt(this.fd, bytes.subarray(from, end), from);
  }

  /**
   * Has the guest go on with a private copy; nobody can write to the file any more. Where this throws,
   * the guest goes on as well, with or without such a copy; so it does where changes of RAM are tracked, and
   * nothing has been done then. Returns what is to be unmapped, a piece at a
   * time, as that takes a moment for every page that the guest has used.
   */
  adopt(): Mapping | undefined {
    const { memory, spec, options } = this.#ram;
    if (memory.changes !== undefined) {
      throw new Error("Cannot fork the guest: changes of its memory are tracked");
    }
    const { address, length } = spec;
    const aside = this.#isTaken ? setPagesAside(address, length) : undefined;
    const before = spec.fd;
    try {
      mapCopyOver(address, length, this.fd);
      Object.assign(spec, { copied: true, private: false, fd: this.fd });
      memory.becomeCopy();
      finishCopy(address, length, { ...options, fd: this.fd });
      seal(this.fd);
    } catch (error) {
      aside?.unmap();
      throw error;
    }
    if (before !== undefined && before !== this.fd) close(before);
    return aside;
  }

  /** The guest's RAM stays as it is. */
  abandon(): void {
    if (this.#ram.spec.fd !== this.fd) close(this.fd);
  }
}

/** Whether the words `[from, from + count)` are all 0. */
function isZero(words: Uint32Array, from: number, count: number): boolean {
  for (let i = from; i < from + count; i++) if (words[i] !== 0) return false;
  return true;
}

/** Unmaps the beginning of a mapping; what is left of it, if anything. */
export function unmapSome(mapping: Mapping, bytes: number): Mapping | undefined {
  const { address, length } = mapping;
  const some = Math.min(bytes, length);
  new Mapping(address, some).unmap();
  return some < length ? new Mapping(address + some, length - some) : undefined;
}
