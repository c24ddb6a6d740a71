/**
 * The hosts' ends of guests' NICs.
 *
 * @module
 */
import { delay } from "@std/async";
import { createTap, interfaceExists, removeTap } from "../sys/tap.ts";

export interface AttachOptions {
  /** The bridge to put it into; without, the one that all are put into. */
  bridge?: string;
  /** For a card with several queues. */
  multiQueue?: boolean;
}

/** Makes and removes taps; tests have one that touches no real network. */
export interface Network {
  /** Makes the tap of a network card and returns its name. */
  attach(netId: string, options?: AttachOptions): string;
  /** Removes it, where it is. */
  detach(netId: string): Promise<void>;
}

const REMOVE_TRIES = 50;
const REMOVE_DELAY_MS = 20;

/** The name of a card's tap: the end of its id, the part of it that is random. */
export function tapName(netId: string): string {
  return `dv${netId.slice(-10).toLowerCase()}`;
}

/** The bridge that is used, where there is one, without being asked for. */
export const DEFAULT_BRIDGE = "br0";

/** Taps in a bridge. */
export class BridgedTaps implements Network {
  readonly #bridge: string | null;

  /** Null for the default bridge on hosts that have it, and for none on others. */
  constructor(options: { bridge: string | null }) {
    this.#bridge = options.bridge;
  }

  attach(netId: string, options: AttachOptions = {}): string {
    const tap = tapName(netId);
    const wanted = options.bridge ?? this.#bridge;
    if (wanted !== null && !interfaceExists(wanted)) {
      throw new Error(`the host has no bridge "${wanted}" for its network card`);
    }
    const bridge = wanted ?? (interfaceExists(DEFAULT_BRIDGE) ? DEFAULT_BRIDGE : undefined);
    // One that an earlier run left is not trusted to be set up as this one should be.
    if (interfaceExists(tap) && !removeTap(tap)) {
      throw new Error(`its tap "${tap}" is held by another process`);
    }
    createTap(tap, { multiQueue: options.multiQueue, bridge });
    return tap;
  }

  async detach(netId: string): Promise<void> {
    const tap = tapName(netId);
    // A killed VMM's descriptors are closed a moment after it is gone from sight.
    for (let tries = 0; !removeTap(tap); tries++) {
      if (tries === REMOVE_TRIES) {
        throw new Error(`Cannot remove the tap "${tap}": it is held open`);
      }
      await delay(REMOVE_DELAY_MS);
    }
  }
}
