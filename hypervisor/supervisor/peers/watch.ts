/**
 * Looks from time to time whether other hosts answer, and what they tell of themselves.
 *
 * @module
 */
import { isDeepStrictEqual } from "node:util";
import type { Peer } from "../api/schemas.ts";
import { messageOf } from "../log.ts";
import type { PeerRecord } from "../store/peers.ts";
import type { PeerChannel } from "./channel.ts";
import { ask, Facts } from "./messages.ts";

const EVERY_MS = 30_000;
const ANSWER_MS = 10_000;

/** What was last known of a host. */
type Sight = Pick<
  Peer,
  "reachable" | "problem" | "version" | "cpuModel" | "memoryFreeMiB" | "diskFreeMiB"
>;

const NOTHING = { version: null, cpuModel: null, memoryFreeMiB: null, diskFreeMiB: null };
const NOT_YET: Sight = { ...NOTHING, reachable: false, problem: "It was not asked yet" };

export interface WatchOptions {
  peers(): PeerRecord[];
  dial(peer: PeerRecord): Promise<PeerChannel>;
  /** Called when what is known has changed. */
  changed(): void;
  everyMs?: number;
}

export class PeerWatch {
  readonly #options: WatchOptions;
  readonly #sights = new Map<string, Sight>();
  readonly #timer: ReturnType<typeof setInterval>;
  #looking: Promise<void> | null = null;
  #isClosed = false;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.look(), options.everyMs ?? EVERY_MS);
  }

  of(id: string): Sight {
    return this.#sights.get(id) ?? NOT_YET;
  }

  /** Looks at all hosts at once; resolves when each has answered or not. */
  look(): Promise<void> {
    return this.#looking ??= this.#lookAtAll().finally(() => this.#looking = null);
  }

  async #lookAtAll() {
    const before = new Map(this.#sights);
    const peers = this.#options.peers();
    for (const id of this.#sights.keys()) {
      if (!peers.some((peer) => peer.id === id)) this.#sights.delete(id);
    }
    await Promise.all(peers.map(async (peer) => {
      this.#sights.set(peer.id, await this.#lookAt(peer));
    }));
    if (!this.#isClosed && !isDeepStrictEqual(before, this.#sights)) this.#options.changed();
  }

  async #lookAt(peer: PeerRecord): Promise<Sight> {
    try {
      using channel = await this.#options.dial(peer);
      const options = { answer: Facts, withinMs: ANSWER_MS };
      const { name: _, ...facts } = await ask(channel, { op: "facts" }, options);
      await channel.end();
      return { ...facts, reachable: true, problem: null };
    } catch (error) {
      // What it told before says little about what it is now.
      return { ...NOTHING, reachable: false, problem: messageOf(error) };
    }
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
  }

  async settled(): Promise<void> {
    await this.#looking;
  }
}
