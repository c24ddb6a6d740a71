/**
 * What becomes of guests when the host restarts or powers off, and when it starts.
 *
 * @module
 */
import * as z from "zod";
import { AT_SHUTDOWN, LAST_PLACE, MOST_DELAY_SECONDS } from "./limits.ts";

/** `save`: to the disk, and the next start of the host goes on from there; `shutdown`: by the power button. */
export const AtShutdown = z.enum(AT_SHUTDOWN);

/** When one starts with the host, beside others; they end in the reverse order. */
export const StartOrder = z.strictObject({
  /** Smaller ones start first, equal ones together, and guests without a place after all others. */
  place: z.int().min(1).max(LAST_PLACE),
  /** How long the next place waits once this guest has been started. */
  delaySeconds: z.int().min(0).max(MOST_DELAY_SECONDS),
});

/** What of the host the API changes. */
export const HostChange = z.strictObject({
  atShutdown: AtShutdown,
}).partial();

/** Ends every guest; for the host's power-off, so only over the local socket. */
export const HostShutdown = z.strictObject({
  /** How long guests may take after their power buttons were pressed; then they are ended. With 0, at once. */
  limitSeconds: z.int().min(0).max(3600).default(60),
  /** How long all may take to be saved; what is not by then is shut down. With 0, none is saved. */
  saveSeconds: z.int().min(0).max(3600).default(150),
});

/** One line of the answer to a `HostShutdown`, sent on every change; `done` on the last. */
export const HostShutdownProgress = z.strictObject({
  done: z.boolean(),
  /** Names of guests that still run. */
  running: z.array(z.string()),
  /** Those of them that are being saved, and how far that is. */
  saving: z.array(z.strictObject({ name: z.string(), percent: z.int() })),
  /** Names of guests that had to be ended. */
  forced: z.array(z.string()),
});

export type AtShutdown = z.output<typeof AtShutdown>;
export type StartOrder = z.output<typeof StartOrder>;
export type HostChange = z.output<typeof HostChange>;
export type HostShutdownProgress = z.output<typeof HostShutdownProgress>;
