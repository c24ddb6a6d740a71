/**
 * Guests that move from this host to others, and from others to this one.
 *
 * @module
 */
import { ulid } from "@std/ulid";
import type * as z from "zod";
import { whyNot } from "../api/actions.ts";
import type { MoveGuest, ResolveMove, Task, UnsettledMove } from "../api/schemas.ts";
import { readPseudoFile } from "../../sys/pseudo_files.ts";
import { shareBlocks } from "../../sys/reflink.ts";
import type { EventHub } from "../events.ts";
import { type Log, messageOf } from "../log.ts";
import { problem } from "../problem.ts";
import type { MoveGround } from "../lives/move_ground.ts";
import type { Tasks, Work } from "../lives/tasks.ts";
import type { VmmProcess } from "../lives/vmm_process.ts";
import type { Arrival, ArrivalState, Departure, MoveStore } from "../store/moves.ts";
import type { PeerRecord } from "../store/peers.ts";
import { Arrivals } from "./arrivals.ts";
import type { PeerChannel } from "./channel.ts";
import { parseProcessor, type Processor } from "./cpu_features.ts";
import { depart, type DepartureEnd, type DepartureOptions } from "./departure.ts";
import { Departures, isOpen, reasonGiven } from "./departures.ts";
import { type DiskTracking, VmmDiskTracking } from "./disk_tracking.ts";
import { answer, PeerRefusal } from "./messages.ts";
import type { MoveCall } from "./peers.ts";
import { sightsOf } from "./shared_stores.ts";

/** How long a task waits for the other host's word; what is left goes on without it, in milliseconds. */
const SETTLE_MS = 90_000;

export interface MovesOptions {
  store: MoveStore;
  ground: MoveGround;
  tasks: Tasks;
  events: EventHub;
  log: Log;
  /** Throws where there is no such host. */
  peer(id: string): PeerRecord;
  dial(peer: PeerRecord): Promise<PeerChannel>;
  /** For tests: other disks, file systems and processors. */
  tracking?: (process: VmmProcess) => DiskTracking;
  share?: typeof shareBlocks;
  processor?: Processor;
}

export class Moves {
  readonly #options: MovesOptions;
  readonly #arrivals: Arrivals;
  readonly #departures: Departures;
  readonly #released = new AbortController();
  readonly #processor: Processor;
  /** Moves whose task is not over, with the other host's id: the task tells of them itself. */
  readonly #underWay = new Map<string, string>();
  #told = "[]";

