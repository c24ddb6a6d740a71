/**
 * Runs one guest until its end, on this terminal, under a supervisor's control, or both.
 *
 * @module
 */
import { take } from "../sys/eventfd.ts";
import { SIGHUP, SIGINT, signalEventfd, SIGTERM } from "../sys/signal_events.ts";
import { ConfigError } from "./config/fields.ts";
import { parseConfig } from "./config/guest.ts";
import { EXIT_CODES, type GuestConfig, type RunRequest } from "./control.ts";
import { ControlServer } from "./control_server.ts";
import { EventLoop } from "./event_loop.ts";
import { forkFrom } from "./fork/fork_source.ts";
import { Guest, type GuestEnd, type GuestHost, type RestoreOptions } from "./guest.ts";
import { rehearse } from "./rehearsal.ts";
import { restoreFrom } from "./snapshot/restore.ts";
import { Terminal } from "./terminal.ts";
import { VcpuThreads } from "./vcpu_threads.ts";

export interface RunOptions {
  /** Where to listen for a supervisor (control.ts). */
  socket?: string;
  /** Whether the guest's serial port is this terminal; how it ended is said there too. */
  hasTerminal: boolean;
}

/** What to run; called where what it throws is told as all else is. */
export type GuestSource = () => { config: GuestConfig; restore?: RestoreOptions };

/** Runs a guest, of this configuration or from a snapshot; the process's exit code. */
export function runGuest(source: GuestSource, options: RunOptions): number {
  const { socket, hasTerminal } = options;
  const loop = new EventLoop();
  const terminal = hasTerminal ? new Terminal(loop) : undefined;
  const server = socket === undefined ? undefined : new ControlServer(socket, { loop });
  return run(source, { loop, terminal, server });
}

/** Starts as far as it can, waits to be told what to run, and runs that; the process's exit code. */
export function runWaiting(socket: string): number {
  const loop = new EventLoop();
  const threads = new VcpuThreads(loop);
  rehearse();
  const server = new ControlServer(socket, { loop });
  const order = server.waitForOrder();
  if (order !== undefined) return run(() => sourceOf(order), { loop, threads, server });
  const end: GuestEnd = { reason: "poweroff", message: "It was told to end" };
  server.close(end);
  return EXIT_CODES[end.reason];
}

/** What an order asks for. */
function sourceOf(
  { request, descriptors }: { request: RunRequest; descriptors: number[] },
): ReturnType<GuestSource> {
  if (request.fork) return forkFrom(descriptors, request.config);
  if (request.restore === undefined) return { config: parseConfig(request.config) };
  const { restore, config, identity = "new" } = request;
  return restoreFrom(restore, { config, identity });
}

interface Surroundings {
  loop: EventLoop;
  threads?: VcpuThreads;
  terminal?: Terminal;
  server?: ControlServer;
}

function run(source: GuestSource, options: Surroundings): number {
  const { loop, threads, terminal, server } = options;
  const hosts = [terminal, server].filter((host) => host !== undefined);
  let end: GuestEnd;
  try {
    const { config, restore } = source();
    const guest = new Guest(config, { loop, threads, host: together(hosts), restore });
    endPolitely(guest, loop);
    terminal?.attach(guest);
    server?.listen(guest);
    loop.run(() => guest.end !== undefined);
    end = guest.end!;
  } catch (error) {
    // Without anybody who could be told, it is the caller's.
    if (!server) throw error;
    const message = (error as Error).message;
    // The last line on stderr is the error for people.
    console.error(message);
    end = { reason: error instanceof ConfigError ? "refused" : "host", message };
    server.close(end);
    leaveWord(server.socket, end);
    return EXIT_CODES[end.reason];
  }
  server?.close(end);
  if (server) leaveWord(server.socket, end);
  terminal?.close(end.message);
  return EXIT_CODES[end.reason];
}

/** A polite end first; the second signal pulls the plug. */
function endPolitely(guest: Guest, loop: EventLoop): void {
  const fd = signalEventfd([SIGTERM, SIGINT, SIGHUP]);
  let asked = 0;
  loop.watch(fd, () => {
    if (asked === 0) guest.pressPowerButton();
    asked += take(fd);
    if (asked > 1) guest.kill();
  });
}

function together(hosts: readonly GuestHost[]): GuestHost {
  return {
    serial: (bytes) => hosts.forEach((host) => host.serial(bytes)),
    takesSerial: () => hosts.every((host) => host.takesSerial()),
    serialRoom: () => hosts.forEach((host) => host.serialRoom()),
    log: (line) => hosts.forEach((host) => host.log(line)),
    unplugged: (device) => hosts.forEach((host) => host.unplugged(device)),
    paused: (reason) => hosts.forEach((host) => host.paused(reason)),
  };
}

/** Says in `exit.json` beside the socket how it ended: old or new, never half. */
function leaveWord(socket: string, end: GuestEnd): void {
  const path = socket.replace(/[^/]*$/, "exit.json");
  const temporary = `${path}.new`;
  const file = Deno.openSync(temporary, { write: true, create: true, truncate: true });
  file.writeSync(new TextEncoder().encode(JSON.stringify(end)));
  file.syncSync();
  file.close();
  Deno.renameSync(temporary, path);
}
