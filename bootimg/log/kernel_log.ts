/**
 * The kernel's own records, as /dev/kmsg gives them.
 *
 * @module
 */
import type { LogLevel } from "../../hypervisor/supervisor/api/log_schemas.ts";
import { type LogEntry, makeEntry } from "./entry.ts";

/** What process 1 writes there itself begins so: it is in the log already. */
export const OWN_PREFIX = "denovisor: ";

/** A record of the kernel's. */
export interface KernelRecord {
  level: LogLevel;
  /** Milliseconds after the kernel's start. */
  atMs: number;
  message: string;
}

/** From LOG_EMERG to LOG_DEBUG. */
const LEVELS: readonly LogLevel[] = [
  ...["error", "error", "error", "error"] as const,
  ...["warning", "info", "info", "debug"] as const,
];

/** Reads one record: "PRIORITY,SEQUENCE,MICROSECONDS,FLAGS;TEXT" and lines of properties. */
export function parseKernelRecord(text: string): KernelRecord | null {
  const match = /^(\d{1,6}),\d+,(\d{1,16}),[^;]*;([^\n]*)/.exec(text);
  if (!match) return null;
  const [, priority, microseconds, escaped] = match;
  const message = unescapeBytes(escaped);
  if (message.startsWith(OWN_PREFIX)) return null;
  return {
    level: LEVELS[Number(priority) & 7],
    atMs: Number(microseconds) / 1000,
    message,
  };
}

/** The kernel writes bytes that do not print, and the backslash, as \xNN. */
function unescapeBytes(text: string): string {
  const bytes: number[] = [];
  const encoder = new TextEncoder();
  for (const part of text.split(/(\\x[0-9a-f]{2})/)) {
    if (/^\\x[0-9a-f]{2}$/.test(part)) bytes.push(parseInt(part.slice(2), 16));
    else bytes.push(...encoder.encode(part));
  }
  return new TextDecoder().decode(new Uint8Array(bytes)).replace(/\p{Cc}+/gu, " ").trim();
}

/** The record as an entry of the log; `bootedAt` is when the kernel started, by the present clock. */
export function kernelEntry(record: KernelRecord, bootedAt: number): LogEntry | null {
  const { level, atMs, message } = record;
  if (message === "") return null;
  return makeEntry({ time: bootedAt + atMs, level, room: "kernel", message });
}

/** No record is longer. */
const RECORD_BYTES = 16 * 1024;

/** Reads records from the oldest on, and waits for more; ends where there is no such log. */
export async function* kernelRecords(path = "/dev/kmsg"): AsyncGenerator<KernelRecord> {
  using device = await Deno.open(path);
  const buffer = new Uint8Array(RECORD_BYTES);
  const decoder = new TextDecoder();
  while (true) {
    let length: number | null;
    try {
      length = await device.read(buffer);
    } catch (error) {
      // The next record was overwritten before it was read; reading goes on behind the gap.
      if (error instanceof Deno.errors.BrokenPipe) continue;
      throw error;
    }
    if (length === null) return;
    const record = parseKernelRecord(decoder.decode(buffer.subarray(0, length)));
    if (record !== null) yield record;
  }
}
