/** Rates out of counters that were looked at now and then. */

/** A count at a time in milliseconds. */
export interface Look {
  at: number;
  count: number | null;
}

/** Longer than this between two looks, and nobody knows what was in between. */
const LONGEST_GAP_MS = 15_000;

/** What was added each second between one look and the next; null where that is not known. */
export function ratesOf(looks: Look[]): (number | null)[] {
  return looks.slice(1).map(({ at, count }, i) => {
    const before = looks[i];
    const ms = at - before.at;
    if (count === null || before.count === null || ms <= 0 || ms > LONGEST_GAP_MS) return null;
    // A counter that goes back is another device's, or another run's.
    return count < before.count ? null : (count - before.count) * 1000 / ms;
  });
}

/** "12/s", "3.4k/s". */
export function formatRate(perSecond: number | null | undefined): string {
  if (perSecond === null || perSecond === undefined) return "–";
  if (perSecond < 10) return `${trim(perSecond)}/s`;
  if (perSecond < 10_000) return `${Math.round(perSecond)}/s`;
  return `${trim(perSecond / 1000)}k/s`;
}

/** "12 KiB/s", "3.4 MiB/s". */
export function formatByteRate(perSecond: number | null | undefined): string {
  if (perSecond === null || perSecond === undefined) return "–";
  const units = ["B/s", "KiB/s", "MiB/s", "GiB/s"];
  let value = perSecond;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? Math.round(value) : trim(value)} ${units[unit]}`;
}

function trim(value: number): string {
  return value >= 100 ? String(Math.round(value)) : value.toFixed(1).replace(/\.0$/, "");
}
