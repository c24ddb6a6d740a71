/**
 * Counting tests by what `deno test` says at its end.
 *
 * @module
 */

/** How many tests held and how many did not. */
export interface Count {
  passed: number;
  failed: number;
}

/**
 * The count that a run of `deno test` ended with. A run that ended badly counts at least one
 * failure, and one that tells no count, because it broke off, exactly one.
 */
export function countOf(output: string, exitCode: number): Count {
  // deno-lint-ignore no-control-regex
  const plain = output.replaceAll(/\x1b\[[0-9;]*m/g, "");
  const summaries = [
    ...plain.matchAll(
      /^(?:ok|FAILED) \| (\d+) passed(?: \([^)]*\))?(?: \| \d+ \w+)*? \| (\d+) failed/gm,
    ),
  ];
  const last = summaries.at(-1);
  if (!last) return { passed: 0, failed: 1 };
  const count = { passed: Number(last[1]), failed: Number(last[2]) };
  if (exitCode !== 0 && count.failed === 0) count.failed = 1;
  return count;
}
