/**
 * Bodies about snapshots of guests, and about guests made from them.
 *
 * @module
 */
import * as z from "zod";
import { FORK_NETWORKS, MOST_FORKS } from "./limits.ts";
import { GuestName, Id } from "./names.ts";

export const SnapshotName = z.string().trim().min(1).max(64)
  .regex(/^[^\p{C}]*$/u, "must not have control characters");
const Description = z.string().max(1000);

/** A guest at an instant, whole by itself: another can be deleted without it being touched. */
export const Snapshot = z.strictObject({
  id: Id,
  name: SnapshotName,
  description: Description,
  /** What the guest went on from before; null for the first, or where that was deleted with all before. */
  parent: Id.nullable(),
  /** Whether it has the guest's memory, so that it goes on in the middle of what it did. */
  memory: z.boolean(),
  /** Whether guests are to be made of it: it is then offered where a guest is created. */
  template: z.boolean(),
  /** Whether the guest's file systems were frozen for that instant, so that its disks are good by themselves. */
  frozen: z.boolean(),
  /** What its memory takes on the data partition, also of what it shares with others; bytes. */
  memoryBytes: z.number(),
  /** What of its disks had to be copied, as the file system could not share it; bytes. */
  diskBytes: z.number(),
  /**
   * What it has on the data partition that nothing else shares now: what deleting it gives back; bytes, and
   * null until that was looked up.
   */
  ownBytes: z.number().nullable(),
  /** How long the guest stood still for it, milliseconds; null where it did not run. */
  pauseMs: z.number().nullable(),
  createdAt: z.string(),
});

export const SnapshotTree = z.strictObject({
  guest: Id,
  /** Oldest first. */
  snapshots: z.array(Snapshot),
  /** The one that the guest as it is now comes from. */
  current: Id.nullable(),
  /** The one since which changes of the running guest's memory are tracked: the next writes those alone. */
  base: Id.nullable(),
});

export const SnapshotCreate = z.strictObject({
  name: SnapshotName,
  description: Description.default(""),
  /** Without, of a guest that runs, only disks are kept, as after a power cut. */
  memory: z.boolean().default(true),
  /**
   * Whether the guest's agent freezes file systems for the instant: with `true` there is no snapshot where
   * it does not. Left out, it is asked to for a snapshot without memory, and where it does not answer disks
   * are as after a power cut. With memory it is not: both are of one instant, and go on together. It is for
   * who wants the disks of such a snapshot by themselves, too. The memory is then of a guest whose file
   * systems are frozen, so whatever goes on from there needs that agent to thaw them.
   */
  freeze: z.boolean().optional(),
  /**
   * Has the next snapshot with memory write only what has changed of it by then, where it is taken of the
   * same run; this one is whole all the same, and so is that. Until then the guest pays for it: each page
   * that it writes to costs it an exit the first time, and its memory has no large pages.
   */
  incremental: z.boolean().default(false),
  template: z.boolean().default(false),
  /** Waits until the guest is up, before: its agent answers, or its serial port has said a text. */
  readiness: z.strictObject({
    agent: z.boolean().default(false),
    serial: z.string().min(1).max(200).nullable().default(null),
    withinSeconds: z.int().min(1).max(3600).default(300),
  }).nullable().default(null),
});

/** A snapshot that guests are to be made of, and whose it is. */
export const Template = z.strictObject({
  guest: z.strictObject({ id: Id, name: GuestName }),
  snapshot: Snapshot,
});

export const SnapshotUpdate = z.strictObject({
  name: SnapshotName,
  description: Description,
  template: z.boolean(),
}).partial();

export const SnapshotRevert = z.strictObject({
  /** Whether it runs afterwards; a snapshot without memory boots. Default: where it ran, or has memory. */
  start: z.boolean().optional(),
});

export const ForkCreate = z.strictObject({
  count: z.int().min(1).max(MOST_FORKS).default(1),
  /** New guests are called so, with -1, -2 ... where there are several; default: the guest's name. */
  name: GuestName.optional(),
  /** Makes them from a snapshot instead of from the guest as it is now. */
  snapshot: Id.nullable().default(null),
  /** Whether they run at once. Without memory to go on from, they boot. */
  start: z.boolean().default(true),
  /**
   * What becomes of network cards where guests go on from memory: see FORK_NETWORKS. `replug` is for those
   * that are in hot-plug ports; left out, these are replugged, and the others' links are down.
   */
  network: z.enum(FORK_NETWORKS).optional(),
});

export type Snapshot = z.output<typeof Snapshot>;
export type SnapshotTree = z.output<typeof SnapshotTree>;
export type Template = z.output<typeof Template>;
export type SnapshotCreate = z.input<typeof SnapshotCreate>;
export type SnapshotUpdate = z.input<typeof SnapshotUpdate>;
export type SnapshotRevert = z.input<typeof SnapshotRevert>;
export type ForkCreate = z.input<typeof ForkCreate>;
