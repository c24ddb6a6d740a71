/**
 * The host's log: what process 1, its services, the VMMs and the kernel tell, as one list of records.
 *
 * @module
 */
import * as z from "zod";

/** The worst first. */
export const LOG_LEVELS = ["error", "warning", "info", "debug"] as const;
export const LogLevel = z.enum(LOG_LEVELS);

export const LogValue = z.union([z.string(), z.number(), z.boolean(), z.null()]);

export const LogRecord = z.strictObject({
  /** Larger than that of every record before it, also across restarts of the host. */
  seq: z.int(),
  /** ISO 8601, UTC. */
  time: z.string(),
  level: LogLevel,
  /** Who tells it: "boot" for process 1, "kernel", "supervisor", "console", "vmm" or another service. */
  room: z.string(),
  message: z.string(),
  fields: z.record(z.string(), LogValue),
});

/** A part of the log, oldest first. */
export const LogPage = z.strictObject({
  records: z.array(LogRecord),
  /** The newest record that there is; 0 if there is none. */
  last: z.int(),
});

/** The most records that one answer has. */
export const MOST_LOG_RECORDS = 1000;

const Seq = z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER);

/** What of the log is asked for: without `after`, the newest. */
export const LogQuery = {
  /** Only records with a larger `seq`, the oldest of them first. */
  after: Seq.optional(),
  /** Only records with a smaller `seq`, the newest of them. */
  before: Seq.optional(),
  /** Only records of this level and worse ones. */
  level: LogLevel.optional(),
  /** Only records of this room. */
  room: z.string().max(64).optional(),
  limit: z.coerce.number().int().min(1).max(MOST_LOG_RECORDS).optional(),
};

/** On the stream of the log: `event: log`, `data: JSON`. */
export const LogBatch = z.strictObject({
  records: z.array(LogRecord),
  /** Records that were gone before they could be told, as their number. */
  missed: z.int(),
});

export type LogLevel = z.output<typeof LogLevel>;
export type LogValue = z.output<typeof LogValue>;
export type LogRecord = z.output<typeof LogRecord>;
export type LogPage = z.output<typeof LogPage>;
export type LogBatch = z.output<typeof LogBatch>;
/** What of the log is wanted. */
export type LogQuery = { [K in keyof typeof LogQuery]?: z.output<(typeof LogQuery)[K]> };

/** Whether `level` is `least` or worse. */
export function isAsBad(level: LogLevel, least: LogLevel): boolean {
  return LOG_LEVELS.indexOf(level) <= LOG_LEVELS.indexOf(least);
}
