/**
 * In what order guests start with the host, and end with it: by groups of those that have the same place.
 *
 * @module
 */
import type { StartOrder } from "../api/schemas.ts";

interface Placed {
  record: { startOrder: StartOrder | null };
}

/** Behind all that have one. */
const NO_PLACE = Infinity;

export function placeOf({ record: { startOrder } }: Placed): number {
  return startOrder?.place ?? NO_PLACE;
}

/** Those that start together, first ones first. */
export function startGroups<T extends Placed>(all: readonly T[]): T[][] {
  const groups = Map.groupBy(all, placeOf);
  return [...groups].sort(([a], [b]) => a < b ? -1 : 1).map(([, group]) => group);
}

/** How long those wait that come after a group, of which these were started. */
export function pauseAfter(started: readonly Placed[]): number {
  return Math.max(0, ...started.map(({ record }) => record.startOrder?.delaySeconds ?? 0));
}

/** Those whose turn it is to end: who started last. */
export function firstToEnd<T extends Placed>(up: readonly T[]): T[] {
  const last = up.reduce((most, it) => Math.max(most, placeOf(it)), 0);
  return up.filter((it) => placeOf(it) === last);
}
