/**
 * The hosts that this one is paired with.
 *
 * @module
 */
import { type Database, transaction } from "./database.ts";

export interface PeerRecord {
  id: string;
  /** What it calls itself. */
  name: string;
  /** Where it listens for other hosts. */
  address: string;
  /** SHA-256 of its certificate, in hex. */
  fingerprint: string;
  /** PEM. */
  certificate: string;
  pairedAt: string;
}

function fromRow(row: Record<string, unknown>): PeerRecord {
  return {
    id: String(row.id),
    name: String(row.name),
    address: String(row.address),
    fingerprint: String(row.fingerprint),
    certificate: String(row.certificate),
    pairedAt: String(row.paired_at),
  };
}

/** The table of peers. */
export class PeerStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  list(): PeerRecord[] {
    return this.#database.prepare("SELECT * FROM peers ORDER BY name, id").all().map(fromRow);
  }

  get(id: string): PeerRecord | null {
    const row = this.#database.prepare("SELECT * FROM peers WHERE id = ?").get(id);
    return row === undefined ? null : fromRow(row);
  }

  byFingerprint(fingerprint: string): PeerRecord | null {
    const row = this.#database.prepare("SELECT * FROM peers WHERE fingerprint = ?").get(
      fingerprint,
    );
    return row === undefined ? null : fromRow(row);
  }

  /** Keeps a host. One that was paired before keeps its id, and has what is new of it. */
  put(peer: PeerRecord): PeerRecord {
    this.#database.prepare(
      `INSERT INTO peers VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT (fingerprint) DO UPDATE SET name = excluded.name, address = excluded.address,
         paired_at = excluded.paired_at`,
    ).run(peer.id, peer.name, peer.address, peer.fingerprint, peer.certificate, peer.pairedAt);
    const kept = this.byFingerprint(peer.fingerprint)!;
    // It may have been forgotten while it had something to hear.
    for (const table of ["departures", "arrivals"]) {
      this.#database.prepare(`UPDATE ${table} SET peer = ? WHERE fingerprint = ?`)
        .run(kept.id, kept.fingerprint);
    }
    return kept;
  }

  /** Forgets a host. What it has yet to hear of guests that stayed here, it hears once it is paired again. */
  delete(id: string): void {
    transaction(this.#database, () => {
      this.#database.prepare(
        `UPDATE departures SET fingerprint = (SELECT fingerprint FROM peers WHERE id = peer)
         WHERE peer = ? AND state IN ('begun', 'kept')`,
      ).run(id);
      this.#database.prepare("DELETE FROM peers WHERE id = ?").run(id);
    });
  }
}
