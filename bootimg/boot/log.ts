/**
 * Where process 1 and what it runs write down what happens: the log's records, and as text the
 * kernel's log, which survives every one of them, is in what a crash leaves, and is kept off the
 * screen.
 *
 * @module
 */
import type { LogLevel } from "../../hypervisor/supervisor/api/log_schemas.ts";
import { entryOfLine, entryText, type LineSource, type LogEntry, makeEntry } from "../log/entry.ts";
import { kernelEntry, kernelRecords, OWN_PREFIX } from "../log/kernel_log.ts";
import { LogBook } from "../log/log_book.ts";
import { Pace } from "../log/pace.ts";

const KERNEL_LEVELS: Record<LogLevel, number> = { error: 3, warning: 4, info: 6, debug: 7 };

/** The kernel cuts longer records. */
const MAX_RECORD_BYTES = 900;

/** What a room may tell at once and in the long run; the kernel starts with a thousand records. */
const PACE = { burst: 500, perSecond: 10 };
const KERNEL_PACE = { burst: 4000, perSecond: 20 };

const sinks: Deno.FsFile[] = [];
const paces = new Map<string, Pace>();

/** The log of this host since its start. */
export const book: LogBook = new LogBook();

/** Starts to write to `path`, too: /dev/kmsg, or a terminal for who wants to watch. */
export function logTo(path: string): void {
  try {
    sinks.push(Deno.openSync(path, { write: true }));
  } catch {
    // A machine without that device; what is left of the log goes elsewhere.
  }
}

/** Writes one record; never throws, since process 1 may not die of a full log. */
export function log(
  message: string,
  level: LogLevel = "info",
  fields: Record<string, unknown> = {},
): void {
  const text = message.replaceAll("\n", " ").trim();
  if (text !== "") write(makeEntry({ level, room: "boot", message: text, fields }));
}

/** Writes a line that a service told. */
export function logLine(line: string, source: LineSource): void {
  if (line.trim() !== "") writePaced(entryOfLine(line, source), PACE);
}

/** Takes up what the kernel says, from its start on, for as long as it says something. */
export async function followKernel(uptimeSeconds: number): Promise<void> {
  const startedAt = Date.now() - uptimeSeconds * 1000;
  const begin = performance.now();
  for await (const record of kernelRecords()) {
    // What was said before anybody read it is as old as it says; all else is of now, by whatever clock.
    const isOld = record.atMs < uptimeSeconds * 1000;
    const now = Date.now() - (uptimeSeconds * 1000 + performance.now() - begin);
    const entry = kernelEntry(record, isOld ? startedAt : now);
    if (entry !== null) writePaced(entry, KERNEL_PACE);
  }
}

function writePaced(entry: LogEntry, pace: { burst: number; perSecond: number }): void {
  const { room } = entry;
  if (!paces.has(room)) paces.set(room, new Pace(pace));
  const turn = paces.get(room)!.take();
  if (turn === null) return;
  if (turn.leftOut > 0) {
    const message = `${turn.leftOut} more were told too fast, and are left out`;
    write(makeEntry({ level: "warning", room, message }));
  }
  write(entry);
}

function write(entry: LogEntry): void {
  try {
    book.add(entry);
  } catch {
    // As below.
  }
  if (entry.room === "kernel") return;
  const text = entryText(entry).replace(/^boot: /, "");
  const record = new TextEncoder().encode(
    `<${KERNEL_LEVELS[entry.level]}>${OWN_PREFIX}${text}`.slice(0, MAX_RECORD_BYTES) + "\n",
  );
  for (const sink of sinks) {
    try {
      sink.writeSync(record);
    } catch {
      // A log that nobody can take must not stop what it reports on.
    }
  }
}

/** What an error says, for the log and the screen. */
export function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Runs one step whose failure must not keep the rest from running; undefined if it failed. */
export async function attempt<T>(
  what: string,
  step: () => T | Promise<T>,
  onFailure?: (reason: string) => void,
): Promise<T | undefined> {
  try {
    return await step();
  } catch (error) {
    log(`${what}: ${reason(error)}`, "error");
    onFailure?.(reason(error));
    return undefined;
  }
}
