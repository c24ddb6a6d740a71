/**
 * A guest's memory for whoever copies it while it is in use: which of it is RAM, which pages are there,
 * and which hold nothing but zeros.
 *
 * Nothing here makes the host find memory that the guest has not touched or has given back: of pages of a
 * file the file is asked, and only those that are there are looked at.
 *
 * @module
 */
import { DIRTY_PAGE_BYTES, type DirtyPages } from "../../machine/dirty_pages.ts";
import type { MemorySpec } from "../../machine/ram.ts";
import { isSame } from "../../sys/copying_io.ts";
import { findData, findHole } from "../../sys/holes.ts";
import { bufferAt, map } from "../../sys/mapping.ts";
import { residentRuns } from "../../sys/pagemap.ts";

/** A part of the mapping that is RAM. */
export interface RamArea {
  readonly offset: number;
  readonly length: number;
}

/** What is done with memory's pieces, in order. They are whole pages. */
export interface PieceVisitor {
  data(offset: number, length: number): void;
  zero(offset: number, length: number): void;
}

/** Where RAM lies in its mapping: what is there from the start, and what can be added. */
export function ramAreas({ length, hotplug }: MemorySpec): RamArea[] {
  const areas: RamArea[] = [{ offset: 0, length }];
  if (hotplug) areas.push({ offset: hotplug.offset, length: hotplug.length });
  return areas;
}

/** Bytes of the mapping, with what lies between areas. */
export function mappedBytes(areas: readonly RamArea[]): number {
  const last = areas[areas.length - 1];
  return last.offset + last.length;
}

/** Whether `[offset, offset + length)` lies in one of the areas. */
export function isInAreas(areas: readonly RamArea[], offset: number, length: number): boolean {
  return areas.some((area) =>
    offset >= area.offset && offset + length <= area.offset + area.length
  );
}

const PAGE_WORDS = DIRTY_PAGE_BYTES / Uint32Array.BYTES_PER_ELEMENT;

export class RamImage {
  readonly areas: readonly RamArea[];
  /** Where it is read: in the mapping in which memory that is not plugged reads as 0, and is no fault. */
  readonly address: number;
  readonly #fd: number | undefined;
  readonly #words: Uint32Array<ArrayBuffer>;
  readonly #zeros = map(DIRTY_PAGE_BYTES, { private: true });
  // The last run of data that was found.
  #dataFrom = 0;
  #dataTo = 0;

  constructor(spec: MemorySpec) {
    this.areas = ramAreas(spec);
    this.address = spec.viewAddress ?? spec.address;
    this.#fd = spec.fd;
    this.#words = new Uint32Array(bufferAt(this.address, mappedBytes(this.areas)));
  }

  /** Adds the pages that are there; all others are zeros. */
  present(into: DirtyPages): void {
    for (const { offset, length } of this.areas) {
      if (this.#fd === undefined) {
        residentRuns(this.address + offset, length, (at, n) => into.add(offset + at, n));
        continue;
      }
      const end = offset + length;
      for (let at = offset; at < end;) {
        const data = Math.min(findData(this.#fd, at), end);
        at = data < end ? Math.min(findHole(this.#fd, data), end) : end;
        into.add(data, at - data);
      }
    }
  }

  /** Takes a range of whole pages apart into data, `most` bytes at a time, and zeros. */
  pieces(range: RamArea, visitor: PieceVisitor, most: number): void {
    const end = range.offset + range.length;
    let from = range.offset;
    let isZero = false;
    for (let at = from; at < end;) {
      const hole = this.#holeLength(at, end);
      const zero = hole > 0 || this.#isZero(at);
      if (at > from && (zero !== isZero || (!zero && at - from === most))) {
        this.#visit(visitor, isZero, from, at);
        from = at;
      }
      isZero = zero;
      at += hole || DIRTY_PAGE_BYTES;
    }
    if (end > from) this.#visit(visitor, isZero, from, end);
  }

  #visit(visitor: PieceVisitor, isZero: boolean, from: number, to: number): void {
    if (isZero) visitor.zero(from, to - from);
    else visitor.data(from, to - from);
  }

  /** How many bytes from `at` on the file has no page for; 0 if it has one there, or there is no file. */
  #holeLength(at: number, end: number): number {
    if (this.#fd === undefined || (at >= this.#dataFrom && at < this.#dataTo)) return 0;
    const data = findData(this.#fd, at);
    if (data >= end) return end - at;
    // A page of the host may be larger than the pages that are counted here.
    this.#dataFrom = data - data % DIRTY_PAGE_BYTES;
    this.#dataTo = Math.max(findHole(this.#fd, data), this.#dataFrom + DIRTY_PAGE_BYTES);
    return Math.max(0, this.#dataFrom - at);
  }

  /** Forgets where data was: before a pass over memory, as pages come and go. */
  refresh(): void {
    this.#dataFrom = this.#dataTo = 0;
  }

  #isZero(at: number): boolean {
    // Most pages tell by one of a few words, and the call is then spared.
    const words = this.#words;
    const first = at / Uint32Array.BYTES_PER_ELEMENT;
    for (let word = first; word < first + PAGE_WORDS; word += PAGE_WORDS / 8) {
      if (words[word] !== 0) return false;
    }
    return isSame(this.address + at, this.#zeros.address, DIRTY_PAGE_BYTES);
  }

  close(): void {
    this.#zeros.unmap();
  }
}
