/**
 * Records as RFC 5424 has them, and how they are put on a stream (RFC 6587) or into datagrams (RFC
 * 5426).
 *
 * @module
 */
import type { LogLevel, LogRecord } from "../../hypervisor/supervisor/api/log_schemas.ts";
import { entryText } from "./entry.ts";

const SEVERITIES: Record<LogLevel, number> = { error: 3, warning: 4, info: 6, debug: 7 };
const KERNEL = 0;
const DAEMON = 3;

/** What every receiver of datagrams should take, and the least that one of streams does. */
export const DATAGRAM_BYTES = 2048;
export const MESSAGE_BYTES = 8192;

/** One message, no longer than `limit` bytes. */
export function syslogMessage(
  record: LogRecord,
  options: { hostname: string; limit: number },
): Uint8Array<ArrayBuffer> {
  const { level, room, time } = record;
  const priority = (room === "kernel" ? KERNEL : DAEMON) * 8 + SEVERITIES[level];
  const host = header(options.hostname, 255);
  const text = entryText(record).slice(entryText({ ...record, message: "", fields: {} }).length);
  const message = `<${priority}>1 ${time} ${host} denovisor - ${header(room, 32)} - ${text}`;
  return cutBytes(new TextEncoder().encode(message), options.limit);
}

/** A message on a stream: its length goes before it. */
export function octetCounted(message: Uint8Array): Uint8Array<ArrayBuffer> {
  const length = new TextEncoder().encode(`${message.length} `);
  const frame = new Uint8Array(length.length + message.length);
  frame.set(length);
  frame.set(message, length.length);
  return frame;
}

/** A field of the header: printable ASCII without spaces, "-" for nothing. */
function header(text: string, length: number): string {
  return text.replace(/[^\x21-\x7e]+/g, "_").slice(0, length) || "-";
}

/** No more than `limit` bytes, and no part of a character. */
function cutBytes(bytes: Uint8Array<ArrayBuffer>, limit: number): Uint8Array<ArrayBuffer> {
  if (bytes.length <= limit) return bytes;
  let end = limit;
  while (end > 0 && (bytes[end] & 0xc0) === 0x80) end--;
  return bytes.subarray(0, end);
}
