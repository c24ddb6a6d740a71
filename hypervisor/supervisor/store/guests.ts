/**
 * What is kept of guests across power cuts: what they are made of, not whether they run.
 *
 * @module
 */
import { problem } from "../problem.ts";
import type { Database } from "./database.ts";

export interface GuestRecord {
  id: string;
  name: string;
  cpus: number;
  memoryMiB: number;
  kernel: string;
  initrd: string | null;
  cmdline: string;
  diskMiB: number | null;
  diskImage: string | null;
  network: boolean;
  mac: string;
  autostart: boolean;
  createdAt: string;
  /** Why the last start or run ended in an error. */
  error: string | null;
}

const COLUMNS: Record<keyof GuestRecord, string> = {
  id: "id",
  name: "name",
  cpus: "cpus",
  memoryMiB: "memory_mib",
  kernel: "kernel",
  initrd: "initrd",
  cmdline: "cmdline",
  diskMiB: "disk_mib",
  diskImage: "disk_image",
  network: "network",
  mac: "mac",
  autostart: "autostart",
  createdAt: "created_at",
  error: "error",
};
const KEYS = Object.keys(COLUMNS) as (keyof GuestRecord)[];

type Cell = string | number | null;

function toCells(record: GuestRecord): Record<string, Cell> {
  return Object.fromEntries(KEYS.map((key) => {
    const value = record[key];
    return [key, typeof value === "boolean" ? Number(value) : value];
  }));
}

function fromRow(row: Record<string, unknown>): GuestRecord {
  const record = Object.fromEntries(KEYS.map((key) => [key, row[COLUMNS[key]]]));
  return {
    ...record,
    network: record.network === 1,
    autostart: record.autostart === 1,
  } as GuestRecord;
}

/** The table of guests. */
export class GuestStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  list(): GuestRecord[] {
    return this.#database.prepare("SELECT * FROM guests ORDER BY name").all().map(fromRow);
  }

  get(id: string): GuestRecord | null {
    const row = this.#database.prepare("SELECT * FROM guests WHERE id = ?").get(id);
    return row === undefined ? null : fromRow(row);
  }

  findByName(name: string): GuestRecord | null {
    const row = this.#database.prepare("SELECT * FROM guests WHERE name = ?").get(name);
    return row === undefined ? null : fromRow(row);
  }

  /** Adds a guest or replaces what is kept of it. */
  put(record: GuestRecord): void {
    const names = KEYS.map((key) => COLUMNS[key]);
    const values = KEYS.map((key) => `:${key}`);
    const changes = names.filter((name) => name !== "id").map((name) =>
      `${name} = excluded.${name}`
    );
    this.refuseTakenName(record.name, record.id);
    this.#database.prepare(
      `INSERT INTO guests (${names.join(", ")}) VALUES (${values.join(", ")})
       ON CONFLICT (id) DO UPDATE SET ${changes.join(", ")}`,
    ).run(toCells(record));
  }

  delete(id: string): void {
    this.#database.prepare("DELETE FROM guests WHERE id = ?").run(id);
  }

  setError(id: string, error: string | null): void {
    this.#database.prepare("UPDATE guests SET error = ? WHERE id = ?").run(error, id);
  }

  /** Throws where another guest than `id` has the name. */
  refuseTakenName(name: string, id: string): void {
    const other = this.findByName(name);
    if (other !== null && other.id !== id) {
      throw problem("name_taken", `Cannot name a guest "${name}": another guest has this name`);
    }
  }
}
