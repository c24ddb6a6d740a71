/**
 * The middle of some measurements, which one slow run does not move.
 *
 * @module
 */

/** The median of at least one number. */
export function median(numbers: readonly number[]): number {
  if (numbers.length === 0) throw new RangeError("Cannot take a median: there are no numbers");
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
