/**
 * The tables about storage that other hosts see too: by what it is known again, and which files there go
 * unless a guest of this host has them.
 *
 * @module
 */
import { type Database, transaction } from "./database.ts";

/** A guest's file there. */
export interface SharedFile {
  /** The storage's name. */
  store: string;
  guest: string;
  /** In the guest's directory: `FILE` of a disk, or `snapshots/ID/NAME.img`. */
  path: string;
}

/** Files of snapshots are in here. */
export const SNAPSHOTS = "snapshots";

export class SharedFileStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** The token that storage of this name had; null where there was none. */
  token(name: string): string | null {
    const row = this.#database.prepare("SELECT token FROM stores WHERE name = ?").get(name);
    return row === undefined ? null : String(row.token);
  }

  /** Storage of this name is known by this token from now on; of what was doomed on another, nothing is here. */
  setToken(name: string, token: string): void {
    transaction(this.#database, () => {
      this.#database.prepare("DELETE FROM doomed_files WHERE store = ?").run(name);
      this.#database.prepare(
        "INSERT INTO stores VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET token = excluded.token",
      ).run(name, token);
    });
  }

  /** Whether a disk of any guest's is there, or a snapshot's. */
  isUsed(name: string): boolean {
    return this.#database.prepare(
      `SELECT 1 FROM disks WHERE store = :name
       UNION ALL
       SELECT 1 FROM snapshots, json_each(snapshots.record, '$.disks') AS disk
       WHERE json_extract(disk.value, '$.store') = :name
       LIMIT 1`,
    ).get({ name }) !== undefined;
  }

  /** The file goes, now or at the next start, unless a guest has it then. */
  doom({ store, guest, path }: SharedFile): void {
    this.#database.prepare("INSERT OR IGNORE INTO doomed_files VALUES (?, ?, ?)")
      .run(store, guest, path);
  }

  spare({ store, guest, path }: SharedFile): void {
    this.#database.prepare("DELETE FROM doomed_files WHERE store = ? AND guest = ? AND path = ?")
      .run(store, guest, path);
  }

  isDoomed({ store, guest, path }: SharedFile): boolean {
    return this.#database.prepare(
      "SELECT 1 FROM doomed_files WHERE store = ? AND guest = ? AND path = ?",
    ).get(store, guest, path) !== undefined;
  }

  /** Those of one guest. */
  doomedOf(guest: string): SharedFile[] {
    return this.#database.prepare("SELECT * FROM doomed_files WHERE guest = ? ORDER BY path")
      .all(guest).map(fileOf);
  }

  /** All of which it can be said: not those of guests that are about to leave, or have left, or may have. */
  doomed(): SharedFile[] {
    return this.#database.prepare(
      `SELECT * FROM doomed_files WHERE guest NOT IN (SELECT guest FROM departures)
       ORDER BY guest, path`,
    ).all().map(fileOf);
  }

  /** Whether a guest has the file, or a snapshot. */
  isKnown({ store, guest, path }: SharedFile): boolean {
    const [folder, snapshot] = path.split("/");
    const found = folder === SNAPSHOTS && snapshot !== undefined
      ? this.#database.prepare("SELECT 1 FROM snapshots WHERE guest = ? AND id = ?")
        .get(guest, snapshot)
      : this.#database.prepare("SELECT 1 FROM disks WHERE guest = ? AND store = ? AND file = ?")
        .get(guest, store, path);
    return found !== undefined;
  }

  /** Whether another host has a guest that is kept here, or may have it. */
  isForeign(guest: string): boolean {
    return this.#database.prepare(
      `SELECT 1 FROM departures WHERE guest = :guest
         AND (state IN ('giving', 'aside') OR (state = 'given' AND fingerprint IS NULL))
       UNION ALL
       SELECT 1 FROM arrivals WHERE guest = :guest AND state IN ('sealed', 'aside')
       LIMIT 1`,
    ).get({ guest }) !== undefined;
  }
}

function fileOf(row: Record<string, unknown>): SharedFile {
  return { store: String(row.store), guest: String(row.guest), path: String(row.path) };
}
