import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { DirtyPages } from "../../machine/dirty_pages.ts";
import { discard } from "../../sys/memory_advice.ts";
import { RamImage } from "./ram_image.ts";
import { MovedMemory, PAGE } from "./testing/memory.ts";

const MiB = 2 ** 20;
const PAGES = MiB / PAGE;

type Write = { page: number; count: number; value: number };
const write: fc.Arbitrary<Write> = fc.record({
  page: fc.nat(PAGES - 1),
  count: fc.integer({ min: 1, max: 40 }),
  value: fc.oneof({ weight: 2, arbitrary: fc.nat(255) }, { weight: 1, arbitrary: fc.constant(0) }),
}).map((one) => ({ ...one, count: Math.min(one.count, PAGES - one.page) }));

for (const mergeable of [false, true]) {
  const kind = mergeable ? "private memory" : "a file";
  Deno.test(`of ${kind}, pieces are all of it, in order, and zeros are zeros`, () => {
    fc.assert(
      fc.property(
        fc.array(write, { maxLength: 8 }),
        fc.integer({ min: 1, max: 30 }),
        (all, most) => {
          using memory = new MovedMemory({ length: MiB, mergeable });
          for (const { page, count, value } of all) memory.write(page, count, value);
          const image = new RamImage(memory.spec);
          const copy = new Uint8Array(MiB).fill(0xEE);
          let next = 0;
          let before: "data" | "zero" | undefined;
          image.pieces({ offset: 0, length: MiB }, {
            data(offset, length) {
              assertEquals(offset, next);
              assert(length > 0 && length <= most * PAGE);
              copy.set(memory.bytes.subarray(offset, offset + length), offset);
              next = offset + length;
              before = "data";
            },
            zero(offset, length) {
              assertEquals(offset, next);
              assert(before !== "zero", "zeros come in pieces");
              copy.fill(0, offset, offset + length);
              next = offset + length;
              before = "zero";
            },
          }, most * PAGE);
          assertEquals(next, MiB);
          assertEquals(copy, memory.bytes);
          const there = DirtyPages.of(MiB);
          image.present(there);
          const written = all.flatMap(({ page, count }) =>
            Array.from({ length: count }, (_, i) => page + i)
          );
          assert(written.every((page) => there.has(page)), "a page is not seen");
          image.close();
        },
      ),
      { numRuns: 40 },
    );
  });
}

Deno.test("looking at memory takes none of the host", () => {
  using memory = new MovedMemory({ length: 8 * MiB, hotplugLength: 8 * MiB });
  memory.write(100, 10, 1);
  memory.write(1000, 5, 1);
  discard(memory.spec.viewAddress! + 1001 * PAGE, PAGE, { private: false });
  const image = new RamImage(memory.spec);
  const there = DirtyPages.of(memory.bytes.length);
  image.present(there);
  assertEquals(there.count, 14);
  const data: [number, number][] = [];
  for (const area of image.areas) {
    image.pieces(area, {
      data: (offset, length) => data.push([offset / PAGE, length / PAGE]),
      zero: () => {},
    }, MiB);
  }
  assertEquals(data, [[100, 10], [1000, 1], [1002, 3]]);
  assertEquals(memory.taken, 14 * PAGE);
  image.close();
});
