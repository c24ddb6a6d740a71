/**
 * What a page does while a change of the network is tried: it counts down, and asks how it goes.
 *
 * @module
 */
import type { HostNetwork } from "../../hypervisor/supervisor/api/schemas.ts";

export interface TrialWatch {
  secondsLeft: number;
  /** Asks the host; ended by the signal, since a host that cannot be reached answers nothing at all. */
  ask: (signal: AbortSignal) => Promise<HostNetwork>;
  onLeft: (seconds: number) => void;
  /** Told how the network is once the change is no more tried. */
  onTold: (network: HostNetwork) => void;
  /** For tests. */
  tickMs?: number;
  askMs?: number;
  limitMs?: number;
}

const TICK_MS = 1000;
/** A step that Linux refuses ends a trial soon after its beginning; another page may do so at any time. */
const ASK_MS = 3000;
/** How long an answer may take before the host is asked anew. */
const LIMIT_MS = 5000;

/** Watches a trial until it is over; returns what ends that earlier. */
export function watchTrial(watch: TrialWatch): () => void {
  const { tickMs = TICK_MS, askMs = ASK_MS, limitMs = LIMIT_MS } = watch;
  const begin = performance.now();
  const end = begin + watch.secondsLeft * 1000;
  const stopped = new AbortController();
  let lastAsked = begin;
  let isAsking = false;
  const ask = async () => {
    isAsking = true;
    try {
      const told = await watch.ask(AbortSignal.any([stopped.signal, AbortSignal.timeout(limitMs)]));
      if (told.trial !== null || stopped.signal.aborted) return;
      stop();
      watch.onTold(told);
    } catch {
      // The host is not reached yet: a later tick asks again.
    } finally {
      isAsking = false;
    }
  };
  const tick = setInterval(() => {
    const now = performance.now();
    watch.onLeft(Math.max(0, Math.ceil((end - now) / 1000)));
    if (isAsking || now < lastAsked + askMs) return;
    lastAsked = now;
    void ask();
  }, tickMs);
  const stop = () => {
    clearInterval(tick);
    stopped.abort();
  };
  return stop;
}
