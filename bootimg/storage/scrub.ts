/**
 * When the two halves of a mirror are compared: monthly, in the small hours.
 *
 * @module
 */

const DAY_MS = 24 * 60 * 60 * 1000;
const HOUR_MS = 60 * 60 * 1000;
const EVERY_MS = 28 * DAY_MS;

/** Hours of the night in which it may begin: from the first until before the last. */
const NIGHT = { from: 1, until: 5 };

/** In KiB a second: guests come first anyway, and a disk that only compares is as good as a slow one. */
export const SCRUB_SPEED_KIB = 60 * 1024;

/** Whether it is night where the host is. */
export function isNight(at: number, timeZone: string): boolean {
  const hour = hourAt(at, timeZone);
  return hour >= NIGHT.from && hour < NIGHT.until;
}

/**
 * The moment from which the next one is due: never in the past, and always in a night. `last` is when
 * the last one ended, or when the pool was first seen.
 */
export function nextScrub(last: number, now: number, timeZone: string): number {
  let at = Math.max(last + EVERY_MS, now);
  // To the hour, so that the answer does not move with the clock.
  if (!isNight(at, timeZone)) at = Math.ceil(at / HOUR_MS) * HOUR_MS;
  for (let i = 0; i < 48 && !isNight(at, timeZone); i++) at += HOUR_MS / 2;
  return at;
}

/** Whether one is to begin now. */
export function isDue(last: number, now: number, timeZone: string): boolean {
  return now - last >= EVERY_MS && isNight(now, timeZone);
}

function hourAt(at: number, timeZone: string): number {
  const parts = new Intl.DateTimeFormat("en", { hour: "numeric", hourCycle: "h23", timeZone });
  return Number(parts.format(at));
}
