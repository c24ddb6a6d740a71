/**
 * Ending the host: guests first, then our processes, then file systems, then the machine.
 *
 * @module
 */
import { MNT_DETACH, syncAll, unmount } from "../../hypervisor/sys/mounts.ts";
import { power, type PowerCommand } from "../../hypervisor/sys/reboot.ts";
import { lines } from "./lines.ts";
import { attempt, log, reason } from "./log.ts";
import type { Service } from "./service.ts";
import { names, read } from "./sysfs.ts";
import { within } from "./within.ts";

/** How long all guests that are saved may take for that. */
export const SAVE_LIMIT_SECONDS = 150;
/** How long guests may take to shut down after their power buttons were pressed. */
export const GUESTS_LIMIT_SECONDS = 60;
/** What the supervisor may take beyond that, to end the guests that did not. */
const SUPERVISOR_GRACE_MS = 15_000;
/** What the disk may take for the last of the log. */
const LOG_MS = 5000;
/** What stray processes get between SIGTERM and SIGKILL. */
const STRAYS_GRACE_MS = 1000;

export interface ShutdownOptions {
  command: PowerCommand;
  /** The supervisor's local socket. */
  socket: string;
  /** Whether what is written to the data outlives a restart: else guests are not saved. */
  isKept: boolean;
  /** In the order in which they were started. */
  services: readonly Service[];
  /** Writes the last of the log. */
  closeLog: () => Promise<void>;
  /** What to unmount, in this order. */
  mounts: readonly string[];
  /** Aborted when the person does not want to wait for guests. */
  hurry: AbortSignal;
  /** Told what is being waited for. */
  onStage: (stage: string) => void;
  /** When all that `onStage` was told is on the screen. */
  drawn: () => Promise<unknown>;
}

/** Ends the host. Each step is tried whatever became of those before it. */
export async function shutDown(options: ShutdownOptions): Promise<void> {
  const { command, onStage } = options;
  const verb = command === "reboot" ? "Restarting" : "Powering off";
  log(`${verb.toLowerCase()}: stopping guests`);
  onStage(`${verb}: asking guests to shut down`);
  await attempt("Cannot stop the guests", () => stopGuests(options, verb));
  onStage(`${verb}: stopping services`);
  for (const service of options.services.toReversed()) {
    await attempt(`Cannot stop ${service.config.name}`, () => service.stop());
  }
  await attempt("Cannot end what is left", endStrays);
  await attempt("Cannot keep the last of the log", () => within(options.closeLog(), LOG_MS));
  syncAll();
  for (const target of options.mounts) unmountAtLast(target);
  syncAll();
  onStage(command === "reboot" ? "Restarting" : "Power off");
  await Promise.race([options.drawn(), sleep(500)]);
  await attempt(`Cannot ${command}`, () => power(command));
}

async function stopGuests(options: ShutdownOptions, verb: string): Promise<void> {
  using client = Deno.createHttpClient({ proxy: { transport: "unix", path: options.socket } });
  const limits = {
    limitSeconds: GUESTS_LIMIT_SECONDS,
    saveSeconds: options.isKept ? SAVE_LIMIT_SECONDS : 0,
  };
  // One that cannot be saved in time is given the time of the others after that.
  const timeoutMs = (limits.limitSeconds + limits.saveSeconds) * 1000 + SUPERVISOR_GRACE_MS;
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    await askGuests(client, limits, {
      signal: AbortSignal.any([timeout, options.hurry]),
      onProgress: (progress) => options.onStage(`${verb}: ${stageWords(progress)}`),
    });
  } catch (error) {
    if (!options.hurry.aborted) throw error;
    log("ending the guests at once, as asked");
    await askGuests(client, { limitSeconds: 0, saveSeconds: 0 }, {
      signal: AbortSignal.timeout(SUPERVISOR_GRACE_MS),
      onProgress: () => {},
    });
  }
}

async function askGuests(
  client: Deno.HttpClient,
  limits: { limitSeconds: number; saveSeconds: number },
  options: { signal: AbortSignal; onProgress: (progress: Progress) => void },
): Promise<void> {
  const init: RequestInit & { client: Deno.HttpClient } = {
    client,
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(limits),
    signal: options.signal,
  };
  const response = await fetch("http://supervisor/api/v1/host/shutdown", init);
  if (!response.ok || !response.body) {
    throw new Error(`Cannot have the supervisor stop guests: it answered ${response.status}`);
  }
  for await (const line of lines(response.body)) {
    if (line === "") continue;
    const progress = parseProgress(line);
    if (progress.forced.length > 0) log(`had to end ${progress.forced.join(", ")}`, "warning");
    if (progress.done) return;
    if (progress.running.length > 0) options.onProgress(progress);
  }
}

/** How it goes with guests, by names. */
export interface Progress {
  done: boolean;
  running: string[];
  saving: { name: string; percent: number }[];
  forced: string[];
}

/** What is being waited for, for a person. */
export function stageWords({ running, saving }: Progress): string {
  const names = new Set(saving.map(({ name }) => name));
  const others = running.filter((name) => !names.has(name));
  const parts = [
    saving.length > 0 &&
    `saving ${saving.map(({ name, percent }) => `${name} (${percent} %)`).join(", ")}`,
    others.length > 0 && `waiting for ${others.join(", ")}`,
  ].filter((it) => it !== false);
  return `${parts.join("; ")}; press the power button again to end them now`;
}

/** Reads one line of the supervisor's account. */
export function parseProgress(line: string): Progress {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw new SyntaxError(`Cannot read the supervisor's progress "${line}": ${reason(error)}`);
  }
  const { done, running, saving, forced } = (value ?? {}) as Record<string, unknown>;
  const isNames = (it: unknown): it is string[] =>
    Array.isArray(it) && it.every((name) => typeof name === "string");
  const isSaving = (it: unknown): it is Progress["saving"] =>
    Array.isArray(it) &&
    it.every((one) => typeof one?.name === "string" && typeof one.percent === "number");
  if (typeof done !== "boolean" || !isNames(running) || !isSaving(saving) || !isNames(forced)) {
    throw new SyntaxError(
      `Cannot read the supervisor's progress "${line}": it must have done, running, saving and forced`,
    );
  }
  return { done, running, saving, forced };
}

/** Ends every process but this one and the kernel's own. */
async function endStrays(): Promise<void> {
  // -1 stands for all but PID 1.
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    if (!hasStrays()) return;
    Deno.kill(-1, signal);
    const end = performance.now() + STRAYS_GRACE_MS;
    while (hasStrays() && performance.now() < end) await sleep(20);
  }
}

function hasStrays(): boolean {
  return names("/proc").some((name) => {
    if (!/^\d+$/.test(name) || name === "1") return false;
    // The kernel's own threads have no command line, nor have the dead.
    try {
      return Deno.readFileSync(`/proc/${name}/cmdline`).length > 0;
    } catch {
      return false;
    }
  });
}

function unmountAtLast(target: string): void {
  const isMounted = read("/proc/mounts")?.split("\n").some((it) => it.split(" ")[1] === target);
  if (!isMounted) return;
  try {
    unmount(target);
  } catch (error) {
    log(reason(error), "warning");
    // Out of sight and written out, as soon as its last user is gone.
    attempt(`Cannot detach ${target}`, () => unmount(target, MNT_DETACH));
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
