/**
 * The tables of guests' disks and network cards: rows that belong to a guest, in an order.
 *
 * @module
 */
import { DiskSettings, NetSettings } from "../api/schemas.ts";
import type { Database } from "./database.ts";

export interface DiskRecord extends DiskSettings {
  id: string;
  name: string;
  /** The name of its file in its guest's directory. */
  file: string;
  /** Storage that other hosts see too, on which that directory is; null for the host's own data partition. */
  store: string | null;
  sizeMiB: number;
  /** The disk image that it was made from. */
  image: string | null;
  /** By which the guest knows it, at most 20 characters; a copy of the disk keeps it. */
  serial: string;
}

export interface NetRecord extends NetSettings {
  id: string;
  mac: string;
}

/** The end of an id, which is random, is all that a serial number has room for. */
export function serialOf(id: string): string {
  return id.slice(-20);
}

type Row = Record<string, unknown>;

/** The settings of a row; what a version before this one did not know of has its default. */
function settings<T>(schema: { parse(value: unknown): T }, row: Row): T {
  return schema.parse(JSON.parse(String(row.settings)));
}

function rowsOf(database: Database, table: "disks" | "nets", guest: string): Row[] {
  return database.prepare(`SELECT * FROM ${table} WHERE guest = ? ORDER BY position`).all(guest);
}

export function listDisks(database: Database, guest: string): DiskRecord[] {
  return rowsOf(database, "disks", guest).map((row) => ({
    id: String(row.id),
    name: String(row.name),
    file: String(row.file),
    sizeMiB: Number(row.size_mib),
    image: row.image === null ? null : String(row.image),
    serial: String(row.serial),
    store: row.store === null ? null : String(row.store),
    ...settings(DiskSettings, row),
  }));
}

export function listNets(database: Database, guest: string): NetRecord[] {
  return rowsOf(database, "nets", guest).map((row) => ({
    id: String(row.id),
    mac: String(row.mac),
    ...settings(NetSettings, row),
  }));
}

/** Puts `disks` in the place of all that the guest had; within a transaction. */
export function putDisks(database: Database, guest: string, disks: readonly DiskRecord[]): void {
  database.prepare("DELETE FROM disks WHERE guest = ?").run(guest);
  const insert = database.prepare("INSERT INTO disks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  disks.forEach(({ id, name, file, sizeMiB, image, serial, store, ...settings }, position) =>
    insert.run(
      ...[id, guest, position, name, file, sizeMiB, image, JSON.stringify(settings), serial],
      store,
    )
  );
}

/** Puts `nets` in the place of all that the guest had; within a transaction. */
export function putNets(database: Database, guest: string, nets: readonly NetRecord[]): void {
  database.prepare("DELETE FROM nets WHERE guest = ?").run(guest);
  const insert = database.prepare("INSERT INTO nets VALUES (?, ?, ?, ?, ?)");
  nets.forEach(({ id, mac, ...settings }, position) =>
    insert.run(id, guest, position, mac, JSON.stringify(settings))
  );
}
