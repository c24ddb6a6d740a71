import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { ramRegions } from "./memory.ts";
import { numaNodes } from "./numa.ts";

const GiB = 2 ** 30;

Deno.test("nodes have RAM in order, and skip the hole below 4 GiB", () => {
  const nodes = [{ cpus: [0], length: 2 * GiB }, { cpus: [1], length: 3 * GiB }];
  assertEquals(numaNodes(ramRegions(5 * GiB), nodes), [
    { cpus: [0], memory: [{ start: 0, length: 2 * GiB }] },
    { cpus: [1], memory: [{ start: 2 * GiB, length: GiB }, { start: 4 * GiB, length: 2 * GiB }] },
  ]);
});

Deno.test("however RAM is shared out, each byte of it is some node's, and of one alone", () => {
  const shares = fc.array(fc.integer({ min: 1, max: 4096 }), { minLength: 1, maxLength: 8 });
  fc.assert(fc.property(shares, (mib) => {
    const nodes = mib.map((it) => ({ cpus: [], length: it * 2 ** 20 }));
    const regions = ramRegions(nodes.reduce((sum, { length }) => sum + length, 0));
    const ranges = numaNodes(regions, nodes).flatMap(({ memory }) => memory);
    // Joined where they touch, they are RAM's own.
    const joined: { start: number; length: number }[] = [];
    for (const { start, length } of ranges) {
      const last = joined.at(-1);
      if (last && last.start + last.length === start) last.length += length;
      else joined.push({ start, length });
    }
    assertEquals(joined, regions.map(({ guest, length }) => ({ start: guest, length })));
  }));
});
