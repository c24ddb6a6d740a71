/**
 * Long work, mostly on guests: snapshots, forks, moves and upgrades, which go on when whoever asked has
 * left.
 *
 * @module
 */
import * as z from "zod";
import { TASK_KINDS, TASK_STATES } from "./limits.ts";
import { GuestName, Id } from "./names.ts";

export const TaskKind = z.enum(TASK_KINDS);

export const Task = z.strictObject({
  id: Id,
  kind: TaskKind,
  /** The guest that it is about, which may be gone by its end; null where it is about the host. */
  guest: Id.nullable(),
  guestName: GuestName.nullable(),
  /** The other thing that it is about, for a person: a snapshot's name, a host's, how many forks. */
  detail: z.string(),
  state: z.enum(TASK_STATES),
  /** What is being done, for a person, such as "Copying memory". */
  phase: z.string(),
  /** Bytes, or steps where it copies none; `totalAmount` is 0 while it is not known, and may change. */
  doneAmount: z.number().min(0),
  totalAmount: z.number().min(0),
  unit: z.enum(["bytes", "steps"]),
  canCancel: z.boolean(),
  /** How long the guest stood still, milliseconds; null where it did not, or not yet. */
  pauseMs: z.number().nullable(),
  /**
   * How much of the guest's memory has gone to another host, and in how many bytes: fewer where it was
   * compressed. Null where none has, or its VMM does not tell.
   */
  sent: z.strictObject({ memoryBytes: z.number().min(0), wireBytes: z.number().min(0) }).nullable(),
  /** Guests that it has made. */
  made: z.array(Id),
  /** Why it failed, for a person; else null. */
  error: z.string().nullable(),
  /** ISO 8601, UTC. */
  startedAt: z.string(),
  endedAt: z.string().nullable(),
});

/** What a chart of a task that copies memory shows. */
export const TaskPoint = z.strictObject({
  /** Since the task began, milliseconds. */
  atMs: z.number(),
  /** Of memory, at most. */
  remainingBytes: z.number(),
  /** What goes through, and what the guest changes meanwhile; bytes a second. */
  bytesPerSecond: z.number(),
  changedBytesPerSecond: z.number(),
});

export type TaskKind = z.output<typeof TaskKind>;
export type Task = z.output<typeof Task>;
export type TaskPoint = z.output<typeof TaskPoint>;
