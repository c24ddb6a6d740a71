/**
 * The table of guests' snapshots, and what a guest as it is now has to do with them.
 *
 * @module
 */
import {
  CloudInit,
  CpuSettings,
  DiskSettings,
  MemorySettings,
  NetSettings,
} from "../api/schemas.ts";
import { problem } from "../problem.ts";
import { type Database, transaction } from "./database.ts";
import { type GuestRecord, GuestStore } from "./guests.ts";
import { isSave } from "./saves.ts";

export interface SnapshotRecord {
  id: string;
  guest: string;
  name: string;
  description: string;
  parent: string | null;
  template: boolean;
  frozen: boolean;
  memoryBytes: number;
  diskBytes: number;
  pauseMs: number | null;
  createdAt: string;
  /** What the guest was at that instant; its disks' files lie beside the snapshot's memory. */
  record: GuestRecord;
  /** What it ran with, as `Run` writes it down; null where there is no memory to go on from. */
  run: unknown;
}

/** Where a guest as it is now stands among its snapshots. */
export interface Standing {
  /** The one that it comes from. */
  current: string | null;
  /** The one whose memory its next start goes on from, or what was saved as the host ended (saves.ts). */
  resumesFrom: string | null;
}

type Row = Record<string, unknown>;

/** A guest as a version of this one or before wrote it; what that did not know of has its default. */
function readGuest(text: unknown): GuestRecord {
  const guest = JSON.parse(String(text));
  const settings = <T>(schema: { strip(): { parse(value: unknown): T } }, value: T) =>
    schema.strip().parse(value);
  return {
    ...guest,
    cpu: settings(CpuSettings, guest.cpu),
    memory: settings(MemorySettings, guest.memory),
    cloudInit: CloudInit.nullable().default(null).parse(guest.cloudInit),
    atShutdown: guest.atShutdown ?? null,
    startOrder: guest.startOrder ?? null,
    disks: guest.disks.map((disk: GuestRecord["disks"][number]) => ({
      ...disk,
      store: disk.store ?? null,
      ...settings(DiskSettings, disk),
    })),
    nets: guest.nets.map((net: GuestRecord["nets"][number]) => ({
      ...net,
      ...settings(NetSettings, net),
    })),
  };
}

function fromRow(row: Row): SnapshotRecord {
  return {
    id: String(row.id),
    guest: String(row.guest),
    name: String(row.name),
    description: String(row.description),
    parent: row.parent as string | null,
    template: row.template === 1,
    frozen: row.frozen === 1,
    memoryBytes: Number(row.memory_bytes),
    diskBytes: Number(row.disk_bytes),
    pauseMs: row.pause_ms as number | null,
    createdAt: String(row.created_at),
    record: readGuest(row.record),
    run: row.run === null ? null : JSON.parse(String(row.run)),
  };
}

export class SnapshotStore {
  readonly #database: Database;
  readonly #guests: GuestStore;

  constructor(database: Database) {
    this.#database = database;
    this.#guests = new GuestStore(database);
  }

  /** A guest's, oldest first. */
  list(guest: string): SnapshotRecord[] {
    return this.#database.prepare("SELECT * FROM snapshots WHERE guest = ? ORDER BY created_at, id")
      .all(guest).map(fromRow);
  }

  /** All that guests are to be made of, by name. */
  templates(): SnapshotRecord[] {
    return this.#database.prepare("SELECT * FROM snapshots WHERE template = 1 ORDER BY name, id")
      .all().map(fromRow);
  }

  /** The one of a guest that has the id; throws where there is none. */
  get(guest: string, id: string): SnapshotRecord {
    const row = this.#database.prepare("SELECT * FROM snapshots WHERE id = ? AND guest = ?")
      .get(id, guest);
    if (row === undefined) {
      throw problem("not_found", `Cannot find a snapshot with the id "${id}" of this guest`);
    }
    return fromRow(row);
  }

  /** Adds one, which the guest comes from from then on: both or, where it throws, neither. */
  add(snapshot: SnapshotRecord): void {
    this.addAll(snapshot.guest, [snapshot], { current: snapshot.id });
  }

