/**
 * Every route of the API, declared once: the server's router, the OpenAPI document and the typed
 * client are all derived from this table.
 *
 * @module
 */
import * as z from "zod";
import { CRASH_ROUTES } from "./crash_schemas.ts";
import { DEVICE_ROUTES } from "./device_routes.ts";
import { Health } from "./health_schemas.ts";
import { HOST_ROUTES } from "./host_routes.ts";
import { LIFE_ROUTES } from "./life_routes.ts";
import { LOG_ROUTES } from "./log_routes.ts";
import type { Route } from "./route.ts";
import {
  CloudInit,
  Events,
  Figures,
  Guest,
  GuestCreate,
  GuestUpdate,
  Host,
  HostShutdown,
  HostShutdownProgress,
  Id,
  Image,
  ImageKind,
  ImageName,
  Login,
  SessionInfo,
  Setup,
  StopGuest,
} from "./schemas.ts";

export type { Access, Route, Stream } from "./route.ts";

/** All paths of the API begin with it. */
export const API_BASE = "/api/v1";

const guest = { id: Id };
const image = { kind: ImageKind, name: ImageName };

export const ROUTES = {
  getOpenApi: {
    method: "GET",
    path: "/openapi.json",
    summary: "This document",
    access: "anyone",
    status: 200,
    answer: z.record(z.string(), z.unknown()),
  },
  getSession: {
    method: "GET",
    path: "/session",
    summary: "Whether set-up is needed and whether the caller is signed in",
    access: "anyone",
    status: 200,
    answer: SessionInfo,
  },
  login: {
    method: "POST",
    path: "/session",
    summary: "Sign in with the administrator's password; sets the session cookie",
    access: "anyone",
    body: Login,
    status: 200,
    answer: SessionInfo,
    problems: ["wrong_password", "setup_needed", "too_many_attempts"],
  },
  logout: {
    method: "DELETE",
    path: "/session",
    summary: "Sign out; ends the session's streams too",
    access: "session",
    status: 200,
    answer: SessionInfo,
  },
  setup: {
    method: "POST",
    path: "/setup",
    summary: "Set the administrator's password with the one-time code on the host's screen",
    access: "anyone",
    body: Setup,
    status: 200,
    answer: SessionInfo,
    problems: ["wrong_code", "setup_done", "too_many_attempts"],
  },
  resetAccess: {
    method: "DELETE",
    path: "/setup",
    summary: "Forget the password and all sessions, and make a new one-time code",
    access: "local",
    status: 200,
    answer: SessionInfo,
  },
  getHost: {
    method: "GET",
    path: "/host",
    summary: "The host's facts and free resources",
    access: "session",
    status: 200,
    answer: Host,
  },
  shutdownHost: {
    method: "POST",
    path: "/host/shutdown",
    summary:
      "End every guest: saved, or by its power button and by force after the limit; no start after",
    access: "local",
    body: HostShutdown,
    bodyOptional: true,
    status: 200,
    answer: HostShutdownProgress,
    stream: "lines",
  },
  getHealth: {
    method: "GET",
    path: "/host/health",
    summary: "That the supervisor answers, and the little that the host's own screen shows of it",
    access: "local",
    status: 200,
    answer: Health,
  },
  listGuests: {
    method: "GET",
    path: "/guests",
    summary: "All guests, by name",
    access: "session",
    status: 200,
    answer: z.array(Guest),
  },
  createGuest: {
    method: "POST",
    path: "/guests",
    summary: "Create a guest, with disks of its own",
    access: "session",
    body: GuestCreate,
    status: 201,
    answer: Guest,
    problems: [
      "name_taken",
      "mac_taken",
      "no_such_image",
      "not_enough_memory",
      "disk_too_small",
      "disk_full",
      "no_such_store",
      "store_unavailable",
    ],
  },
  getGuest: {
    method: "GET",
    path: "/guests/:id",
    summary: "One guest",
    access: "session",
    params: guest,
    status: 200,
    answer: Guest,
  },
  updateGuest: {
    method: "PATCH",
    path: "/guests/:id",
    summary: "Change a guest; what cannot change while it runs applies at its next start",
    access: "session",
    params: guest,
    body: GuestUpdate,
    status: 200,
    answer: Guest,
    problems: [
      "wrong_state",
      "name_taken",
      "no_such_image",
      "not_enough_memory",
      "device_refused",
    ],
  },
  getCloudInit: {
    method: "GET",
    path: "/guests/:id/cloud-init",
    summary: "All that the guest's system is told by its cloud-init disk, from its next start on",
    access: "session",
    params: guest,
    status: 200,
    answer: CloudInit,
  },
  deleteGuest: {
    method: "DELETE",
    path: "/guests/:id",
    summary: "Delete a guest that is stopped, and its disks",
    access: "session",
    params: guest,
    status: 204,
    answer: null,
    problems: ["wrong_state"],
  },
  startGuest: {
    method: "POST",
    path: "/guests/:id/start",
    summary: "Start a guest; answers when it runs, or with the reason why it cannot",
    access: "session",
    params: guest,
    status: 200,
    answer: Guest,
    problems: [
      "wrong_state",
      "no_such_image",
      "bad_disk",
      "disk_in_use",
      "not_enough_memory",
      "start_failed",
      "shutting_down",
      "no_such_store",
      "store_unavailable",
    ],
  },
  stopGuest: {
    method: "POST",
    path: "/guests/:id/stop",
    summary: "Press a guest's power button; a second call, or force, ends it at once",
    access: "session",
    params: guest,
    body: StopGuest,
    bodyOptional: true,
    status: 202,
    answer: Guest,
    problems: ["wrong_state"],
  },
  resetGuest: {
    method: "POST",
    path: "/guests/:id/reset",
    summary: "End a guest at once and start it again",
    access: "session",
    params: guest,
    status: 202,
    answer: Guest,
    problems: ["wrong_state"],
  },
  pauseGuest: {
    method: "POST",
    path: "/guests/:id/pause",
    summary: "Hold a guest's CPUs between two instructions",
    access: "session",
    params: guest,
    status: 200,
    answer: Guest,
    problems: ["wrong_state"],
  },
  resumeGuest: {
    method: "POST",
    path: "/guests/:id/resume",
    summary: "Let a paused guest go on; what it was paused for may pause it again",
    access: "session",
    params: guest,
    status: 200,
    answer: Guest,
    problems: ["wrong_state"],
  },
  getFigures: {
    method: "GET",
    path: "/guests/:id/figures",
    summary:
      "What a running guest's devices counted lately, oldest first; events tell what follows",
    access: "session",
    params: guest,
    status: 200,
    answer: z.array(Figures),
  },
  ...DEVICE_ROUTES,
  ...LIFE_ROUTES,
  ...HOST_ROUTES,
  ...LOG_ROUTES,
  ...CRASH_ROUTES,
  guestConsole: {
    method: "GET",
    path: "/guests/:id/console",
    summary: "WebSocket: the serial port's bytes both ways, as binary messages, replay first",
    access: "session",
    params: guest,
    status: 101,
    answer: null,
    stream: "websocket",
    problems: ["wrong_state", "not_a_websocket"],
  },
  events: {
    method: "GET",
    path: "/events",
    summary: "Server-sent events: one snapshot, then every change",
    access: "session",
    status: 200,
    answer: Events.snapshot,
    stream: "events",
  },
  listImages: {
    method: "GET",
    path: "/images",
    summary: "All images, by kind and name",
    access: "session",
    status: 200,
    answer: z.array(Image),
  },
  putImage: {
    method: "PUT",
    path: "/images/:kind/:name",
    summary: "Upload an image; an upload that is broken off leaves nothing",
    access: "session",
    params: image,
    body: "bytes",
    status: 201,
    answer: Image,
    problems: ["image_exists", "bad_image", "disk_full"],
  },
  deleteImage: {
    method: "DELETE",
    path: "/images/:kind/:name",
    summary: "Delete an image that no guest uses",
    access: "session",
    params: image,
    status: 204,
    answer: null,
    problems: ["image_in_use"],
  },
} as const satisfies Record<string, Route>;

export type Operation = keyof typeof ROUTES;
export type RouteOf<O extends Operation> = (typeof ROUTES)[O];

/** The values that stand for the `:name` segments of an operation's path. */
export type ParamsOf<O extends Operation> = RouteOf<O> extends { params: infer P }
  ? { [K in keyof P]: P[K] extends z.ZodType<infer V> ? V : never }
  : Record<never, never>;

/** What stands behind the path's "?", as a handler gets it. */
export type QueryOf<O extends Operation> = RouteOf<O> extends { query: infer Q }
  ? { [K in keyof Q]?: Q[K] extends z.ZodType<infer V> ? V : never }
  : Record<never, never>;

/** The body as a caller writes it. */
export type BodyInput<O extends Operation> = RouteOf<O> extends { body: infer B }
  ? B extends z.ZodType ? z.input<B> : never
  : undefined;

/** The body as a handler gets it, checked and with its defaults. */
export type BodyOutput<O extends Operation> = RouteOf<O> extends { body: infer B }
  ? B extends z.ZodType ? z.output<B> : undefined
  : undefined;

export type AnswerOf<O extends Operation> = RouteOf<O> extends { answer: infer A }
  ? A extends z.ZodType ? z.output<A> : undefined
  : undefined;
