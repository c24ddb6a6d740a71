/**
 * What a chart of a task's copy of memory is drawn from.
 *
 * @module
 */
import type { TaskPoint } from "../../hypervisor/supervisor/api/schemas.ts";

/** More are kept of no task, here as on the host. */
const MOST_POINTS = 600;

/** Both, oldest first, without what both hold. */
export function mergePoints(some: readonly TaskPoint[], more: readonly TaskPoint[]): TaskPoint[] {
  const all = new Map<number, TaskPoint>();
  for (const point of [...some, ...more]) all.set(point.atMs, point);
  let points = [...all.values()].sort((a, b) => a.atMs - b.atMs);
  // Those that are left still show the whole of it, and the newest.
  while (points.length > MOST_POINTS) {
    points = points.filter((_, i) => (points.length - 1 - i) % 2 === 0);
  }
  return points;
}

/**
 * The points at `columns` times from the first to the last, with as long between any two: they come
 * in no even steps, and a chart has no other.
 */
export function evenly(points: readonly TaskPoint[], columns: number): TaskPoint[] {
  if (points.length < 2) return [...points];
  const first = points[0].atMs;
  const step = (points.at(-1)!.atMs - first) / (columns - 1);
  let i = 0;
  return Array.from({ length: columns }, (_, column) => {
    const at = first + column * step;
    while (i < points.length - 2 && points[i + 1].atMs < at) i++;
    return between(points[i], points[i + 1], at);
  });
}

function between(a: TaskPoint, b: TaskPoint, atMs: number): TaskPoint {
  const share = b.atMs > a.atMs ? Math.min(1, Math.max(0, (atMs - a.atMs) / (b.atMs - a.atMs))) : 1;
  const of = (name: Exclude<keyof TaskPoint, "atMs">) => a[name] + share * (b[name] - a[name]);
  return {
    atMs,
    remainingBytes: of("remainingBytes"),
    bytesPerSecond: of("bytesPerSecond"),
    changedBytesPerSecond: of("changedBytesPerSecond"),
  };
}
