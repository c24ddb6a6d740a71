/**
 * What a disk has after its power was cut. What it said to be there for good, is; of all else that it was
 * given, some is there and some not, in no order, and a write may be there in part, sector by sector.
 *
 * @module
 */
import { type LoggedWrite, SECTOR_BYTES } from "./write_log.ts";

/** Bytes that reached the disk: those of `write` from `from` on. */
export interface Reached {
  write: LoggedWrite;
  from: number;
  bytes: number;
}

export interface Cut {
  /** So many requests were done. */
  done: number;
  /** Those before this one are there for good. */
  safe: number;
  /** What else is there, in the order to write it. */
  reached: Reached[];
}

/** A number from 0 on, below 1. */
export type Random = () => number;

/** How much of what was not safe is there, in one cut or another. */
const SHARES = [0, 0.1, 0.5, 0.9, 1];
/** How often a write is there in part. */
const TORN = 0.15;

/** The disk's state when the power goes after `done` of the requests. */
export function cutAfter(writes: readonly LoggedWrite[], done: number, random: Random): Cut {
  let safe = 0;
  for (let i = done - 1; i >= 0; i--) {
    if (!writes[i].flush) continue;
    safe = i;
    break;
  }
  const share = SHARES[Math.floor(random() * SHARES.length)];
  const reached: Reached[] = [];
  for (const write of writes.slice(safe, done)) {
    if (write.bytes === 0) continue;
    const whole = { write, from: 0, bytes: write.bytes };
    if (write.fua) reached.push(whole);
    else if (!write.discard && write.bytes > SECTOR_BYTES && random() < TORN) {
      reached.push(...torn(write, random));
    } else if (random() < share) reached.push(whole);
  }
  return { done, safe, reached };
}

/** Some of the sectors: the first ones, or any. */
function torn(write: LoggedWrite, random: Random): Reached[] {
  const sectors = write.bytes / SECTOR_BYTES;
  const first = Math.floor(random() * sectors);
  if (random() < 0.5) {
    return first === 0 ? [] : [{ write, from: 0, bytes: first * SECTOR_BYTES }];
  }
  // In runs, since a large write may have thousands.
  const found: Reached[] = [];
  for (let at = 0; at < sectors;) {
    const run = Math.min(sectors - at, 1 + Math.floor(random() * Math.max(1, sectors / 8)));
    if (random() < 0.5) {
      found.push({ write, from: at * SECTOR_BYTES, bytes: run * SECTOR_BYTES });
    }
    at += run;
  }
  return found;
}

/** Numbers that look random and are the same for a seed (mulberry32). */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Moments to cut at, in order: any, and, as often, within a few requests of one that makes others safe. */
export function chooseMoments(
  writes: readonly LoggedWrite[],
  count: number,
  random: Random,
): number[] {
  const flushes = writes.flatMap((it, i) => it.flush || it.fua ? [i] : []);
  return Array.from({ length: count }, () => {
    if (flushes.length === 0 || random() < 0.5) return Math.floor(random() * (writes.length + 1));
    const near = flushes[Math.floor(random() * flushes.length)] + Math.floor(random() * 12) - 6;
    return Math.max(0, Math.min(writes.length, near));
  }).sort((a, b) => a - b);
}
