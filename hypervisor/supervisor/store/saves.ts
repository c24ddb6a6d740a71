/**
 * Guests that were saved as the host ended: what each ran with, and that its next start goes on from there.
 *
 * A save is good for once. From the moment that its guest goes on, or is made something else, the disks are
 * no longer those that belong to it: `SnapshotStore.setResumesFrom` then takes it back.
 *
 * @module
 */
import { type Database, transaction } from "./database.ts";

const PREFIX = "saved-";

/** What a guest goes on from that is no snapshot is called so. */
export function isSave(id: string): boolean {
  return id.startsWith(PREFIX);
}

export function saveName(ulid: string): string {
  return PREFIX + ulid;
}

/** The ULID in the name of a save. */
export function ulidOf(save: string): string {
  return save.slice(PREFIX.length);
}

export interface SaveRecord {
  guest: string;
  id: string;
  /** What it ran with, as `Run` writes it down. */
  run: unknown;
}

export class SaveStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** The guest's next start goes on from this one, and from nothing else; on return that survives a power cut. */
  put({ guest, id, run }: SaveRecord): void {
    transaction(this.#database, () => {
      this.#database.prepare(
        `INSERT INTO saves VALUES (?, ?, ?, 1)
         ON CONFLICT (guest) DO UPDATE SET id = excluded.id, run = excluded.run, is_next = 1`,
      ).run(guest, id, JSON.stringify(run));
      this.#database.prepare("UPDATE guests SET resumes_from = NULL WHERE id = ?").run(guest);
    });
  }

  /** The one that the guest's next start goes on from; null where there is none. */
  next(guest: string): SaveRecord | null {
    const row = this.#database.prepare("SELECT * FROM saves WHERE guest = ? AND is_next = 1")
      .get(guest);
    if (row === undefined) return null;
    return { guest, id: String(row.id), run: JSON.parse(String(row.run)) };
  }
}
