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
import { changedRanges, presentRanges } from "../../machine/ram_source.ts";
import { isSame } from "../../sys/copying_io.ts";
import { bufferAt, map } from "../../sys/mapping.ts";
import { nextData } from "../../sys/sparse.ts";

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
  readonly #spec: MemorySpec;
  /** The file that has all pages that there are; of a private copy, some are in no file. */
  readonly #fd: number | undefined;
  readonly #words: Uint32Array<ArrayBuffer>;
  readonly #zeros = map(DIRTY_PAGE_BYTES, { private: true });
  // The last run of data that was found.
  #dataFrom = 0;
  #dataTo = 0;

  readonly #beside: boolean;

  /** With `beside`, of a private copy only what is not in its file. */
  constructor(spec: MemorySpec, { beside = false }: { beside?: boolean } = {}) {
    this.#beside = beside && spec.copied === true;
    this.areas = ramAreas(spec);
    this.address = spec.viewAddress ?? spec.address;
    this.#spec = spec;
    this.#fd = spec.copied ? undefined : spec.fd;
    this.#words = new Uint32Array(bufferAt(this.address, mappedBytes(this.areas)));
  }

  /** Adds the pages that are there; all others are zeros, or as in the file. */
  present(into: DirtyPages): void {
    const { fd } = this.#spec;
    const ranges = this.#beside && fd !== undefined
      ? changedRanges({ ...this.#spec, fd })
      : presentRanges(this.#spec);
    for (const { start, end } of ranges) into.add(start, end - start);
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
    const data = nextData(this.#fd, at, end);
    if (data === null) return end - at;
    // A page of the host may be larger than the pages that are counted here.
    this.#dataFrom = data.start - data.start % DIRTY_PAGE_BYTES;
    this.#dataTo = Math.max(data.end, this.#dataFrom + DIRTY_PAGE_BYTES);
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
