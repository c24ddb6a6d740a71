/**
 * Keeping touch with the other host while a move has nothing to send, such as where files do not differ: it
 * gives up on who says nothing for long.
 *
 * @module
 */
import type { PeerChannel } from "./channel.ts";
import { ask, Done } from "./messages.ts";

const QUIET_MS = 10_000;
const PING_MS = 60_000;

export class Touch {
  readonly #channel: PeerChannel;
  #said = Date.now();

  constructor(channel: PeerChannel) {
    this.#channel = channel;
  }

  /** Something was sent. */
  said(): void {
    this.#said = Date.now();
  }

  /** Says something, where nothing was sent for a while. */
  async keep(): Promise<void> {
    if (Date.now() - this.#said < QUIET_MS) return;
    await ask(this.#channel, { op: "ping" }, { answer: Done, withinMs: PING_MS });
    this.said();
  }
}
