/**
 * Guests that were sent to another host, until both hosts know whose they are.
 *
 * @module
 */
import { delay } from "@std/async";
import { type Log, messageOf } from "../log.ts";
import type { GuestLife } from "../lives/guest_life.ts";
import type { MoveGround } from "../lives/move_ground.ts";
import type { Departure, MoveStore } from "../store/moves.ts";
import type { PeerRecord } from "../store/peers.ts";
import { statusOfVmm } from "./arrival.ts";
import type { PeerChannel } from "./channel.ts";
import { ask, Done, SettleAnswer, type SettledState } from "./messages.ts";

const SETTLE_MS = 60_000;
const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 15_000;
const HEARD_MS = 5_000;
const LOOK_MS = 100;
/** How long a VMM that was told to give its guest away may take to be gone, in milliseconds. */
const GONE_MS = 60_000;

export interface DeparturesOptions {
  store: MoveStore;
  ground: MoveGround;
  log: Log;
  /** Throws where a host is not known any more. */
  peer(id: string): PeerRecord;
  dial(peer: PeerRecord): Promise<PeerChannel>;
  /** Aborts when nobody is to look after departures any more. */
  released: AbortSignal;
}

/** How a guest's departure ended: what became of it at the other host; null where it stays here. */
export type Settled = Exclude<SettledState, "dropped" | "unknown"> | null;

export class Departures {
  readonly #options: DeparturesOptions;
  readonly #settling = new Map<string, Promise<Settled>>();

  constructor(options: DeparturesOptions) {
    this.#options = options;
  }

  /** Takes up what an earlier supervisor began. Guests that may be another host's are not started. */
  adopt(): void {
    for (const departure of this.#options.store.departures()) {
      if (departure.state === "giving" || departure.state === "given") this.#hold(departure);
      this.#settleInBackground(departure.move);
    }
  }

  /** Whether anything has yet to be heard of a host. */
  awaits(peer: string): boolean {
    return this.#options.store.departures().some((it) => it.peer === peer);
  }

