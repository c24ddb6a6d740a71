/**
 * Moves whose end is not known to both hosts yet: what must survive a power cut, so that a guest is
 * never run by two hosts, nor by none that could.
 *
 * @module
 */
import { type Database, transaction } from "./database.ts";
import { type GuestRecord, GuestStore } from "./guests.ts";
import { type SnapshotRecord, SnapshotStore } from "./snapshots.ts";

/**
 * - `begun`: the other host may keep the guest as one that is to come; it is this host's
 * - `kept`: it stays here for good, which the other host has to hear
 * - `giving`: its VMM was told to give it away, and what came of that is not known yet
 * - `given`: it is the other host's for good, which has to say that it has it
 */
export type DepartureState = "begun" | "kept" | "giving" | "given";

/** A guest that leaves this host, or was to. */
export interface Departure {
  move: string;
  guest: string;
  peer: string;
  state: DepartureState;
}

/**
 * - `sealed`: all of the guest is here; whose it is, the other host says, or the VMM that runs it
 * - `claimed`: it is this host's, which the other host may ask for once more
 */
export type ArrivalState = "sealed" | "claimed";

/** A guest that comes to this host. */
export interface Arrival {
  move: string;
  guest: string;
  peer: string;
  state: ArrivalState;
}

/** How long it is remembered that a guest came, for a host that has not heard it: milliseconds. */
const REMEMBERED_MS = 90 * 24 * 3600 * 1000;

/** The tables of departures and arrivals. */
export class MoveStore {
  readonly #database: Database;
  readonly #guests: GuestStore;
  readonly #snapshots: SnapshotStore;

  constructor(database: Database) {
    this.#database = database;
    this.#guests = new GuestStore(database);
    this.#snapshots = new SnapshotStore(database);
    this.#database.prepare("DELETE FROM arrivals WHERE state = 'claimed' AND at < ?")
      .run(Date.now() - REMEMBERED_MS);
  }

  departures(): Departure[] {
    return this.#database.prepare("SELECT * FROM departures ORDER BY move").all().map((row) => ({
      ...ends(row),
      state: String(row.state) as DepartureState,
    }));
  }

  begin(departure: Omit<Departure, "state">): void {
    const { move, guest, peer } = departure;
    this.#database.prepare("INSERT INTO departures VALUES (?, ?, ?, 'begun')")
      .run(move, guest, peer);
  }

  setDeparture(move: string, state: DepartureState): void {
    this.#database.prepare("UPDATE departures SET state = ? WHERE move = ?").run(state, move);
  }

  /** Both hosts know how the move ended. */
  endDeparture(move: string): void {
    this.#database.prepare("DELETE FROM departures WHERE move = ?").run(move);
  }

  arrivals(): Arrival[] {
    return this.#database.prepare("SELECT * FROM arrivals ORDER BY move").all().map((row) => ({
      ...ends(row),
      state: String(row.state) as ArrivalState,
    }));
  }

  arrival(move: string): Arrival | null {
    return this.arrivals().find((it) => it.move === move) ?? null;
  }

  /**
   * Keeps a guest that is not this host's yet, with its snapshots, each after its parent: nobody sees it, and
   * its name and addresses are taken.
   */
  seal(
    arrival: Omit<Arrival, "state">,
    record: GuestRecord,
    { snapshots = [], current = null }: {
      snapshots?: readonly SnapshotRecord[];
      /** The one that the guest comes from. */
      current?: string | null;
    } = {},
  ): void {
    const { move, guest, peer } = arrival;
    transaction(this.#database, () => {
      this.#guests.put(record);
      this.#snapshots.addAll(guest, snapshots, { current });
      this.#database.prepare("INSERT INTO arrivals VALUES (?, ?, ?, 'sealed', ?)")
        .run(move, guest, peer, Date.now());
    });
  }

  /** It is this host's. */
  claim(move: string): void {
    this.#database.prepare("UPDATE arrivals SET state = 'claimed' WHERE move = ?").run(move);
  }

  /** It is not, and nothing is kept of it. */
  drop({ move, guest }: Pick<Arrival, "move" | "guest">): void {
    transaction(this.#database, () => {
      this.#guests.delete(guest);
      this.#database.prepare("DELETE FROM arrivals WHERE move = ?").run(move);
    });
  }

  /** The other host has heard it. */
  forgetArrival(move: string): void {
    this.#database.prepare("DELETE FROM arrivals WHERE move = ? AND state = 'claimed'").run(move);
  }
}

function ends(row: Record<string, unknown>) {
  return { move: String(row.move), guest: String(row.guest), peer: String(row.peer) };
}
