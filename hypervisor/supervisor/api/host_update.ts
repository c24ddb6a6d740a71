/**
 * The systems that a host can start, and putting a newer one beside them: what process 1 answers, and
 * what it takes.
 *
 * @module
 */
import * as z from "zod";

/** What can be started: what came with the disk's image, or what was written to one of the slots. */
export const SYSTEM_NAMES = ["image", "a", "b"] as const;
export const SystemName = z.enum(SYSTEM_NAMES);

/** No system's file is larger, and no text of a signature's file longer; its base64url has a third more. */
export { MOST_SIGNATURE_BYTES, MOST_SYSTEM_BYTES } from "../../../bootimg/update/statement.ts";

/** A version's text, such as "1.2.3": only ever shown. */
const Version = z.string().max(64);

export const KnownSystem = z.strictObject({ version: Version });

export const SystemChoice = z.strictObject({ version: Version, system: SystemName });

export const TrialState = z.strictObject({
  system: SystemName,
  /** When the host restarts with the system of before, unless this one has proved itself. */
  secondsLeft: z.int().nonnegative(),
  /** What is still missing, for a person: "the console answers", "the guests are back". */
  waitsFor: z.string(),
});

export const UPDATE_OUTCOMES = ["kept", "fell back", "undone"] as const;

export const LastUpdate = z.strictObject({
  /** ISO 8601, UTC. */
  at: z.string(),
  from: Version.nullable(),
  to: Version.nullable(),
  outcome: z.enum(UPDATE_OUTCOMES),
  /** Why it fell back, for a person; null where nobody knows, or where nothing failed. */
  why: z.string().nullable(),
});

/** `staging`: the body is kept; `verifying`; `writing`: the slots; then it is over. */
export const UPDATE_PHASES = ["staging", "verifying", "writing", "ready"] as const;

export const UpdateJob = z.strictObject({
  phase: z.enum(UPDATE_PHASES),
  /** Of this phase. */
  bytes: z.number(),
  total: z.number(),
  /** Why it failed; else null. */
  error: z.string().nullable(),
  isOver: z.boolean(),
});

export const HostUpdate = z.strictObject({
  running: z.strictObject({ version: Version, system: SystemName.nullable() }),
  /** What there is on the disk; null where there is none. */
  systems: z.strictObject({
    image: KnownSystem.nullable(),
    a: KnownSystem.nullable(),
    b: KnownSystem.nullable(),
  }),
  /** The one that starts, unless another is to be tried. */
  good: SystemName,
  /** Where the running system has to prove itself yet. */
  trial: TrialState.nullable(),
  /** What the next restart tries. */
  ready: SystemChoice.nullable(),
  /** What undoing the last update would go back to; null where there is nothing. */
  undo: SystemChoice.nullable(),
  /** How the last update ended; null where there was none. */
  last: LastUpdate.nullable(),
  /** What is being put on the disk, or was last; null where nothing was since the start. */
  job: UpdateJob.nullable(),
  /** Why this host cannot be updated at all; null where it can. */
  whyNot: z.string().nullable(),
});

export type SystemName = z.output<typeof SystemName>;
export type SystemChoice = z.output<typeof SystemChoice>;
export type TrialState = z.output<typeof TrialState>;
export type UpdateOutcome = typeof UPDATE_OUTCOMES[number];
export type LastUpdate = z.output<typeof LastUpdate>;
export type UpdatePhase = typeof UPDATE_PHASES[number];
export type UpdateJob = z.output<typeof UpdateJob>;
export type HostUpdate = z.output<typeof HostUpdate>;
