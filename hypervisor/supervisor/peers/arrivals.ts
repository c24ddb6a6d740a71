/**
 * Guests that come to this host: their connections while they come, and those of which another host has
 * yet to say whose they are.
 *
 * @module
 */
import { delay } from "@std/async";
import type { shareBlocks } from "../../sys/reflink.ts";
import { type Log, messageOf } from "../log.ts";
import { problem } from "../problem.ts";
import type { MoveGround } from "../lives/move_ground.ts";
import type { Tasks } from "../lives/tasks.ts";
import { Turns } from "../lives/turns.ts";
import type { Arrival as ArrivalRow, MoveStore } from "../store/moves.ts";
import type { PeerRecord } from "../store/peers.ts";
import { Arrival, endVmm, statusOfVmm } from "./arrival.ts";
import { parsed, type PeerChannel } from "./channel.ts";
import { goingTo, reasonAside } from "./departures.ts";
import type { Processor } from "./cpu_features.ts";
import { type Frame, PeerError } from "./frames.ts";
import { answer, type MoveOffer, MoveRequest, type SettledState } from "./messages.ts";
import { announce, isHandingOver, isRunning, isUp, type Sealed, takeOver } from "./sealed.ts";
import type { MoveCall } from "./peers.ts";
import { pipe } from "./pipe.ts";
import { refuseHeld } from "./shared_stores.ts";

/** A host that moves a guest says something at least so often, in milliseconds. */
export const SILENCE_MS = 60_000;
const LOOK_MS = 100;

export interface ArrivalsOptions {
  store: MoveStore;
  ground: MoveGround;
  tasks: Pick<Tasks, "refuseBusy">;
  log: Log;
  processor: Processor;
  share: typeof shareBlocks;
  /** What a host is called, or its id where it is not known any more. */
  peerName(id: string): string;
  /** Has people told what there is to settle now. */
  tell(): void;
  /** Aborts when nobody is to look after arrivals any more. */
  released: AbortSignal;
}

type SettleWord = Pick<Extract<MoveCall, { op: "settle" }>, "move" | "owner" | "isSaid">;

export class Arrivals {
  readonly #options: ArrivalsOptions;
  readonly #coming = new Map<string, Arrival>();
  readonly #sealed = new Map<string, Sealed>();
  readonly #watching = new Set<Promise<void>>();
  /** Moves between whose VMMs there is a connection. */
  readonly #connected = new Set<string>();
  /** By move: of those who say whose a guest is, each finds what the one before has made of it. */
  readonly #turns = new Turns();

  constructor(options: ArrivalsOptions) {
    this.#options = options;
  }

  /** Takes up what an earlier supervisor had sealed. */
  async adopt(): Promise<void> {
    const { store, ground } = this.#options;
    for (const row of store.arrivals()) {
      const { move, guest, peer, state } = row;
      const record = ground.store.get(guest);
      // Why it cannot be is in the log.
      if (state === "aside" && record !== null) this.#setAside(row).catch(() => {});
      if (state !== "sealed" || record === null) continue;
      const process = await ground.launcher.find(guest);
      const { memoryMiB, memory } = record;
      const release = ground.claims.hold(guest, {
        reason: "another host has yet to say whose it is",
        memoryMiB: process === null ? 0 : memoryMiB + memory.requestedMiB,
      });
      const sealed = { move, peer, record, process, release, since: null };
      this.#keep(sealed);
      if (row.isSaid) this.#goOnTaking(sealed);
    }
  }

