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

/** The count of a run, and what it printed. */
export interface Outcome extends Count {
  output: string;
  /** Its emulated PC ended by itself. */
  brokeOff?: boolean;
}

/** What an excerpt shows, in characters; of a long output three quarters are its beginning. */
const EXCERPT = 3200;

/**
 * The count that a run of `deno test` ended with. A run that ended badly counts at least one
 * failure, and one that tells no count, because it broke off, exactly one.
 */
export function countOf(output: string, exitCode: number): Count {
  const plain = withoutColours(output);
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

/**
 * What went wrong in a run, short enough to stand at the end of a whole test's output, where it is
 * found: from the errors on where `deno test` tells them, else the end of what was printed.
 */
export function excerptOf(output: string, characters = EXCERPT): string {
  const plain = withoutColours(output).trim();
  const errors = plain.search(/^ ?ERRORS ?$/m);
  if (errors < 0) return plain.slice(-characters);
  const told = plain.slice(errors);
  if (told.length <= characters) return told;
  const tail = Math.floor(characters / 4);
  return `${told.slice(0, characters - tail)}\n[...]\n${told.slice(-tail)}`;
}

function withoutColours(output: string): string {
  // deno-lint-ignore no-control-regex
  return output.replaceAll(/\x1b\[[0-9;]*m/g, "");
}
