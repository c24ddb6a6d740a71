import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { median } from "./median.ts";

Deno.test("as many numbers lie below the median as above it", () => {
  fc.assert(fc.property(fc.array(fc.integer(), { minLength: 1 }), (numbers) => {
    const middle = median(numbers);
    const below = numbers.filter((it) => it < middle).length;
    const above = numbers.filter((it) => it > middle).length;
    assertEquals(below <= numbers.length / 2 && above <= numbers.length / 2, true);
  }));
  assertEquals(median([3, 1, 2]), 2);
  assertEquals(median([4, 1, 2, 3]), 2.5);
  assertThrows(() => median([]), RangeError);
});