  constructor(options: MovesOptions) {
    this.#options = options;
    const released = this.#released.signal;
    this.#processor = options.processor ?? parseProcessor(readPseudoFile("/proc/cpuinfo"));
    const { share = shareBlocks } = options;
    const peerName = (id: string) => this.#peerName(id) ?? id;
    this.#arrivals = new Arrivals({
      ...{ ...options, share, peerName, released, tell: () => this.#tell() },
      processor: this.#processor,
    });
    this.#departures = new Departures({ ...options, released });
    options.store.changed = () => this.#tell();
  }

  #peerName(id: string): string | null {
    try {
      return this.#options.peer(id).name;
    } catch {
      return null;
    }
  }

  /** Moves that are not settled, oldest first. */
  list(): UnsettledMove[] {
    const { store } = this.#options;
    const leaving = store.departures().flatMap((it) => {
      const state = stateOfDeparture(it);
      return state === null || this.#underWay.has(it.move)
        ? []
        : [this.#view(it, { direction: "leaving", state })];
    });
    const coming = store.arrivals().flatMap((it) => {
      const state = STATE_OF_ARRIVAL[it.state];
      return state === null || (state === "unknown" && this.#arrivals.isHandingOver(it.move))
        ? []
        : [this.#view(it, { direction: "coming", state })];
    });
    return [...leaving, ...coming].sort((a, b) => a.id < b.id ? -1 : 1);
  }

  #view(
    { move, guest, name, peer }: Departure | Arrival,
    rest: Pick<UnsettledMove, "direction" | "state">,
  ): UnsettledMove {
    const peerName = this.#peerName(peer);
    return { id: move, guest, guestName: name, peer, peerName, ...rest };
  }

  #tell() {
    if (this.#released.signal.aborted) return;
    const data = this.list();
    const text = JSON.stringify(data);
    if (text === this.#told) return;
    this.#told = text;
    this.#options.events.publish({ name: "moves", data });
  }

  /** Somebody says whose a guest is, as the other host never will. */
  async resolve(move: string, { runs, confirm }: z.output<typeof ResolveMove>): Promise<void> {
    const { store, tasks } = this.#options;
    const departure = store.departure(move);
    const arrival = store.arrival(move);
    const found = departure ?? arrival;
    if (found === null) throw problem("not_found", `Cannot find a move with the id "${move}"`);
    tasks.refuseBusy({ id: found.guest, name: found.name }, "Cannot settle the move of");
    if (confirm !== found.name) {
      throw problem(
        "invalid_body",
        `Cannot settle the move: the guest is not called "${confirm}"`,
        {
          fields: [{ path: "confirm", message: `must be the guest's name, "${found.name}"` }],
        },
      );
    }
    if (departure !== null) await this.#departures.resolve(departure, runs);
    else await this.#arrivals.resolve(arrival!, runs);
    this.#tell();
  }

  /** Takes up what an earlier supervisor began; before any guest is started. */
  async adopt(): Promise<void> {
    await this.#arrivals.adopt();
    this.#departures.adopt();
  }

  /** Begins to move a guest to another host. */
  begin(guest: string, settings: z.output<typeof MoveGuest>): Task {
    const { ground, tasks } = this.#options;
    const life = ground.life(guest);
    const { id, name } = life.record;
    const peer = this.#options.peer(settings.peer);
    tasks.refuseBusy({ id, name }, "Cannot move");
    const reason = whyNot("move", life.phase);
    if (reason !== null) throw problem("wrong_state", reason);
    ground.claims.refuseMove(life.record);
    const start = { kind: "move" as const, guest: { id, name }, detail: peer.name };
    return tasks.begin(start, (work) => this.#move({ life, peer, settings, work }));
  }

  async #move(
    { life, peer, settings, work }: Pick<DepartureOptions, "life" | "peer" | "settings" | "work">,
  ): Promise<void> {
    const move = ulid();
    this.#underWay.set(move, peer.id);
    try {
      await this.#send(move, { life, peer, settings, work });
    } finally {
      this.#underWay.delete(move);
      this.#tell();
    }
  }

  async #send(
    move: string,
    { life, peer, settings, work }: Pick<DepartureOptions, "life" | "peer" | "settings" | "work">,
  ): Promise<void> {
    const { ground, store, log } = this.#options;
    const { id, name } = life.record;
    let letGo = ground.claims.hold(id, { reason: `it moves to "${peer.name}"` });
    let end: DepartureEnd;
    try {
      end = await depart({
        ...{ move, life, peer, settings, ground, store, work, processor: this.#processor },
        dial: () => this.#options.dial(peer),
        tracking: this.#options.tracking ??
          ((process) => new VmmDiskTracking(process.controlSocket)),
        giving: () => {
          letGo = ground.claims.hold(id, { reason: reasonGiven(peer.name), keepsOff: true });
        },
        released: this.#released.signal,
      });
    } catch (error) {
      letGo();
      if (!this.#released.signal.aborted) {
        // The other host may have all of it, and wait for a word.
        this.#departures.settle(move).catch((error) =>
          log("warn", "a move is not settled", { guest: name, error: messageOf(error) })
        );
      }
      throw saidBy(error, { peer, name });
    }
    try {
      await this.#settle(move, { peer, name, work, hasDied: end === "died" });
    } finally {
      // Who settles it has hold of it.
      letGo();
    }
  }

  /** The guest was given away, as far as is known: waits for the other host's word. */
  async #settle(
    move: string,
    { peer, name, work, hasDied }: {
      peer: PeerRecord;
      name: string;
      work: Work;
      hasDied: boolean;
    },
  ): Promise<void> {
    const settling = this.#departures.settle(move, { hasDied });
    settling.catch(() => {});
    const late = Promise.withResolvers<"late">();
    const timer = setTimeout(() => late.resolve("late"), SETTLE_MS);
    try {
      const end = await Promise.race([settling, late.promise]);
      if (end === "late") {
        throw new Error(
          `"${name}" was given to "${peer.name}", which has not said yet that it has it. ` +
            "It stays locked here until then",
        );
      }
      if (end === null) throw new Error(`"${name}" stays here: its VMM did not give it away`);
      if (end === "stopped") {
        work.phase("It has moved, but does not run: start it there", { final: true });
      } else work.phase("It runs there", { final: true });
    } finally {
      clearTimeout(timer);
    }
  }

  /** Serves what another host asks about a move. */
  async serve(channel: PeerChannel, peer: PeerRecord, call: MoveCall): Promise<void> {
    switch (call.op) {
      case "stores":
        await answer(channel, async () => ({
          seen: await sightsOf(call.stores, this.#options.ground),
        }));
        return await channel.end();
      case "move":
        return await this.#arrivals.serve(channel, peer, call);
      case "memory":
        return await this.#arrivals.serveMemory(channel, peer, call.move);
      case "settle":
        await answer(channel, async () => ({ state: await this.#arrivals.settle(peer, call) }));
        return await channel.end();
      case "heard":
        await answer(channel, () => this.#arrivals.heard(peer, call.move));
        return await channel.end();
    }
  }

  /** Throws where it is not known yet whose a guest is, this host's or that one's. */
  refuseForgetting({ id, name }: PeerRecord): void {
    const isUnderWay = [...this.#underWay.values()].includes(id);
    if (!isUnderWay && !this.#arrivals.awaits(id) && !this.#departures.awaits(id)) return;
    throw problem(
      "wrong_state",
      `Cannot forget "${name}": a guest is on its way between the two hosts`,
    );
  }

  /** Nobody looks after moves any more; the next supervisor takes them up. */
  close(): void {
    this.#released.abort(new Error("The supervisor stops"));
  }

  async settled(): Promise<void> {
    await this.#arrivals.settled();
    await this.#departures.closed();
  }
}

/** What is told of an arrival; null where there is nothing to tell. */
const STATE_OF_ARRIVAL: Readonly<Record<ArrivalState, UnsettledMove["state"] | null>> = {
  ...{ sealed: "unknown", claimed: null, lost: "said", dropped: "said", aside: "aside" },
};

function stateOfDeparture(departure: Departure): UnsettledMove["state"] | null {
  if (departure.state === "aside") return "aside";
  if (departure.isSaid) return "said";
  return isOpen(departure) ? "unknown" : null;
}

/** Whose words they are. */
function saidBy(error: unknown, { peer, name }: { peer: PeerRecord; name: string }): Error {
  if (!(error instanceof PeerRefusal)) return error as Error;
  return new Error(`"${peer.name}" does not take "${name}": ${error.message}`, { cause: error });
}
