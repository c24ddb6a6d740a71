/**
 * What is told, before it is a record: kept to a size, so that nobody fills the log by one line.
 *
 * @module
 */
import {
  LOG_LEVELS,
  type LogLevel,
  type LogRecord,
  type LogValue,
} from "../../hypervisor/supervisor/api/log_schemas.ts";

/** A record without its place in the log. */
export type LogEntry = Omit<LogRecord, "seq">;

const LONGEST_MESSAGE = 2000;
const LONGEST_VALUE = 8000;
const LONGEST_NAME = 64;
const MOST_FIELDS = 16;

/** Makes an entry that is no longer than one may be. */
export function makeEntry(
  entry: {
    time?: number;
    level: LogLevel;
    room: string;
    message: string;
    fields?: Record<string, unknown>;
  },
): LogEntry {
  const fields: Record<string, LogValue> = {};
  for (const [name, value] of Object.entries(entry.fields ?? {}).slice(0, MOST_FIELDS)) {
    const known = asValue(value);
    if (known !== undefined) fields[name.slice(0, LONGEST_NAME)] = known;
  }
  return {
    time: new Date(entry.time ?? Date.now()).toISOString(),
    level: entry.level,
    room: entry.room.slice(0, LONGEST_NAME),
    message: cut(entry.message, LONGEST_MESSAGE),
    fields,
  };
}

function asValue(value: unknown): LogValue | undefined {
  if (typeof value === "string") return cut(value, LONGEST_VALUE);
  if (typeof value === "number") return Number.isFinite(value) ? value : undefined;
  return typeof value === "boolean" || value === null ? value : undefined;
}

function cut(text: string, length: number): string {
  // Half of a surrogate pair would not survive being written as UTF-8.
  const whole = text.toWellFormed();
  return whole.length <= length ? whole : `${whole.slice(0, length - 1).toWellFormed()}…`;
}

/** How services that write JSON call what is called otherwise here. */
const LEVEL_NAMES: Readonly<Record<string, LogLevel>> = {
  ...Object.fromEntries(LOG_LEVELS.map((it) => [it, it])),
  warn: "warning",
};

export interface LineSource {
  room: string;
  /** Rooms that it may speak for, too. */
  speaksFor?: readonly string[];
  /** The level of what does not tell its own. */
  level: LogLevel;
}

/** A line that a service wrote: an object of JSON with level and message, or mere text. */
export function entryOfLine(line: string, source: LineSource): LogEntry {
  const { room, level } = source;
  const told = line.startsWith("{") ? parseObject(line) : null;
  const own = LEVEL_NAMES[String(told?.level)];
  if (told === null || own === undefined || typeof told.message !== "string") {
    return makeEntry({ level, room, message: printable(line) });
  }
  const { time: _, level: __, message, room: said, ...fields } = told;
  return makeEntry({
    level: own,
    room: typeof said === "string" && source.speaksFor?.includes(said) ? said : room,
    message: printable(message),
    fields,
  });
}

function parseObject(line: string): { [name: string]: unknown } | null {
  try {
    const value = JSON.parse(line);
    return typeof value === "object" && value !== null ? value : null;
  } catch {
    return null;
  }
}

/** Without what moves the cursor of a terminal that shows it. */
function printable(text: string): string {
  return text.replace(/\p{Cc}+/gu, " ").trim();
}

/** An entry as one line of text. */
export function entryText({ room, message, fields }: LogEntry): string {
  const list = Object.entries(fields).map(([name, value]) =>
    ` ${printable(name)}=${typeof value === "string" ? quote(value) : value}`
  );
  return `${room}: ${printable(message)}${list.join("")}`;
}

function quote(text: string): string {
  return /^[\w.:/@+-]+$/.test(text) ? text : JSON.stringify(text).replace(/\p{Cc}/gu, " ");
}
