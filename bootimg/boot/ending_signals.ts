/**
 * Signals at which Deno ends by itself, unless somebody listens. It does so for process 1 too, whom the kernel
 * spares what other processes get by default: a hang-up would then be a kernel panic.
 *
 * @module
 */
export const ENDING_SIGNALS = ["SIGHUP", "SIGINT", "SIGTERM"] as const;

/** Has these signals do nothing but what others listen for. */
export function surviveSignals(): void {
  for (const signal of ENDING_SIGNALS) Deno.addSignalListener(signal, () => {});
}