  /** Whether anything has yet to be heard of a host. */
  awaits(peer: string): boolean {
    const { store } = this.#options;
    return [...this.#coming.values()].some((it) => it.peer.id === peer) ||
      store.arrivals().some((it) => it.peer === peer && it.state === "sealed");
  }

  /**
   * Somebody says whose a guest is that was coming, of which the other host has not: that one is told when it
   * asks. Throws where that cannot be said now.
   */
  resolve({ move }: ArrivalRow, runs: "here" | "there"): Promise<void> {
    return this.#turns.take(move, () => this.#resolve(move, runs));
  }

  async #resolve(move: string, runs: "here" | "there"): Promise<void> {
    const { store, log } = this.#options;
    const sealed = this.#sealed.get(move);
    if (store.arrival(move)?.state !== "sealed" || sealed === undefined || this.#coming.has(move)) {
      throw problem("wrong_state", "Cannot settle the move: it is known whose the guest is");
    }
    log("warn", "somebody said whose a guest is", { guest: sealed.record.name, runs });
    if (this.isHandingOver(move)) {
      throw problem("busy", "Cannot settle the move: it is just changing hands. Wait a moment");
    }
    if (runs === "here") {
      refuseHeld(this.#options.ground, sealed.record);
      // Written down first: who comes back is told so, whatever comes between.
      store.sayArrival(move);
      await this.#takeOver(sealed).catch((error) => {
        throw problem("busy", messageOf(error));
      });
    } else if (await isRunning(sealed, this.#options.ground)) {
      throw problem("wrong_state", "Cannot settle the move: the guest runs here");
    } else await this.#drop(sealed, { isSaid: true });
  }

