/**
 * What the event stream's first event does not hold, a page asks for once the stream is there: from
 * then on, events tell what becomes of it.
 *
 * @module
 */
import { type Signal, signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

/** How many times the stream has begun. */
export const streams: Signal<number> = signal(0);

/** Calls `ask` for each `key` when the stream is there, and again when it had been lost. */
export function useOnceLive(key: string, ask: () => Promise<void>): void {
  const count = streams.value;
  useEffect(() => {
    // What cannot be asked for now stays as it was told before.
    if (count > 0) void ask().catch(() => {});
  }, [key, count]);
}
