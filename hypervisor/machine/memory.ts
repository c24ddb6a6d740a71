/**
 * Guest RAM: guest physical addresses to bytes of this process.
 *
 * RAM is one file in memory, mapped once; guest physical addresses skip the hole below 4 GiB. Every
 * address from a guest is checked here, once: {@linkcode GuestMemory.offset} answers with the place
 * in the mapping or with -1, and nothing behind it checks again.
 *
 * @module
 */
import { bufferAt } from "../sys/mapping.ts";

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

export class GuestMemory {
  readonly address: number;
  readonly length: number;
  readonly regions: readonly RamRegion[];
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** For `Atomics` on ring indices. */
  readonly u16: Uint16Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;

  /** A view of RAM that is mapped at `address`, in whichever thread. */
  constructor(address: number, length: number) {
    this.address = address;
    this.length = length;
    this.regions = ramRegions(length);
    const buffer = bufferAt(address, length);
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
    return -1;
  }
}
