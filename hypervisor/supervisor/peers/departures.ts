/**
 * Guests that were sent to another host, until both hosts know whose they are.
 *
 * @module
 */
import { delay } from "@std/async";
import { type Log, messageOf } from "../log.ts";
import { problem } from "../problem.ts";
import type { GuestLife } from "../lives/guest_life.ts";
import type { MoveGround } from "../lives/move_ground.ts";
import type { Departure, MoveStore } from "../store/moves.ts";
import type { PeerRecord } from "../store/peers.ts";
import { statusOfVmm } from "./arrival.ts";
import type { PeerChannel } from "./channel.ts";
import { refuseHeld } from "./shared_stores.ts";
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
export type Settled = "running" | "stopped" | null;

/** What the other host is told, or asked where it is nobody's word. */
interface Word {
  owner: "sender" | "receiver" | null;
  /** Somebody said so in its place. */
  isSaid?: boolean;
}

interface Settling {
  end: Promise<Settled>;
  /** Ends it without a result: somebody has said how it ended. */
  stop: AbortController;
}

export class Departures {
  readonly #options: DeparturesOptions;
  readonly #settling = new Map<string, Settling>();
  /** Moves of which somebody is just saying how they ended. */
  readonly #resolving = new Set<string>();

  constructor(options: DeparturesOptions) {
    this.#options = options;
  }

  /** Takes up what an earlier supervisor began. Guests that may be another host's are not started. */
  adopt(): void {
    for (const departure of this.#options.store.departures()) {
      const { state, move } = departure;
      if (isOpen(departure)) this.#hold(departure);
      if (state === "aside") this.#setAside(departure).catch((error) => this.#failed(move, error));
      else this.#settleInBackground(move);
    }
  }

  /** Whether a host has yet to say what became of a guest. One that stays here waits for nobody. */
  awaits(peer: string): boolean {
    return this.#options.store.departures().some((it) => it.peer === peer && isOpen(it));
  }

  /**
   * Somebody says whose the guest of a departure is, of which the other host has not: that host is told once
   * it answers. Throws where that cannot be said now.
   */
  async resolve({ move, name }: Departure, runs: "here" | "there"): Promise<void> {
    // Of two who say so at the same time, one is too late.
    if (this.#resolving.has(move)) throw refused(KNOWN);
    this.#refuseResolving(move, runs);
    this.#resolving.add(move);
    try {
      // Until that is over, nothing else is begun.
      this.#settling.get(move)?.stop.abort(new Error("Somebody said how it ended"));
      await this.#settling.get(move)?.end.catch(() => {});
      // It may have come to its end all the same.
      this.#refuseResolving(move, runs);
      this.#options.log("warn", "somebody said whose a guest is", { guest: name, runs });
      await this.#resolve(move, runs);
    } finally {
      this.#resolving.delete(move);
      this.#settleInBackground(move);
    }
  }

  /** Throws where nobody can say now whose the guest of a departure is, or not that it is `runs`. */
  #refuseResolving(move: string, runs: "here" | "there") {
    const { store, ground } = this.#options;
    const departure = store.departure(move);
    if (departure === null || !isOpen(departure)) throw refused(KNOWN);
    const life = lifeOf(ground, departure.guest);
    if (life === null && runs === "here") throw refused("nothing of the guest is left here");
    const process = life?.process ?? null;
    if (process !== null && !process.hasHandedOver) {
      throw refused("its VMM is still here, and is about to say what it did");
    }
    if (runs === "here") refuseHeld(ground, life!.record);
  }

  async #resolve(move: string, runs: "here" | "there"): Promise<void> {
    const { store, ground } = this.#options;
    const departure = store.departure(move)!;
    const { guest } = departure;
    if (runs === "there") {
      store.setDeparture(move, "given");
      // Last, as from then on it may come back.
      await this.#leave(departure);
      store.sayDeparture(move, "given");
    } else {
      const life = lifeOf(ground, guest);
      store.sayDeparture(move, "lost");
      await life?.end();
      await life?.over;
    }
    ground.claims.release(guest);
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
    this.settle(move).catch((error) => this.#failed(move, error));
  }

