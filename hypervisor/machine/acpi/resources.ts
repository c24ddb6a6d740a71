/**
 * Resource descriptors of `_CRS` (ACPI 6.5, section 6.4).
 *
 * @module
 */
import { type Aml, buffer, bytes, le } from "./aml.ts";

const END_TAG = bytes(0x79, 0);

/** ResourceTemplate: the descriptors and their end tag, in a buffer. */
export function resources(...descriptors: Aml[]): Aml {
  return buffer(bytes(...descriptors, END_TAG));
}

/** I/O ports at a fixed place (6.4.2.5). */
export function ports(base: number, length: number): Aml {
  return bytes(0x47, 1, le(base, 2), le(base, 2), 1, length);
}

/** Memory at a fixed place, not for others (6.4.3.4). */
export function memory32(base: number, length: number): Aml {
  return bytes(0x86, le(9, 2), 1, le(base, 4), le(length, 4));
}

/** One interrupt, edge-triggered, active high, not shared (6.4.3.6). */
export function interrupt(gsi: number): Aml {
  return bytes(0x89, le(6, 2), 0b0011, 1, le(gsi, 4));
}

/** Resource types and flags of the address space descriptors (6.4.3.5). */
const MEMORY = 0;
const IO = 1;
const BUS = 2;
/** The device hands these addresses on; both ends are fixed; positive decode. */
const PRODUCER_FIXED = 0x0C;
const CACHEABLE_NEVER_RW = 1;
const IO_ENTIRE = 3;

function addressSpace(
  tag: number,
  width: number,
  range: { type: number; flags: number; start: number; length: number },
): Aml {
  const { type, flags, start, length } = range;
  const values = [0, start, start + length - 1, 0, length];
  return bytes(
    tag,
    le(3 + 5 * width, 2),
    type,
    PRODUCER_FIXED,
    flags,
    ...values.map((v) => le(v, width)),
  );
}

export function busNumbers(first: number, count: number): Aml {
  return addressSpace(0x88, 2, { type: BUS, flags: 0, start: first, length: count });
}

export function ioWindow(start: number, length: number): Aml {
  return addressSpace(0x88, 2, { type: IO, flags: IO_ENTIRE, start, length });
}

export function memoryWindow32(start: number, length: number): Aml {
  return addressSpace(0x87, 4, { type: MEMORY, flags: CACHEABLE_NEVER_RW, start, length });
}

export function memoryWindow64(start: number, length: number): Aml {
  return addressSpace(0x8A, 8, { type: MEMORY, flags: CACHEABLE_NEVER_RW, start, length });
}
