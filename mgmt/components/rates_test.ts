import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { pathOf } from "./chart.tsx";
import { formatByteRate, formatRate, ratesOf } from "./rates.ts";

Deno.test("rates are what counters grow by each second; gaps and restarts are not known", () => {
  const looks = [
    { at: 0, count: 100 },
    { at: 2000, count: 300 },
    { at: 3000, count: 10 },
    { at: 4000, count: null },
    { at: 5000, count: 20 },
    { at: 6000, count: 20 },
    { at: 60_000, count: 30 },
  ];
  assertEquals(ratesOf(looks), [100, null, null, null, 0, null]);
  assertEquals(ratesOf([]), []);
});

Deno.test("rates are told in the unit that keeps them short", () => {
  assertEquals([null, 0, 2.5, 42, 12_345].map(formatRate), [
    "–",
    "0/s",
    "2.5/s",
    "42/s",
    "12.3k/s",
  ]);
  assertEquals([null, 0, 2048, 3.5 * 2 ** 20].map(formatByteRate), [
    "–",
    "0 B/s",
    "2 KiB/s",
    "3.5 MiB/s",
  ]);
});

Deno.test("a line stays inside its chart, whatever it is of", () => {
  const values = fc.array(fc.option(fc.double({ min: 0, noNaN: true })), { maxLength: 100 });
  fc.assert(fc.property(values, fc.double({ min: 1, noNaN: true }), (values, top) => {
    const path = pathOf(values, { length: 60, top });
    assert(/^([ML]-?[\d.]+ [\d.]+)*$/.test(path), path);
    for (const [, x, y] of path.matchAll(/[ML](-?[\d.]+) ([\d.]+)/g)) {
      assert(Number(x) >= -0.1 && Number(x) <= 120 && Number(y) >= 1 && Number(y) <= 31, path);
    }
  }));
});