  #failed(move: string, error: unknown) {
    if (this.#options.released.aborted) return;
    this.#options.log("error", "cannot settle a move", { move, error: messageOf(error) });
  }

  /** The other host has it, as somebody said there that this one was gone. */
  async #setAside({ guest, name, peer }: Departure): Promise<void> {
    const { ground, log } = this.#options;
    if (lifeOf(ground, guest) === null) return;
    log("warn", "a guest is set aside: this host was declared lost", { guest: name });
    await ground.setAside(guest, reasonAside(this.#nameOf(peer)));
  }

  /**
   * Finds out whose the guest is, has the other host do accordingly, however long that takes, and lets go of
   * the guest, or of what the other host has of it. Rejects where nobody looks after it any more. `hasDied`
   * where its VMM was seen to end while the guest stood still to be given away.
   */
  settle(move: string, options: { hasDied?: boolean } = {}): Promise<Settled> {
    const under = this.#settling.get(move);
    if (under !== undefined) return under.end;
    const stop = new AbortController();
    const signal = AbortSignal.any([this.#options.released, stop.signal]);
    const end = this.#settle(move, { ...options, signal }).finally(() => {
      this.#settling.delete(move);
    });
    this.#settling.set(move, { end, stop });
    return end;
  }

  async #settle(
    move: string,
    { hasDied = false, signal }: { hasDied?: boolean; signal: AbortSignal },
  ): Promise<Settled> {
    const { store } = this.#options;
    const departure = store.departure(move);
    if (departure === null || departure.state === "aside") return null;
    if (departure.state === "lost") return await this.#stay(departure, signal, { isSaid: true });
    if (departure.state === "begun") departure.state = "kept";
    const letGo = isOpen(departure) ? this.#hold(departure) : () => {};
    if (departure.state === "giving") {
      departure.state =
        await (hasDied ? this.#afterDeath(departure, signal) : this.#whose(departure, signal));
    }
    signal.throwIfAborted();
    store.setDeparture(move, departure.state);
    if (departure.state === "kept") {
      letGo();
      return await this.#stay(departure, signal);
    }
    const state = await this.#ask(departure, { owner: "receiver" }, {
      signal,
      canBe: (state) => state === "running" || state === "stopped",
    });
    // Where somebody said so, or it has come back meanwhile, that is done.
    const isOver = departure.isSaid || store.departure(move) === null;
    if (!isOver) await this.#leave(departure);
    store.endDeparture(move);
    letGo();
    await this.#heard(departure);
    return state === "running" ? "running" : "stopped";
  }

  /** The guest is this host's: the other one has to let go of what it has. */
  async #stay(departure: Departure, signal: AbortSignal, { isSaid = false } = {}): Promise<null> {
    const { store, ground } = this.#options;
    const { move } = departure;
    // Where it says that the guest runs there, nobody but a person can help.
    const state = await this.#ask(departure, { owner: "sender", isSaid }, {
      signal,
      canBe: (state) => state === "dropped" || state === (isSaid ? "aside" : "lost"),
    });
    if (state === "lost") await this.#setAside(departure);
    // Written down last: what is aside does not run any more.
    const isAside = state === "lost" && lifeOf(ground, departure.guest) !== null;
    if (isAside) store.setDeparture(move, "aside");
    else store.endDeparture(move);
    await this.#heard(departure);
    return null;
  }

  /** Whether the VMM that was told to give its guest away has done so. */
  async #whose(departure: Departure, signal: AbortSignal): Promise<"kept" | "given"> {
    const { ground } = this.#options;
    const { guest } = departure;
    const life = lifeOf(ground, guest);
    if (life === null) return "given";
    let asked = 0;
    for (const deadline = Date.now() + GONE_MS;;) {
      signal.throwIfAborted();
      const { process, lastEnd } = life;
      if (process === null) {
        if (lastEnd !== null) return lastEnd.reason === "migrated" ? "given" : "kept";
        return await this.#afterPowerCut(departure, signal);
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
  async #afterDeath(departure: Departure, signal: AbortSignal): Promise<"kept" | "given"> {
    const life = lifeOf(this.#options.ground, departure.guest);
    if (life?.lastEnd?.reason === "migrated" || life?.process?.hasHandedOver) return "given";
    const state = await this.#ask(departure, { owner: null }, { signal, canBe: isKnown });
    return state === "undecided" || state === "running" ? "given" : "kept";
  }

  /**
   * What the VMM had written down went with the host's power. Where the other VMM has not heard that the
   * guest is its own, it never ran it, and this host's disks are the newer ones or the same.
   */
  async #afterPowerCut(departure: Departure, signal: AbortSignal): Promise<"kept" | "given"> {
    const state = await this.#ask(departure, { owner: null }, { signal, canBe: isKnown });
    // Dropped is what somebody said there must be here.
    return state === "undecided" || state === "dropped" ? "kept" : "given";
  }

  /** Tells the other host whose the guest is, or asks it, until it answers what can be. */
  async #ask(
    { move, guest }: Departure,
    { owner, isSaid = false }: Word,
    { signal, canBe }: { signal: AbortSignal; canBe: (state: SettledState) => boolean },
  ): Promise<SettledState> {
    const { store, log } = this.#options;
    let told = "";
    for (let retry = FIRST_RETRY_MS;; retry = Math.min(LONGEST_RETRY_MS, retry * 2)) {
      signal.throwIfAborted();
      try {
        // It may be another one's, where the host was forgotten and paired again.
        const channel = await this.#options.dial(
          this.#options.peer(store.departure(move)?.peer ?? ""),
        );
        const hangUp = () => channel.close();
        signal.addEventListener("abort", hangUp);
        try {
          const asked = { answer: SettleAnswer, withinMs: SETTLE_MS };
          const { state } = await ask(channel, { op: "settle", move, owner, isSaid }, asked);
          if (canBe(state)) return state;
          // It has lost what it had: the disks that are here may be all that is left.
          throw new Error(`it says that the guest is ${state}`);
        } finally {
          signal.removeEventListener("abort", hangUp);
          channel.close();
        }
      } catch (error) {
        signal.throwIfAborted();
        const message = messageOf(error);
        if (message !== told) {
          log("warn", "a move is not settled yet", { guest, owner, error: message });
        }
        told = message;
      }
      await delay(retry, { signal });
    }
  }

  /** The other host has the guest: nothing is left of it here. */
  async #leave({ guest, peer }: Departure): Promise<void> {
    const { store, ground } = this.#options;
    const life = lifeOf(ground, guest);
    if (life === null) return;
    const late = delay(GONE_MS, { persistent: false });
    await Promise.race([life.over, late]);
    // It has nothing to do any more, or it would have written it down.
    await life.end();
    await life.over;
    store.wentOn(guest, this.#nameOf(peer));
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
    await Promise.allSettled([...this.#settling.values()].map(({ end }) => end));
  }
}

/** Why a guest that may be another host's is not started here. */
export function reasonGiven(name: string): string {
  return `it was given to the host "${name}", which has not said yet that it has it`;
}

/** Why a guest does not run any more that another host has. */
export function reasonAside(name: string): string {
  return `the host "${name}" has it, where this one was declared lost. Delete it, or fork it to keep ` +
    "what it has";
}

/**
 * Whether it is not known whose the guest of a departure is. Where somebody said that it runs there, it is gone
 * from here, or has come back.
 */
export function isOpen({ state, isSaid }: Departure): boolean {
  return !isSaid && (state === "giving" || state === "given");
}

/** What the host is called to which a guest is on its way; null where it is on its way to none. */
export function goingTo(
  store: MoveStore,
  guest: string,
  peerName: (id: string) => string,
): string | null {
  const open = store.departures().find((it) => it.guest === guest && isOpen(it));
  return open === undefined ? null : peerName(open.peer);
}

const KNOWN = "it is known whose the guest is";

function refused(why: string): Error {
  return problem("wrong_state", `Cannot settle the move: ${why}`);
}

function isKnown(state: SettledState): boolean {
  return state !== "unknown";
}

function lifeOf(ground: MoveGround, guest: string): GuestLife | null {
  return ground.store.get(guest) === null ? null : ground.life(guest);
}
