/**
 * What start-up leaves behind. V8 collects when it allocates, and a VMM whose guest runs allocates
 * next to nothing: it would keep that garbage for as long as the guest lives.
 *
 * @module
 */

/** With `--v8-flags=--expose-gc`, which those give that start a VMM. */
interface Collector {
  gc?: (options: { type: "major"; execution: "sync"; flavor: "last-resort" }) => void;
}

/** Gives the host what this thread's heap does not need, where V8 lets us ask for it. */
export function collectGarbage(): void {
  (globalThis as Collector).gc?.({ type: "major", execution: "sync", flavor: "last-resort" });
}
