/**
 * What is kept of guests across power cuts: what they are made of, not whether they run.
 *
 * @module
 */
import {
  type AtShutdown,
  CloudInit,
  CpuSettings,
  MemorySettings,
  StartOrder,
} from "../api/schemas.ts";
import { problem } from "../problem.ts";
import { type Database, transaction } from "./database.ts";
import {
  type DiskRecord,
  listDisks,
  listNets,
  type NetRecord,
  putDisks,
  putNets,
} from "./devices.ts";

export type { DiskRecord, NetRecord } from "./devices.ts";

export interface GuestRecord {
  id: string;
  name: string;
  cpus: number;
  memoryMiB: number;
  cpu: CpuSettings;
  memory: MemorySettings;
  kernel: string;
  initrd: string | null;
  cmdline: string;
  disks: DiskRecord[];
  nets: NetRecord[];
  hotplugPorts: number;
  agent: boolean;
  /** What a disk for that tells its system; null for none. */
  cloudInit: CloudInit | null;
  autostart: boolean;
  /** What becomes of it when the host ends; null for what the host has for all. */
  atShutdown: AtShutdown | null;
  /** When the host starts it and ends it, beside others; null for last and first. */
  startOrder: StartOrder | null;
  createdAt: string;
  /** Why the last start or run ended in an error. */
  error: string | null;
}

/** What lies in the table of guests itself. */
type Own = Omit<GuestRecord, "disks" | "nets">;

const COLUMNS: Record<keyof Own, string> = {
  id: "id",
  name: "name",
  cpus: "cpus",
  memoryMiB: "memory_mib",
  cpu: "cpu",
  memory: "memory",
  kernel: "kernel",
  initrd: "initrd",
  cmdline: "cmdline",
  hotplugPorts: "hotplug_ports",
  agent: "agent",
  cloudInit: "cloud_init",
  autostart: "autostart",
  atShutdown: "at_shutdown",
  startOrder: "start_order",
  createdAt: "created_at",
  error: "error",
};
const KEYS = Object.keys(COLUMNS) as (keyof Own)[];

type Cell = string | number | null;

function toCell(value: Own[keyof Own]): Cell {
  if (typeof value === "boolean") return Number(value);
  return typeof value === "object" && value !== null ? JSON.stringify(value) : value;
}

function readStartOrder(cell: unknown): StartOrder | null {
  return cell === null ? null : StartOrder.parse(JSON.parse(String(cell)));
}

function readCloudInit(cell: unknown): CloudInit | null {
  return cell === null ? null : CloudInit.parse(JSON.parse(String(cell)));
}

function fromRow(row: Record<string, unknown>): Own {
  const record = Object.fromEntries(KEYS.map((key) => [key, row[COLUMNS[key]]]));
  return {
    ...record,
    cpu: CpuSettings.parse(JSON.parse(String(record.cpu))),
    memory: MemorySettings.parse(JSON.parse(String(record.memory))),
    agent: record.agent === 1,
    cloudInit: readCloudInit(record.cloudInit),
    autostart: record.autostart === 1,
    startOrder: readStartOrder(record.startOrder),
  } as Own;
}

/** The table of guests, with those of their devices. */
export class GuestStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Those of this host; with `arriving`, also those of which another host has yet to say so. */
  list(options: { arriving?: boolean } = {}): GuestRecord[] {
    const which = options.arriving
      ? ""
      : "WHERE id NOT IN (SELECT guest FROM arrivals WHERE state = 'sealed')";
    return this.#database.prepare(`SELECT * FROM guests ${which} ORDER BY name`).all()
      .map((row) => this.#whole(row));
  }

  get(id: string): GuestRecord | null {
    const row = this.#database.prepare("SELECT * FROM guests WHERE id = ?").get(id);
    return row === undefined ? null : this.#whole(row);
  }

  #whole(row: Record<string, unknown>): GuestRecord {
    const own = fromRow(row);
    return {
      ...own,
      disks: listDisks(this.#database, own.id),
      nets: listNets(this.#database, own.id),
    };
  }

  /** Adds a guest or replaces what is kept of it: all of it or, where it throws, nothing. */
  put(record: GuestRecord): void {
    const names = KEYS.map((key) => COLUMNS[key]);
    const values = KEYS.map((key) => `:${key}`);
    const changes = names.filter((name) => name !== "id").map((name) =>
      `${name} = excluded.${name}`
    );
    this.refuseTakenName(record.name, record.id);
    record.nets.forEach(({ mac, id }) => this.refuseTakenMac(mac, id));
    transaction(this.#database, () => {
      this.#database.prepare(
        `INSERT INTO guests (${names.join(", ")}) VALUES (${values.join(", ")})
         ON CONFLICT (id) DO UPDATE SET ${changes.join(", ")}`,
      ).run(Object.fromEntries(KEYS.map((key) => [key, toCell(record[key])])));
      putDisks(this.#database, record.id, record.disks);
      putNets(this.#database, record.id, record.nets);
    });
  }

  delete(id: string): void {
    transaction(this.#database, () => {
      this.#database.prepare("DELETE FROM guests WHERE id = ?").run(id);
      // One of this id that comes later is another.
      for (const table of ["departures", "arrivals"]) {
        this.#database.prepare(`DELETE FROM ${table} WHERE guest = ? AND state = 'aside'`).run(id);
      }
    });
  }

  setError(id: string, error: string | null): void {
    this.#database.prepare("UPDATE guests SET error = ? WHERE id = ?").run(error, id);
  }

  hasName(name: string): boolean {
    return this.#database.prepare("SELECT 1 FROM guests WHERE name = ?").get(name) !== undefined;
  }

  /** A guest that was told to be given away has been: see moves.ts. */
  setGiven(id: string): void {
    this.#database.prepare(
      "UPDATE departures SET state = 'given' WHERE guest = ? AND state = 'giving'",
    ).run(id);
  }

  /** Throws where another guest than `id` has the name. */
  refuseTakenName(name: string, id: string): void {
    const other = this.#database.prepare("SELECT id FROM guests WHERE name = ?").get(name);
    if (other !== undefined && other.id !== id) {
      throw problem("name_taken", `Cannot name a guest "${name}": another guest has this name`);
    }
  }

  /** Throws where another network card than `id` has the address. */
  refuseTakenMac(mac: string, id: string): void {
    const other = this.#database.prepare("SELECT id FROM nets WHERE mac = ?").get(mac);
    if (other !== undefined && other.id !== id) {
      throw problem("mac_taken", `Cannot use the address ${mac}: another network card has it`, {
        fields: [{ path: "mac", message: "another network card has it" }],
      });
    }
  }

  /** Throws where a disk or a network card of another guest has the id of one of these. */
  refuseTakenDevices(
    { name, disks, nets }: {
      name: string;
      disks: readonly { id: string }[];
      nets: readonly { id: string }[];
    },
  ): void {
    for (const [table, list] of [["disks", disks], ["nets", nets]] as const) {
      const find = this.#database.prepare(`SELECT 1 FROM ${table} WHERE id = ?`);
      if (list.every(({ id }) => find.get(id) === undefined)) continue;
      throw problem("name_taken", `Cannot take "${name}": this host has one of its ${table}`);
    }
  }
}
