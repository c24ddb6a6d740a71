import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { map } from "../sys/mapping.ts";
import { maxRam, MMIO32, mmio64 } from "./address_map.ts";
import { GuestMemory, HOLE_END, HOLE_START, ramRegions } from "./memory.ts";

const MiB = 2 ** 20;
const GiB = 2 ** 30;
const SIZES = [128 * MiB, 3 * GiB - MiB, 3 * GiB, 3 * GiB + MiB, 8 * GiB];

function withMemory(length: number, test: (memory: GuestMemory) => void): void {
  const mapping = map(length);
  test(new GuestMemory(mapping.address, length));
  mapping.unmap();
}

Deno.test("RAM skips the hole below 4 GiB", () => {
  assertEquals(ramRegions(3 * GiB), [{ guest: 0, offset: 0, length: 3 * GiB }]);
  assertEquals(ramRegions(3 * GiB + MiB), [
    { guest: 0, offset: 0, length: 3 * GiB },
    { guest: 4 * GiB, offset: 3 * GiB, length: MiB },
  ]);
});

Deno.test("a range has an offset where all of it is RAM, and -1 where any of it is not", () => {
  for (const length of SIZES) {
    withMemory(length, (memory) => {
      // Near every border, where it matters, and anywhere.
      const border = fc.constantFrom(0, length, HOLE_START, HOLE_END, HOLE_END + length - 3 * GiB);
      const near = fc.tuple(border, fc.integer({ min: -8192, max: 8192 })).map(([b, d]) => b + d);
      const address = fc.oneof(near, fc.maxSafeInteger(), fc.double({ min: 0, noNaN: true }));
      const size = fc.oneof(
        fc.integer({ min: 1, max: 8192 }),
        fc.integer({ min: 1, max: 2 ** 40 }),
      );
      fc.assert(fc.property(address, size, (guest, bytes) => {
        const region = memory.regions.find((r) =>
          guest >= r.guest && guest + bytes <= r.guest + r.length
        );
        assertEquals(
          memory.offset(guest, bytes),
          region === undefined ? -1 : guest - region.guest + region.offset,
        );
      }));
    });
  }
});

Deno.test("bytes behind the hole are those of the mapping behind the bytes before it", () => {
  withMemory(3 * GiB + MiB, (memory) => {
    memory.bytes[memory.offset(4 * GiB + 5, 1)] = 77;
    assertEquals(memory.view.getUint8(3 * GiB + 5), 77);
    assertEquals(memory.offset(4 * GiB + MiB - 1, 2), -1);
    assertEquals(memory.offset(3 * GiB - 1, 2), -1);
  });
});

Deno.test("RAM, the 32-bit window and the 64-bit window do not meet on any CPU", () => {
  for (let bits = 36; bits <= 52; bits++) {
    const window = mmio64(bits);
    const regions = ramRegions(maxRam(bits));
    const last = regions[regions.length - 1];
    assertEquals(last.guest + last.length, window.start);
    assertEquals(Math.log2(window.start + window.length) <= bits, true);
    assertEquals(MMIO32.start >= HOLE_START && MMIO32.start + MMIO32.length <= HOLE_END, true);
  }
});
