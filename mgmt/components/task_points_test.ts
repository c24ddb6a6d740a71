import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { TaskPoint } from "../../hypervisor/supervisor/api/schemas.ts";
import { evenly, mergePoints } from "./task_points.ts";

const point = (atMs: number, remainingBytes: number): TaskPoint => ({
  atMs,
  remainingBytes,
  bytesPerSecond: 2 * remainingBytes,
  changedBytesPerSecond: 0,
});

Deno.test("points of the page and of the stream are one line", () => {
  assertEquals(mergePoints([point(0, 9), point(5, 4)], [point(5, 4), point(8, 1)]), [
    point(0, 9),
    point(5, 4),
    point(8, 1),
  ]);
  const many = Array.from({ length: 1000 }, (_, i) => point(i, i));
  const kept = mergePoints(many, []);
  assertEquals([kept.length, kept.at(-1)], [500, point(999, 999)]);
});

Deno.test("a chart has its points in even steps of time", () => {
  const points = [point(0, 100), point(10, 50), point(40, 20)];
  assertEquals(evenly(points, 5).map((it) => [it.atMs, it.remainingBytes, it.bytesPerSecond]), [
    [0, 100, 200],
    [10, 50, 100],
    [20, 40, 80],
    [30, 30, 60],
    [40, 20, 40],
  ]);
  assertEquals(evenly([], 5), []);
  assertEquals(evenly([point(3, 1)], 5), [point(3, 1)]);
});

Deno.test("what is drawn lies between what was told, at whatever times", () => {
  const times = fc.uniqueArray(fc.nat(100_000), { minLength: 2 });
  fc.assert(fc.property(times, fc.integer({ min: 2, max: 120 }), (times, columns) => {
    const points = times.sort((a, b) => a - b).map((at, i) => point(at, (i * 7919) % 1000));
    const even = evenly(points, columns);
    assertEquals(even.length, columns);
    assertEquals(even[0].remainingBytes, points[0].remainingBytes);
    assert(Math.abs(even.at(-1)!.remainingBytes - points.at(-1)!.remainingBytes) < 1e-6);
    for (const it of even) assert(it.remainingBytes >= 0 && it.remainingBytes < 1000);
  }));
});
