/**
 * What crashed on the host: its kernel, as the firmware or the memory kept it over the restart, and
 * guests' VMMs.
 *
 * @module
 */
import * as z from "zod";
import { GuestName, Id } from "./names.ts";
import type { Route } from "./route.ts";

export const CRASH_KINDS = ["kernel", "vmm"] as const;

export const Crash = z.strictObject({
  id: Id,
  kind: z.enum(CRASH_KINDS),
  /** When it happened, ISO 8601, UTC. */
  time: z.string(),
  /** In one line. */
  title: z.string(),
  /** Whose VMM it was; null for the kernel. */
  guest: GuestName.nullable(),
});

/** A crash with what is known of it, as text of several lines. */
export const CrashReport = Crash.extend({ text: z.string() });

export type Crash = z.output<typeof Crash>;
export type CrashReport = z.output<typeof CrashReport>;

const crash = { id: Id };

export const CRASH_ROUTES = {
  listCrashes: {
    method: "GET",
    path: "/host/crashes",
    summary: "What crashed on this host, the newest first",
    access: "session",
    status: 200,
    answer: z.array(Crash),
  },
  getCrash: {
    method: "GET",
    path: "/host/crashes/:id",
    summary: "One crash, with what is known of it",
    access: "session",
    params: crash,
    status: 200,
    answer: CrashReport,
  },
  deleteCrash: {
    method: "DELETE",
    path: "/host/crashes/:id",
    summary: "Forget a crash",
    access: "session",
    params: crash,
    status: 204,
    answer: null,
  },
} as const satisfies Record<string, Route>;
