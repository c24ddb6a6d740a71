/**
 * Routes of the host's own updates, and of its restart.
 *
 * @module
 */
import * as z from "zod";
import { HostUpdate } from "./host_update.ts";
import type { Route } from "./route.ts";
import { AtShutdown } from "./shutdown_schemas.ts";

/** An update that the host fetches by itself, or was to. */
export const UpdatePull = z.strictObject({
  url: z.string(),
  isOver: z.boolean(),
  /** Why it failed, for a person; else null. */
  error: z.string().nullable(),
});

/** What runs, what there is, and what is under way. */
export const HostUpdateView = HostUpdate.extend({ pull: UpdatePull.nullable() });

export const PullUpdate = z.strictObject({
  /** Of the `.efi` file; its signature is at the same with `.sig` behind it. */
  url: z.url({ protocol: /^https$/, hostname: z.regexes.hostname }).max(2048),
});

export const RestartHost = z.strictObject({
  /** What becomes of guests this time: all that run; left out, each as it is set. */
  guests: AtShutdown.optional(),
});

const problems = ["not_an_appliance", "update_refused"];

export const UPDATE_ROUTES = {
  getUpdate: {
    method: "GET",
    path: "/host/update",
    summary: "The systems of the host, the one that runs, and how an update goes",
    access: "session",
    status: 200,
    answer: HostUpdateView,
    problems,
  },
  putUpdate: {
    method: "PUT",
    path: "/host/update",
    summary:
      "Upload a newer system (denovisor-VERSION.efi); answers once the next restart tries it",
    access: "session",
    query: { signature: z.base64url("must be the base64url of the .efi.sig file").max(8192) },
    body: "bytes",
    status: 200,
    answer: HostUpdateView,
    problems,
  },
  pullUpdate: {
    method: "POST",
    path: "/host/update/pull",
    summary: "Have the host fetch a newer system and its signature, at the same address with .sig",
    access: "session",
    body: PullUpdate,
    status: 202,
    answer: HostUpdateView,
    problems,
  },
  cancelUpdate: {
    method: "DELETE",
    path: "/host/update/job",
    summary: "Give up the update that is being taken in",
    access: "session",
    status: 200,
    answer: HostUpdateView,
    problems,
  },
  takeUpdateBack: {
    method: "DELETE",
    path: "/host/update/ready",
    summary: "Have the next restart not try the update that is ready",
    access: "session",
    status: 200,
    answer: HostUpdateView,
    problems,
  },
  undoUpdate: {
    method: "POST",
    path: "/host/update/undo",
    summary: "Have the system of before the last update start from the next restart on",
    access: "session",
    status: 200,
    answer: HostUpdateView,
    problems,
  },
  restartHost: {
    method: "POST",
    path: "/host/restart",
    summary: "Restart the host; guests are saved or shut down before",
    access: "session",
    body: RestartHost,
    bodyOptional: true,
    status: 202,
    answer: null,
    problems: ["not_an_appliance", "shutting_down"],
  },
} as const satisfies Record<string, Route>;

export type HostUpdateView = z.output<typeof HostUpdateView>;
export type UpdatePull = z.output<typeof UpdatePull>;
export type PullUpdate = z.output<typeof PullUpdate>;
export type RestartHost = z.output<typeof RestartHost>;
