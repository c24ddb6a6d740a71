/**
 * Runs one guest until its end, on this terminal, under a supervisor's control, or both.
 *
 * @module
 */
import { take } from "../sys/eventfd.ts";
import { SIGHUP, SIGINT, signalEventfd, SIGTERM } from "../sys/signal_events.ts";
import { ConfigError } from "./config/fields.ts";
import { parseStart } from "./config/guest.ts";
import { EXIT_CODES, type GuestConfig, type RunRequest } from "./control.ts";
import { ControlServer } from "./control_server.ts";
import { EventLoop } from "./event_loop.ts";
import { forkFrom } from "./fork/fork_source.ts";
import {
  Guest,
  type GuestEnd,
  type GuestHost,
  type GuestOptions,
  type RestoreOptions,
} from "./guest.ts";
import type { PluggedDevice } from "./hotplug.ts";
import { writeDurably } from "./durable_file.ts";
import { Receiver } from "./migrate/receiver.ts";
import type { ReceivedHere } from "./received.ts";
import { rehearse } from "./rehearsal.ts";
import { restoreFrom } from "./snapshot/restore.ts";
import { Terminal } from "./terminal.ts";
import { Taker } from "./upgrade/take.ts";
import { VcpuThreads } from "./vcpu_threads.ts";

export interface RunOptions {
  /** Where to listen for a supervisor (control.ts). */
  socket?: string;
  /** Whether the guest's serial port is this terminal; how it ended is said there too. */
  hasTerminal: boolean;
}

/** What to run; called where what it throws is told as all else is. */
export type GuestSource = () => {
  config: GuestConfig;
  restore?: RestoreOptions;
  /** What is in hot-plug ports as it starts. */
  plugged?: readonly PluggedDevice[];
  /** Who has it from another VMM. */
  receiver?: ReceivedHere;
  /** The folder that its control socket is then to be in. */
  folder?: string;
};

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
  rehearse({ threads, socket });
  const server = new ControlServer(socket, { loop });
  const order = server.waitForOrder();
  const around = { loop, threads, server };
  if (order !== undefined) return run(() => sourceOf(order, around), around);
  const end: GuestEnd = { reason: "poweroff", message: "It was told to end" };
  server.close(end);
  return EXIT_CODES[end.reason];
}

/** What an order asks for. */
function sourceOf(
  { request, descriptors }: { request: RunRequest; descriptors: number[] },
  { loop, threads, server }: { loop: EventLoop; threads: VcpuThreads; server: ControlServer },
): ReturnType<GuestSource> {
  if (request.fork) return forkFrom(descriptors, request.config);
  if (request.receive !== undefined) {
    const receiver = server.receiver = new Receiver({
      socket: request.receive,
      config: request.config,
      identity: request.identity ?? "same",
      loop,
      isStopping: () => server.isStopping,
      threads,
      lastWord: server.beside("exit.json"),
      log: (line) => server.log(line),
    });
    return { ...receiver.receive(), receiver };
  }
  if (request.upgrade !== undefined) {
    const receiver = server.receiver = new Taker({
      socket: request.upgrade,
      loop,
      threads,
      isStopping: () => server.isStopping,
      log: (line) => server.log(line),
    });
    return { ...receiver.receive(), receiver, folder: request.becomes };
  }
  if (request.restore === undefined) return parseStart(request.config);
  const { restore, config, identity = "new", hold = false } = request;
  const source = restoreFrom(restore, { config, identity });
  return { ...source, restore: { ...source.restore, waits: hold } };
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
    const { config, restore, plugged, receiver, folder } = source();
    const host = together(hosts);
    const guest = start(config, { loop, threads, host, restore, plugged, receiver });
    if (server) server.receiver = undefined;
    if (receiver?.serial) server?.takePlace({ serial: receiver.serial, folder });
    endPolitely(guest, loop);
    terminal?.attach(guest);
    server?.listen(guest);
    loop.run(() => guest.end !== undefined);
    receiver?.ended?.();
    end = guest.end!;
  } catch (error) {
    // Without anybody who could be told, it is the caller's.
    if (!server) throw error;
    const message = (error as Error).message;
    // The last line on stderr is the error for people.
    console.error(message);
    end = { reason: error instanceof ConfigError ? "refused" : "host", message };
    server.close(end);
    leaveWord(server, end);
    return EXIT_CODES[end.reason];
  }
  server?.close(end);
  if (server && end.reason !== "upgraded") leaveWord(server, end);
  terminal?.close(end.message);
  return EXIT_CODES[end.reason];
}

/** A guest that runs; throws where it cannot, or is another VMM's. */
function start(
  config: GuestConfig,
  options: GuestOptions & { receiver?: ReceivedHere },
): Guest {
  const { loop, receiver } = options;
  if (receiver === undefined) return new Guest(config, options);
  let guest: Guest;
  try {
    guest = new Guest(config, options);
  } catch (error) {
    receiver.refuse(error as Error);
    throw error;
  }
  try {
    receiver.takeOver(guest);
    return guest;
  } catch (error) {
    receiver.refuse(error as Error);
    guest.kill();
    loop.run(() => guest.end !== undefined);
    throw error;
  }
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

/** Says in `exit.json` beside the socket how it ended. */
function leaveWord(server: ControlServer, end: GuestEnd): void {
  writeDurably(server.beside("exit.json"), JSON.stringify(end));
}
