/**
 * Routes of the host's log.
 *
 * @module
 */
import { LogBatch, LogPage, LogQuery } from "./log_schemas.ts";
import type { Route } from "./route.ts";

const { after, level, room } = LogQuery;

export const LOG_ROUTES = {
  getLog: {
    method: "GET",
    path: "/host/log",
    summary: "A part of the host's log, oldest first: the newest, or what comes after a record",
    access: "session",
    query: LogQuery,
    status: 200,
    answer: LogPage,
    problems: ["not_an_appliance", "invalid_query"],
  },
  followLog: {
    method: "GET",
    path: "/host/log/events",
    summary: "Server-sent events: records of the log as they come, after one or from now on",
    access: "session",
    query: { after, level, room },
    status: 200,
    answer: LogBatch,
    stream: "events",
    problems: ["not_an_appliance", "invalid_query"],
  },
  getSupportBundle: {
    method: "GET",
    path: "/host/support-bundle",
    summary: "Log, hardware and state of the host without secrets, as an archive (tar.gz)",
    access: "session",
    status: 200,
    answer: null,
    stream: "file",
  },
} as const satisfies Record<string, Route>;
