/**
 * What a disk counts of its requests, for as long as its guest runs.
 *
 * @module
 */

/** Places of the counters. */
export const COUNT = {
  READS: 0,
  READ_BYTES: 1,
  WRITES: 2,
  WRITTEN_BYTES: 3,
  FLUSHES: 4,
  /** Ranges that were discarded or zeroed. */
  DISCARDS: 5,
  ERRORS: 6,
} as const;

const NAMES = {
  reads: COUNT.READS,
  readBytes: COUNT.READ_BYTES,
  writes: COUNT.WRITES,
  writtenBytes: COUNT.WRITTEN_BYTES,
  flushes: COUNT.FLUSHES,
  discards: COUNT.DISCARDS,
  errors: COUNT.ERRORS,
};

export type BlockCounters = Float64Array;

export function newCounters(): BlockCounters {
  return new Float64Array(Object.keys(NAMES).length);
}

export function namedCounters(counters: BlockCounters): Record<string, number> {
  return Object.fromEntries(Object.entries(NAMES).map(([name, at]) => [name, counters[at]]));
}
