/**
 * Reading what measuring tools print.
 *
 * @module
 */

/** The number in what a tool printed. */
export function found(pattern: RegExp, text: string): number {
  const number = Number(pattern.exec(text)?.[1] ?? NaN);
  if (Number.isNaN(number)) {
    throw new Error(`Cannot read a tool's output: there is no ${pattern}\n${text.slice(-500)}`);
  }
  return number;
}