  /** Somebody said that it is this host's, and the supervisor went before it was. */
  #goOnTaking(sealed: Sealed) {
    this.#turns.take(sealed.move, () => this.#takeOver(sealed)).catch((error) =>
      this.#options.log("error", "cannot take a guest over", {
        guest: sealed.record.name,
        error: messageOf(error),
      })
    );
  }

  /** Serves the connection of a move, from its offer on, until it is over. */
  async serve(
    channel: PeerChannel,
    peer: PeerRecord,
    { move, offer }: { move: string; offer: MoveOffer },
  ): Promise<void> {
    const { ground, processor, share, log } = this.#options;
    const { name } = offer.parcel.record;
    let arrival: Arrival | undefined;
    try {
      await answer(channel, async () => {
        if (this.#coming.has(move)) throw new PeerError("Cannot begin a move twice");
        arrival = await Arrival.prepare({ move, peer, offer, ground, processor, share });
        this.#coming.set(move, arrival);
        return { wanted: arrival.wanted };
      });
      log("info", "a guest is coming", { guest: name, from: peer.name });
      while (true) {
        const frame = await channel.next(SILENCE_MS);
        if (frame.kind !== "message") {
          await this.#take(channel, frame, arrival!);
          continue;
        }
        const request = parsed(MoveRequest, frame.message);
        await answer(channel, () => this.#do(request, arrival!));
        // Its disks are complete: nothing more is taken.
        if (request.op === "seal") return await channel.end();
      }
    } finally {
      this.#coming.delete(move);
      if (arrival !== undefined && !this.#sealed.has(move)) {
        await this.#discard(arrival);
        log("info", "a guest that was coming did not come", { guest: name, from: peer.name });
      }
    }
  }

  /** What cannot be written, such as on a full disk, is told when the other host next listens. */
  async #take(
    channel: PeerChannel,
    frame: Exclude<Frame, { kind: "message" }>,
    arrival: Arrival,
  ): Promise<void> {
    try {
      await arrival.take(frame);
    } catch (error) {
      await answer(channel, () => Promise.reject(error));
    }
  }

  async #discard(arrival: Arrival) {
    if (this.#options.released.aborted && arrival.process !== null) {
      // The next supervisor does it; the VMM itself ends with its connection.
      return arrival.release();
    }
    await arrival.discard();
  }

  async #do(request: MoveRequest, arrival: Arrival): Promise<unknown> {
    switch (request.op) {
      case "ping":
        return;
      case "snapshot": {
        const shared = arrival.snapshots.begin(request.snapshot);
        return { shared: shared.map((i) => arrival.firstOfSnapshot + i) };
      }
      case "snapshot_end":
        return await arrival.snapshots.end(request);
      case "disks":
        return { shared: arrival.startDisks() };
      case "await":
        return await arrival.await();
      case "seal": {
        const { process, record, move, peer } = arrival;
        if (process === null) throw new PeerError("Cannot seal a guest that no VMM waits for");
        const { complete } = arrival.snapshots;
        await arrival.sync();
        this.#options.store.seal({ move, guest: record.id, peer: peer.id }, record, complete);
        const release = () => arrival.release();
        this.#keep({ move, peer: peer.id, record, process, release, since: Date.now() });
      }
    }
  }

  /** Connects a host with the VMM that waits for its guest. */
  async serveMemory(channel: PeerChannel, peer: PeerRecord, move: string): Promise<void> {
    let vmm: Deno.UnixConn | undefined;
    await answer(channel, async () => {
      const arrival = this.#coming.get(move);
      if (arrival === undefined || arrival.peer.id !== peer.id || arrival.process === null) {
        throw new PeerError("Cannot take memory of a guest that is not awaited");
      }
      vmm = await Deno.connect({ transport: "unix", path: arrival.socket });
    });
    this.#connected.add(move);
    try {
      await pipe(vmm!, channel);
    } finally {
      this.#connected.delete(move);
    }
  }

  /** Whether a guest is just changing hands, as in every move: nobody has to say anything about it. */
  isHandingOver(move: string): boolean {
    const sealed = this.#sealed.get(move);
    // Who is not in there is about to be, or is settled just now.
    return sealed === undefined || isHandingOver(sealed, this.#connected.has(move));
  }

  #keep(sealed: Sealed) {
    this.#sealed.set(sealed.move, sealed);
    const watching = this.#watch(sealed);
    this.#watching.add(watching);
    watching.finally(() => this.#watching.delete(watching));
  }

  /** A VMM that heard that the guest is its own runs it: then it is this host's. */
  async #watch(sealed: Sealed) {
    const { log, tell, released, ground } = this.#options;
    const { move, process } = sealed;
    try {
      for (let isTold = false; !released.aborted && this.#sealed.has(move);) {
        const isLate = !this.isHandingOver(move);
        if (isLate && !isTold) tell();
        isTold = isLate;
        // What cannot be told now may be later.
        if (await isRunning(sealed, ground).catch(() => false)) return await this.#claim(sealed);
        if (isLate && (process === null || process.hasEnded)) return;
        await delay(LOOK_MS, { signal: released }).catch(() => {});
      }
    } catch (error) {
      log("error", "cannot look after a guest that is coming", {
        guest: sealed.record.name,
        error: messageOf(error),
      });
    }
  }

  /** From here on the guest is this host's. */
  async #claim(sealed: Sealed): Promise<void> {
    const { move, record, release } = sealed;
    // Somebody else may have seen it at the same time.
    if (!this.#sealed.delete(move)) return;
    const { store, ground, log } = this.#options;
    let { process } = sealed;
    if (process?.hasEnded) {
      await ground.launcher.cleanUp(process);
      process = null;
    }
    store.claim(move);
    release();
    const error = process === null
      ? "It was lost while it changed hosts, as by a power cut: start it again"
      : null;
    if (error !== null) ground.store.setError(record.id, error);
    ground.arrive({ ...record, error }, process);
    log("info", "a guest has come", { guest: record.name, runs: process !== null });
    if (process !== null) await announce(process, log);
  }

  /** Whose a guest is, said by the host that it comes from; what became of it here. */
  settle(peer: PeerRecord, word: SettleWord): Promise<SettledState> {
    return this.#turns.take(word.move, () => this.#settle(peer, word));
  }

  async #settle(peer: PeerRecord, word: SettleWord): Promise<SettledState> {
    const { move, owner, isSaid } = word;
    const { store, ground, log } = this.#options;
    // A connection that broke may not have been noticed yet.
    const coming = this.#coming.get(move);
    if (coming?.peer.id === peer.id && !this.#sealed.has(move)) {
      throw new Error("Cannot settle the move: its connection is still there");
    }
    const row = store.arrival(move);
    if (row === null || row.peer !== peer.id) return owner === "sender" ? "dropped" : "unknown";
    if (row.state === "dropped" || row.state === "aside") return row.state;
    const sealed = this.#sealed.get(move);
    if (owner === "sender" && isSaid) return await this.#giveUp(row, sealed);
    if (row.state === "lost" && owner === "sender") return "lost";
    if (row.state !== "sealed") return isUp(ground, row.guest) ? "running" : "stopped";
    if (sealed === undefined) throw new Error("Cannot settle the move: it is about to be settled");
    if (owner === null) {
      if (sealed.process === null || sealed.process.hasEnded) return "stopped";
      if (await isRunning(sealed, ground)) return "running";
      const { phase } = (await statusOfVmm(sealed.process))?.receiving ?? {};
      if (phase === "undecided") return "undecided";
      throw new Error(`Cannot say whose the guest is: its VMM is ${phase ?? "not answering"}`);
    }
    if (owner === "receiver") {
      await this.#takeOver(sealed);
      // What came of it is written down: who hears that it is here has nothing left of it.
      return await this.#settle(peer, word);
    }
    if (await isRunning(sealed, ground)) {
      // Never so, as only the VMM that gave it away could have said so.
      log("error", "a guest runs here that another host has kept", { guest: sealed.record.name });
      return "running";
    }
    return await this.#drop(sealed);
  }

  /** Nothing of it stays here. */
  async #drop(sealed: Sealed, { isSaid = false } = {}): Promise<"dropped"> {
    const { store, ground, log } = this.#options;
    const { move, process, record, release } = sealed;
    this.#sealed.delete(move);
    if (process !== null) await endVmm(process, ground);
    store.drop({ move, guest: record.id }, { isSaid });
    ground.disks.delete(record.id);
    release();
    log("info", "a guest that was coming stays where it was", { guest: record.name });
    return "dropped";
  }

  /** Somebody said at the other host that this one was gone, and that the guest is that one's. */
  async #giveUp(row: ArrivalRow, sealed: Sealed | undefined): Promise<SettledState> {
    const { store, tasks, ground } = this.#options;
    const { move, guest, name } = row;
    if (row.state === "sealed" && sealed === undefined) {
      throw new Error("Cannot settle the move: it is about to be settled");
    }
    if (sealed !== undefined) {
      if (!await isRunning(sealed, ground)) return await this.#drop(sealed);
      await this.#claim(sealed);
    }
    if (this.#isGone(row)) return "dropped";
    tasks.refuseBusy({ id: guest, name }, "Cannot set aside");
    await this.#setAside(row);
    // Written down last: what is aside does not run any more.
    if (this.#isGone(row)) return "dropped";
    store.setAside(move);
    return "aside";
  }

  /** Whether a guest that had come is not here any more. Throws where another host may have it by now. */
  #isGone({ guest, name, wentTo }: ArrivalRow): boolean {
    const { store, ground, peerName } = this.#options;
    const isGone = ground.store.get(guest) === null;
    const to = isGone ? wentTo : goingTo(store, guest, peerName);
    if (to === null) return isGone;
    throw new Error(`Cannot give "${name}" up: it has gone on to the host "${to}", or may have`);
  }

  /** What is here of a guest that the other host has does not run any more. */
  async #setAside({ guest, name, peer }: ArrivalRow): Promise<void> {
    const { ground, log, peerName } = this.#options;
    log("warn", "a guest is set aside: this host was declared lost", { guest: name });
    try {
      await ground.setAside(guest, reasonAside(peerName(peer)));
    } catch (error) {
      log("error", "cannot set a guest aside", { guest: name, error: messageOf(error) });
      throw error;
    }
  }

  async #takeOver(sealed: Sealed): Promise<void> {
    const { ground } = this.#options;
    await takeOver(sealed, { ground, isKept: () => this.#sealed.has(sealed.move) });
    await this.#claim(sealed);
  }

  /** The other host has heard how a move ended. */
  heard(peer: PeerRecord, move: string): void {
    if (this.#options.store.arrival(move)?.peer !== peer.id) return;
    this.#options.store.forgetArrival(move);
  }

  async settled(): Promise<void> {
    await Promise.all(this.#watching);
  }
}
