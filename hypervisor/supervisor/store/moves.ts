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
 * - `lost`: somebody said that the other host is gone, and the guest this host's; if it is not gone, it has
 *   to hear that
 * - `aside`: the other host has the guest, where somebody said that this one was gone; what is here of it
 *   does not run any more
 */
export type DepartureState = "begun" | "kept" | "giving" | "given" | "lost" | "aside";

/** A guest that leaves this host, or was to. */
export interface Departure {
  move: string;
  guest: string;
  /** What the guest was called. */
  name: string;
  peer: string;
  state: DepartureState;
  /** Whether somebody said how it ended, so that the other host need not be waited for. */
  isSaid: boolean;
}

/**
 * - `sealed`: all of the guest is here; whose it is, the other host says, or the VMM that runs it
 * - `claimed`: it is this host's, which the other host may ask for once more
 * - `lost`: somebody said that the other host is gone, and the guest this host's
 * - `dropped`: somebody said that it is the other host's, and nothing is left of it here
 * - `aside`: the other host has it, where somebody said that this one was gone; what is here of it does not
 *   run any more
 */
export type ArrivalState = "sealed" | "claimed" | "lost" | "dropped" | "aside";

/** A guest that comes to this host. */
export interface Arrival {
  move: string;
  guest: string;
  name: string;
  peer: string;
  state: ArrivalState;
  /** Whether somebody said whose it is, in the place of the other host. */
  isSaid: boolean;
  /** What the host is called to which it went on from here, the last time that it did. */
  wentTo: string | null;
}

/** How long it is remembered that a guest came, for a host that has not heard it: milliseconds. */
const REMEMBERED_MS = 90 * 24 * 3600 * 1000;

/** The tables of departures and arrivals. */
export class MoveStore {
  readonly #database: Database;
  readonly #guests: GuestStore;
  readonly #snapshots: SnapshotStore;
  /** Called after each change. */
  changed: () => void = () => {};

  constructor(database: Database) {
    this.#database = database;
    this.#guests = new GuestStore(database);
    this.#snapshots = new SnapshotStore(database);
    // As long as the guest is here, the other host may say that it should not be.
    this.#database.prepare(
      `DELETE FROM arrivals WHERE state IN ('claimed', 'dropped') AND at < ?
       AND guest NOT IN (SELECT id FROM guests)`,
    ).run(Date.now() - REMEMBERED_MS);
  }

  #change(sql: string, ...values: (string | number | null)[]) {
    this.#database.prepare(sql).run(...values);
    this.changed();
  }

  departures(): Departure[] {
    return this.#database.prepare("SELECT * FROM departures ORDER BY move").all().map((row) => {
      const state = String(row.state) as DepartureState;
      // Of those, a fingerprint says only that the other host was forgotten.
      const isOwn = state === "begun" || state === "kept";
      return { ...ends(row), state, isSaid: !isOwn && row.fingerprint !== null };
    });
  }

  departure(move: string): Departure | null {
    return this.departures().find((it) => it.move === move) ?? null;
  }

  begin({ move, guest, name, peer }: Omit<Departure, "state" | "isSaid">): void {
    this.#change(
      "INSERT INTO departures VALUES (?, ?, ?, 'begun', ?, NULL)",
      ...[move, guest, peer, name],
    );
  }

  setDeparture(move: string, state: DepartureState): void {
    this.#change("UPDATE departures SET state = ? WHERE move = ?", state, move);
  }

  /** Somebody said how a departure ended: the other host may be forgotten then. */
  sayDeparture(move: string, state: "lost" | "given"): void {
    this.#change(
      `UPDATE departures SET state = ?,
         fingerprint = coalesce((SELECT fingerprint FROM peers WHERE id = peer), '') WHERE move = ?`,
      ...[state, move],
    );
  }

  /** Both hosts know how the move ended. */
  endDeparture(move: string): void {
    this.#change("DELETE FROM departures WHERE move = ?", move);
  }

  arrivals(): Arrival[] {
    return this.#database.prepare("SELECT * FROM arrivals ORDER BY move").all().map((row) => ({
      ...ends(row),
      state: String(row.state) as ArrivalState,
      isSaid: row.fingerprint !== null,
      wentTo: row.went_to === null ? null : String(row.went_to),
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
    { move, guest, peer }: Pick<Arrival, "move" | "guest" | "peer">,
    record: GuestRecord,
    { snapshots = [], current = null }: {
      snapshots?: readonly SnapshotRecord[];
      /** The one that the guest comes from. */
      current?: string | null;
    } = {},
  ): void {
    transaction(this.#database, () => {
      // One that went from here, as is known by its coming back: it is not to leave once more.
      this.#database.prepare(
        "DELETE FROM departures WHERE guest = ? AND state = 'given' AND fingerprint IS NULL",
      ).run(guest);
      this.#guests.put(record);
      this.#snapshots.addAll(guest, snapshots, { current });
      this.#database.prepare("INSERT INTO arrivals VALUES (?, ?, ?, 'sealed', ?, ?, NULL, NULL)")
        .run(move, guest, peer, Date.now(), record.name);
    });
    this.changed();
  }

  /** It is this host's, as was said or because it runs here. */
  claim(move: string): void {
    this.#change(
      `UPDATE arrivals SET state = CASE WHEN fingerprint IS NULL THEN 'claimed' ELSE 'lost' END
       WHERE move = ?`,
      move,
    );
  }

  /** Somebody said that it is this host's, which has to do accordingly. */
  sayArrival(move: string): void {
    this.#change(
      `UPDATE arrivals
       SET fingerprint = coalesce((SELECT fingerprint FROM peers WHERE id = peer), '')
       WHERE move = ?`,
      move,
    );
  }

  /** A guest of this host's has gone on to another: who says later that it is its own has to hear that. */
  wentOn(guest: string, to: string): void {
    this.#change(
      "UPDATE arrivals SET went_to = ? WHERE guest = ? AND state IN ('claimed', 'lost')",
      ...[to, guest],
    );
  }

  /** It is the other host's after all, and what is here of it is set aside. */
  setAside(move: string): void {
    this.#change("UPDATE arrivals SET state = 'aside' WHERE move = ?", move);
  }

  /** It is not, and nothing is kept of it; with `isSaid`, by somebody, that this was so is. */
  drop(
    { move, guest }: Pick<Arrival, "move" | "guest">,
    { isSaid = false }: { isSaid?: boolean } = {},
  ): void {
    transaction(this.#database, () => {
      this.#guests.delete(guest);
      this.#database.prepare(
        isSaid
          ? `UPDATE arrivals SET state = 'dropped',
               fingerprint = coalesce((SELECT fingerprint FROM peers WHERE id = peer), '')
             WHERE move = ?`
          : "DELETE FROM arrivals WHERE move = ?",
      ).run(move);
    });
    this.changed();
  }

  /** The other host has heard it. */
  forgetArrival(move: string): void {
    this.#change(
      "DELETE FROM arrivals WHERE move = ? AND state IN ('claimed', 'lost', 'dropped')",
      move,
    );
  }
}

function ends(row: Record<string, unknown>) {
  return {
    move: String(row.move),
    guest: String(row.guest),
    name: String(row.name),
    peer: String(row.peer),
  };
}
