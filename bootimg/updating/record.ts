/**
 * What the host remembers of its updates, in a file on the data partition: which one is under way, how
 * the last one ended, and what can be gone back to. Which system starts is not in it: that is the boot
 * loader's state alone.
 *
 * @module
 */
import * as z from "zod";
import {
  LastUpdate,
  SystemChoice,
  UPDATE_OUTCOMES,
} from "../../hypervisor/supervisor/api/host_update.ts";
import { dirname, writeFileDurably } from "../../hypervisor/supervisor/durable.ts";
import type { BootState, SystemName } from "../slots/boot_state.ts";

/** What was begun, and has not come to its end. */
export const Pending = z.strictObject({
  kind: z.enum(["update", "undo"]),
  from: SystemChoice.nullable(),
  to: SystemChoice,
  /** Whether the newer system's process 1 has run. */
  began: z.boolean(),
  /** What the newer system knew of its failing. */
  why: z.string().max(1000).nullable(),
});

export const UpdateRecord = z.strictObject({
  /** The version of what came with the image, once it has run. */
  image: z.string().max(64).nullable(),
  pending: Pending.nullable(),
  /** What was running before the last update that was kept. */
  previous: SystemChoice.nullable(),
  last: LastUpdate.extend({ outcome: z.enum(UPDATE_OUTCOMES) }).nullable(),
});
export type UpdateRecord = z.output<typeof UpdateRecord>;

/** Of a host that never had an update. */
export const NO_RECORD: UpdateRecord = { image: null, pending: null, previous: null, last: null };

const MOST_BYTES = 16 * 1024;

/** Reads the record; what is damaged counts as not there, as no start depends on it. */
export function parseRecord(text: string): UpdateRecord {
  if (text.length > MOST_BYTES) return NO_RECORD;
  try {
    const result = UpdateRecord.safeParse(JSON.parse(text));
    return result.success ? result.data : NO_RECORD;
  } catch {
    return NO_RECORD;
  }
}

/** Where the record is kept; null keeps it in memory alone. */
export class RecordFile {
  readonly #path: string | null;
  #record: UpdateRecord;

  constructor(path: string | null) {
    this.#path = path;
    this.#record = path === null ? NO_RECORD : readRecord(path);
  }

  get value(): UpdateRecord {
    return this.#record;
  }

  /** Returns once the change is on the disk. */
  change(part: Partial<UpdateRecord>): void {
    const record = { ...this.#record, ...part };
    if (this.#path !== null) {
      Deno.mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
      writeFileDurably(this.#path, JSON.stringify(record, null, 2) + "\n");
    }
    this.#record = record;
  }
}

function readRecord(path: string): UpdateRecord {
  try {
    return parseRecord(Deno.readTextFileSync(path));
  } catch {
    return NO_RECORD;
  }
}

/** What is running, as a start finds it. */
export interface Start {
  system: SystemName | null;
  version: string;
  state: BootState;
  /** ISO 8601, UTC. */
  at: string;
}

/** What the record says once a start is taken into account: how what was begun has ended, if it has. */
export function reconcile(record: UpdateRecord, start: Start): UpdateRecord {
  const { system, version, state, at } = start;
  const known = system === "image" ? { ...record, image: version } : record;
  const { pending } = record;
  if (pending === null) return known;
  const { from, to } = pending;
  const ended = (outcome: "kept" | "fell back" | "undone", why: string | null) => ({
    ...known,
    pending: null,
    last: { at, from: from?.version ?? null, to: to.version, outcome, why },
  });
  if (pending.kind === "undo") {
    if (system === to.system) return { ...ended("undone", null), previous: null };
    // Nobody has restarted the host by the new word, or the power went before it was given.
    return state.good === to.system ? known : { ...known, pending: null };
  }
  if (state.try === to.system) return known;
  if (system === to.system && state.good === to.system) {
    return { ...ended("kept", null), previous: from };
  }
  if (system === to.system && state.tried === to.system) {
    return { ...known, pending: { ...pending, began: true } };
  }
  return ended("fell back", pending.why ?? whyFallen(pending.began, state.tried === to.system));
}

function whyFallen(began: boolean, wasTried: boolean): string {
  if (!wasTried) return "It was not tried: the power went before it was ready";
  return began
    ? "It started, and then crashed, hung, was restarted or lost its power before it had proved itself"
    : "It did not start: its file is damaged, or its kernel or its process 1 failed early";
}