  #hold({ guest, peer }: Departure): () => void {
    const name = this.#nameOf(peer);
    return this.#options.ground.claims.hold(guest, {
      reason: reasonGiven(name),
      keepsOff: true,
    });
  }

  #nameOf(peer: string): string {
    try {
      return this.#options.peer(peer).name;
    } catch {
      return peer;
    }
  }

  #settleInBackground(move: string) {
    this.settle(move).catch((error) => {
      if (this.#options.released.aborted) return;
      this.#options.log("error", "cannot settle a move", { move, error: messageOf(error) });
    });
  }

  /**
   * Finds out whose the guest is, has the other host do accordingly, however long that takes, and lets go of
   * the guest, or of what the other host has of it. Rejects where nobody looks after it any more. `hasDied`
   * where its VMM was seen to end while the guest stood still to be given away.
   */
  settle(move: string, options: { hasDied?: boolean } = {}): Promise<Settled> {
    let settling = this.#settling.get(move);
    if (settling === undefined) {
      settling = this.#settle(move, options).finally(() => this.#settling.delete(move));
      this.#settling.set(move, settling);
    }
    return settling;
  }

  async #settle(move: string, { hasDied = false }): Promise<Settled> {
    const { store, released } = this.#options;
    const departure = store.departures().find((it) => it.move === move);
    if (departure === undefined) return null;
    if (departure.state === "begun") departure.state = "kept";
    const letGo = departure.state === "kept" ? () => {} : this.#hold(departure);
    if (departure.state === "giving") {
      departure.state = await (hasDied ? this.#afterDeath(departure) : this.#whose(departure));
    }
    released.throwIfAborted();
    store.setDeparture(move, departure.state);
    if (departure.state === "kept") letGo();
    if (departure.state === "kept") {
      // Where it says that the guest runs there, nobody but a person can help.
      await this.#ask(departure, "sender", (state) => state === "dropped");
      store.endDeparture(move);
      await this.#heard(departure);
      return null;
    }
    const state = await this.#ask(
      departure,
      "receiver",
      (state) => state === "running" || state === "stopped",
    );
    await this.#leave(departure.guest);
    store.endDeparture(move);
    letGo();
    await this.#heard(departure);
    return state === "running" ? "running" : "stopped";
  }

  /** Whether the VMM that was told to give its guest away has done so. */
  async #whose({ guest, move, peer }: Departure): Promise<"kept" | "given"> {
    const { ground, released } = this.#options;
    const life = lifeOf(ground, guest);
    if (life === null) return "given";
    let asked = 0;
    for (const deadline = Date.now() + GONE_MS;;) {
      released.throwIfAborted();
      const { process, lastEnd } = life;
      if (process === null) {
        if (lastEnd !== null) return lastEnd.reason === "migrated" ? "given" : "kept";
        return await this.#afterPowerCut({ move, peer, guest });
      }
      const status = await statusOfVmm(process);
      // It has heard by the second answer that its connection is gone, as it hears one after the other.
      if (status?.state === "running" && ++asked >= 2) {
        return process.hasHandedOver ? "given" : "kept";
      }
      if (Date.now() > deadline) throw new Error("Its VMM does not say whether it gave it away");
      await delay(LOOK_MS);
    }
  }

  /**
   * A VMM that wrote nothing down has said nothing to the other one, which may have the guest as it stood.
   * Where it does not, the disks that are here are as good, and here is where people look for it.
   */
  async #afterDeath(departure: Departure): Promise<"kept" | "given"> {
    const life = lifeOf(this.#options.ground, departure.guest);
    if (life?.lastEnd?.reason === "migrated" || life?.process?.hasHandedOver) return "given";
    const state = await this.#ask(departure, null, (state) => state !== "unknown");
    return state === "undecided" || state === "running" ? "given" : "kept";
  }

  /**
   * What the VMM had written down went with the host's power. Where the other VMM has not heard that the
   * guest is its own, it never ran it, and this host's disks are the newer ones or the same.
   */
  async #afterPowerCut(about: Omit<Departure, "state">): Promise<"kept" | "given"> {
    const state = await this.#ask(about, null, (state) => state !== "unknown");
    return state === "undecided" ? "kept" : "given";
  }

  /** Tells the other host whose the guest is, or asks it, until it answers what can be. */
  async #ask(
    { move, guest, peer }: Omit<Departure, "state">,
    owner: "sender" | "receiver" | null,
    canBe: (state: SettledState) => boolean,
  ): Promise<SettledState> {
    const { released, log } = this.#options;
    for (let retry = FIRST_RETRY_MS;; retry = Math.min(LONGEST_RETRY_MS, retry * 2)) {
      released.throwIfAborted();
      try {
        const channel = await this.#options.dial(this.#options.peer(peer));
        const hangUp = () => channel.close();
        released.addEventListener("abort", hangUp);
        try {
          const asked = { answer: SettleAnswer, withinMs: SETTLE_MS };
          const { state } = await ask(channel, { op: "settle", move, owner }, asked);
          if (canBe(state)) return state;
          // It has lost what it had: the disks that are here may be all that is left.
          throw new Error(`it says that the guest is ${state}`);
        } finally {
          released.removeEventListener("abort", hangUp);
          channel.close();
        }
      } catch (error) {
        released.throwIfAborted();
        log("warn", "a move is not settled yet", { guest, owner, error: messageOf(error) });
      }
      await delay(retry, { signal: released });
    }
  }

  /** The other host has the guest: nothing is left of it here. */
  async #leave(guest: string): Promise<void> {
    const { ground } = this.#options;
    const life = lifeOf(ground, guest);
    if (life === null) return;
    const late = delay(GONE_MS, { persistent: false });
    await Promise.race([life.over, late]);
    // It has nothing to do any more, or it would have written it down.
    await life.end();
    await life.over;
    ground.leave(guest);
  }

  /** So that the other host need not remember it; where it does not hear that, it does for a while. */
  async #heard({ peer, move }: Departure): Promise<void> {
    try {
      using channel = await this.#options.dial(this.#options.peer(peer));
      await ask(channel, { op: "heard", move }, { answer: Done, withinMs: HEARD_MS });
    } catch {
      // It forgets by itself.
    }
  }

  async closed(): Promise<void> {
    await Promise.allSettled(this.#settling.values());
  }
}

/** Why a guest that may be another host's is not started here. */
export function reasonGiven(name: string): string {
  return `it was given to the host "${name}", which has not said yet that it has it`;
}

function lifeOf(ground: MoveGround, guest: string): GuestLife | null {
  return ground.store.get(guest) === null ? null : ground.life(guest);
}
