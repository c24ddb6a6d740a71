/**
 * What a host writes that has nothing to do, out of the log of its disk's writes.
 *
 * @module
 */
import { type PartitionTable, SECTOR_BYTES } from "../../../bootimg/disk/gpt.ts";
import type { LoggedWrite } from "./write_log.ts";

/** What lies nearer together than this is told as one place. */
const PLACE_BYTES = 64 * 1024;
const DAY_MINUTES = 24 * 60;

/** Writes of one partition, or of none. */
export interface PartitionWrites {
  partition: string;
  writes: number;
  bytes: number;
  /** Where in the partition, and how much, the most first. */
  places: { offset: number; bytes: number }[];
}

/** What was written, by partition. */
export function writesByPartition(
  table: PartitionTable,
  writes: readonly LoggedWrite[],
): PartitionWrites[] {
  const found = new Map<string, { writes: number; bytes: number; places: Map<number, number> }>();
  for (const { offset, bytes, discard } of writes) {
    if (bytes === 0 || discard) continue;
    const part = table.partitions.find(({ firstSector, lastSector }) =>
      offset >= firstSector * SECTOR_BYTES && offset < (lastSector + 1) * SECTOR_BYTES
    );
    const name = part?.name ?? "none";
    const inside = offset - (part?.firstSector ?? 0) * SECTOR_BYTES;
    const place = inside - inside % PLACE_BYTES;
    const all = found.get(name) ?? { writes: 0, bytes: 0, places: new Map() };
    all.writes++;
    all.bytes += bytes;
    all.places.set(place, (all.places.get(place) ?? 0) + bytes);
    found.set(name, all);
  }
  return [...found].map(([partition, { places, ...rest }]) => ({
    ...{ partition, ...rest },
    places: [...places].map(([offset, bytes]) => ({ offset, bytes }))
      .sort((a, b) => b.bytes - a.bytes),
  }));
}

/** Lines for a person; what it would be for a day is reckoned, not measured. */
export function tellIdle(
  table: PartitionTable,
  writes: readonly LoggedWrite[],
  minutes: number,
): string[] {
  const flushes = writes.filter(({ flush }) => flush).length;
  const perDay = (count: number) => Math.round(count * DAY_MINUTES / minutes);
  return [
    `idle for ${minutes} min: ${flushes} flushes`,
    ...writesByPartition(table, writes).flatMap(({ partition, writes, bytes, places }) => [
      `  ${partition}: ${writes} writes, ${bytes} bytes; in a day it would be ${
        (perDay(bytes) / 1e6).toFixed(1)
      } MB (reckoned)`,
      ...places.slice(0, 8).map(({ offset, bytes }) =>
        `    at ${(offset / 2 ** 20).toFixed(2)} MiB: ${bytes} bytes`
      ),
    ]),
  ];
}
