/**
 * What start-up leaves behind. V8 collects when it allocates, and a VMM whose guest runs allocates
 * next to nothing: it would keep that garbage for as long as the guest lives.
 *
 * @module
 */

/** With `--v8-flags=--expose-gc`, which those give that start a VMM. */
interface Collector {
  gc?: (
    options: { type: "major"; execution: "sync"; flavor: "regular" | "last-resort" },
  ) => void;
}

/**
 * Gives the host what this thread's heap does not need, where V8 lets us ask for it; with `keepsCode`, not
 * what is compiled and may soon run.
 */
export function collectGarbage({ keepsCode = false } = {}): void {
  const flavor = keepsCode ? "regular" : "last-resort";
  (globalThis as Collector).gc?.({ type: "major", execution: "sync", flavor });
}
