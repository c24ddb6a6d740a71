/**
 * A pair of a network device's queues and who moves its frames.
 *
 * @module
 */
import { NEW_QUEUE, type QueueSetup, type QueueState } from "./queue.ts";
import type { RateLimiter } from "./rate_limit.ts";

/** How far both queues have got. */
export interface PairState {
  rx: QueueState;
  tx: QueueState;
}

export const NEW_PAIR: PairState = { rx: NEW_QUEUE, tx: NEW_QUEUE };

export interface PairOptions {
  /** The tap's queue. */
  tap: number;
  rx: QueueSetup;
  tx: QueueSetup;
  /** What the driver accepted. */
  features: ReadonlySet<number>;
  /** Where to go on. */
  state: PairState;
}

/** Limits of a card, which all its pairs share. */
export interface NetLimits {
  receive: RateLimiter;
  send: RateLimiter;
  /** Goes on with all pairs; what a limiter that was waited on calls. */
  receiveAgain: () => void;
  sendAgain: () => void;
}

/** Moves frames of one pair from its construction until it is stopped. */
export interface NetBackend {
  /** The driver notified queue RX or TX. */
  notify(direction: number): void;
  /** See `VirtioDevice.logWrites`; absent where every write is seen here. */
  logWrites?(): void;
  /** Nothing touches guest memory afterwards. */
  stop(): PairState;
  /** Chains that went back unserved because they were malformed, and frames that did not fit. */
  readonly rejected: number;
  readonly oversized: number;
}

/** A pair that the driver has set up. */
export interface Pair {
  rx: QueueSetup;
  tx: QueueSetup;
  /** Where it goes on when it is served again. */
  state: PairState;
  /** Who serves it now. */
  backend?: NetBackend;
}
