/**
 * Random values of which nearly all are good: what is wrong has to get past what is checked first.
 *
 * @module
 */
import fc from "fast-check";

/** Nearly always `usual`, now and then `rare`. */
export function mostly<T, U>(
  usual: fc.Arbitrary<T>,
  rare: fc.Arbitrary<U>,
  weight = 15,
): fc.Arbitrary<T | U> {
  return fc.oneof({ weight, arbitrary: usual }, { weight: 1, arbitrary: rare });
}

export const u8 = fc.integer({ min: 0, max: 0xFF });
export const u16 = fc.integer({ min: 0, max: 0xFFFF });
/** Also the words at which something changes. */
export const u32 = fc.oneof(
  fc.integer({ min: 0, max: 0xFFFF_FFFF }),
  fc.constantFrom(0, 1, 2, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFE, 0xFFFF_FFFF),
);
export const accessSize = fc.constantFrom<1 | 2 | 4>(1, 2, 4);

/** Numbers as little-endian bytes. */
export function bytesOf(...fields: [value: number, size: 1 | 2 | 4 | 8][]): number[] {
  return fields.flatMap(([value, size]) => {
    let rest = BigInt.asUintN(64, BigInt(value));
    return Array.from({ length: size }, () => {
      const byte = Number(rest & 0xFFn);
      rest >>= 8n;
      return byte;
    });
  });
}
