/**
 * What comes on the control socket, from a line to a {@linkcode Request}.
 *
 * @module
 */
import type { Request } from "./control.ts";

/** The longest pause that anybody may allow. */
const MAX_PAUSE_MS = 60_000;
const MAX_BYTES_PER_SECOND = 1e12;
const MAX_TIMEOUT_MS = 1e9;
const MAX_DISK_BYTES = 2 ** 52;

const OPS: readonly Request["op"][] = [
  "status",
  "power_button",
  "kill",
  "events",
  "serial",
  "devices",
  "change",
  "plug",
  "unplug",
  "pause",
  "resume",
  "new_generation",
  "track_disks",
  "disk_changes",
  "return_disk_changes",
  "save",
  "send",
  "fork",
  "upgrade",
  "take_over",
  "run",
];

/** A request of the right shape; undefined where a line is none. */
export function parseRequest(line: string): Request | undefined {
  try {
    const value = JSON.parse(line);
    if (!OPS.includes(value?.op)) return undefined;
    const { device, change, force = false } = value;
    if (value.op === "unplug") {
      return typeof device === "string" && typeof force === "boolean" ? value : undefined;
    }
    if (value.op === "track_disks") return typeof value.on === "boolean" ? value : undefined;
    if (value.op === "disk_changes") return typeof device === "string" ? value : undefined;
    if (value.op === "return_disk_changes") {
      return typeof device === "string" && areRanges(value.ranges) ? value : undefined;
    }
    if (value.op === "save") return isSave(value) ? value : undefined;
    if (value.op === "send") return isSend(value) ? value : undefined;
    if (value.op === "fork") return typeof (value.hold ?? false) === "boolean" ? value : undefined;
    if (value.op === "upgrade") return isName(value.socket) ? value : undefined;
    if (value.op === "take_over") return typeof value.handOver === "string" ? value : undefined;
    if (value.op === "run") return isRun(value) ? value : undefined;
    if (value.op !== "change") return value;
    const isObject = typeof change === "object" && change !== null && !Array.isArray(change);
    return typeof device === "string" && isObject ? value : undefined;
  } catch {
    return undefined;
  }
}

function isSave(request: Record<string, unknown>): boolean {
  const { directory, base = directory, allowedPauseMs = 0 } = request;
  const { hold = false, ask = false, stay = false, track = false } = request;
  return isName(directory) && isName(base) && isBetween(allowedPauseMs, 0, MAX_PAUSE_MS) &&
    [hold, ask, stay, track].every((it) => typeof it === "boolean");
}

function isSend(request: Record<string, unknown>): boolean {
  const { socket, allowedPauseMs = 0, bytesPerSecond = 1, timeoutMs = 1 } = request;
  const { hold = false, force = false, slowDown = false, postCopy = false } = request;
  const { compress = "none" } = request;
  return isName(socket) && isBetween(allowedPauseMs, 0, MAX_PAUSE_MS) &&
    isBetween(bytesPerSecond, 1, MAX_BYTES_PER_SECOND) && isBetween(timeoutMs, 1, MAX_TIMEOUT_MS) &&
    [hold, force, slowDown, postCopy].every((it) => typeof it === "boolean") &&
    ["zstd", "auto", "none"].includes(compress as string);
}

/** Offsets and lengths in bytes, whose sums are whole numbers too. */
function areRanges(value: unknown): boolean {
  const isBytes = (it: unknown) => Number.isInteger(it) && isBetween(it, 0, MAX_DISK_BYTES);
  return Array.isArray(value) &&
    value.every((range) => Array.isArray(range) && range.length === 2 && range.every(isBytes));
}

function isBetween(value: unknown, least: number, most: number): boolean {
  return typeof value === "number" && value >= least && value <= most;
}

/** An absolute path that is not the root. */
function isName(value: unknown): boolean {
  return typeof value === "string" && /^\/[^\0]*[^\0/]/.test(value);
}

/** Of what to run, only its shape: the rest is looked at where it is used. */
function isRun(request: Record<string, unknown>): boolean {
  const { folder, config, restore, receive, upgrade, becomes, fork, identity, hold = false } =
    request;
  const isPath = (it: unknown) => typeof it === "string" && /^\/[^\0]*$/.test(it);
  const isConfig = typeof config === "object" && config !== null;
  if (folder !== undefined && !isPath(folder)) return false;
  if (becomes !== undefined && (upgrade === undefined || !isPath(becomes))) return false;
  if (identity !== undefined && identity !== "new" && identity !== "same") return false;
  if (fork !== undefined && fork !== true) return false;
  if (typeof hold !== "boolean" || (hold && restore === undefined)) return false;
  const sources = [restore, receive, upgrade, fork].filter((it) => it !== undefined);
  // One of them, or a start.
  if (sources.length > 1) return false;
  const [source] = sources;
  // What goes on from a fork cannot have what the other guest has.
  if (source === undefined || source === true) return isConfig;
  // It goes on as it is.
  if (upgrade !== undefined) return isPath(upgrade) && config === undefined;
  return isPath(source) && (config === undefined || isConfig);
}