  /** Adds all, each after its parent, and tells from which the guest comes: all of it or nothing. */
  addAll(
    guest: string,
    snapshots: readonly SnapshotRecord[],
    { current }: Pick<Standing, "current">,
  ): void {
    transaction(this.#database, () => {
      for (const snapshot of snapshots) {
        this.refuseTakenName(guest, snapshot.name);
        this.#insert(snapshot);
      }
      this.#database.prepare("UPDATE guests SET current_snapshot = ? WHERE id = ?")
        .run(current, guest);
    });
  }

  #insert(snapshot: SnapshotRecord) {
    this.#database.prepare(
      "INSERT INTO snapshots VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    ).run(
      snapshot.id,
      snapshot.guest,
      snapshot.name,
      snapshot.description,
      snapshot.parent,
      Number(snapshot.template),
      snapshot.memoryBytes,
      snapshot.diskBytes,
      snapshot.pauseMs,
      snapshot.createdAt,
      JSON.stringify(snapshot.record),
      snapshot.run === null ? null : JSON.stringify(snapshot.run),
      Number(snapshot.frozen),
    );
  }

  update(
    { id, guest }: SnapshotRecord,
    change: { name: string; description: string; template: boolean },
  ): void {
    this.refuseTakenName(guest, change.name, id);
    this.#database.prepare(
      "UPDATE snapshots SET name = ?, description = ?, template = ? WHERE id = ?",
    ).run(change.name, change.description, Number(change.template), id);
  }

  /** What came after it comes after the one before it then. */
  delete({ id, parent }: SnapshotRecord): void {
    transaction(this.#database, () => {
      this.#database.prepare("UPDATE snapshots SET parent = ? WHERE parent = ?").run(parent, id);
      this.#database.prepare("UPDATE guests SET current_snapshot = ? WHERE current_snapshot = ?")
        .run(parent, id);
      this.#database.prepare("DELETE FROM snapshots WHERE id = ?").run(id);
    });
  }

  standing(guest: string): Standing {
    const row = this.#database.prepare(
      "SELECT current_snapshot, resumes_from FROM guests WHERE id = ?",
    ).get(guest);
    const saved = this.#database.prepare("SELECT id FROM saves WHERE guest = ? AND is_next = 1")
      .get(guest);
    return {
      current: (row?.current_snapshot ?? null) as string | null,
      resumesFrom: (row?.resumes_from ?? saved?.id ?? null) as string | null,
    };
  }

  /** Returns once that survives a power cut; also for what was saved as the host ended. */
  setResumesFrom(guest: string, id: string | null): void {
    transaction(this.#database, () => {
      this.#database.prepare("UPDATE saves SET is_next = (id IS ?) WHERE guest = ?").run(id, guest);
      const snapshot = id !== null && isSave(id) ? null : id;
      this.#database.prepare("UPDATE guests SET resumes_from = ? WHERE id = ?").run(
        snapshot,
        guest,
      );
    });
  }

  /** Makes a guest what it was: what is kept of it and where it stands change together or not at all. */
  revert(record: GuestRecord, standing: Standing): void {
    transaction(this.#database, () => {
      this.#guests.put(record);
      this.#database.prepare(
        "UPDATE guests SET current_snapshot = ? WHERE id = ?",
      ).run(standing.current, record.id);
      this.setResumesFrom(record.id, standing.resumesFrom);
    });
  }

  /** Throws where another than `id` of the guest's has the name. */
  refuseTakenName(guest: string, name: string, id?: string): void {
    const other = this.#database.prepare("SELECT id FROM snapshots WHERE guest = ? AND name = ?")
      .get(guest, name);
    if (other === undefined || other.id === id) return;
    throw problem(
      "name_taken",
      `Cannot name a snapshot "${name}": another of the guest's has this name`,
      { fields: [{ path: "name", message: "another snapshot of this guest has this name" }] },
    );
  }

  /** Names of guests whose snapshots boot from an image. */
  usersOf(kind: "kernel" | "initrd", image: string): string[] {
    const field = kind === "kernel" ? "$.kernel" : "$.initrd";
    return this.#database.prepare(
      `SELECT DISTINCT guests.name AS name FROM snapshots JOIN guests ON guests.id = snapshots.guest
       WHERE json_extract(snapshots.record, ?) = ? ORDER BY guests.name`,
    ).all(field, image).map(({ name }) => String(name));
  }
}
