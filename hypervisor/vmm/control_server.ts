/**
 * Answers on the control socket (control.ts).
 *
 * @module
 */
import { accept, listenUnix, WOULD_BLOCK } from "../sys/unix_sockets.ts";
import { close } from "../sys/files.ts";
import { plugged } from "./config/hotplug.ts";
import {
  CONTROL_VERSION,
  type Event,
  type Request,
  type Response,
  type RunRequest,
  SERIAL_REPLAY_BYTES,
  SPOKEN,
  type Status,
  type VmmState,
} from "./control.ts";
import { parseRequest } from "./control_requests.ts";
import { CopyClients } from "./copy_clients.ts";
import { ControlClient } from "./control_client.ts";
import { removeIfThere } from "./durable_file.ts";
import type { EventLoop } from "./event_loop.ts";
import type { Guest, GuestEnd, GuestHost } from "./guest.ts";
import type { ReceivedHere } from "./received.ts";
import { SerialLog } from "./serial_log.ts";
import { VERSION } from "./version.ts";

/** More than these at once are turned away. */
const MAX_CLIENTS = 64;
/** How long clients may take to hear of the end, in milliseconds. */
const GOODBYE_MS = 1000;

/** Where a guest's control socket is, and what goes through it. */
export class ControlServer implements GuestHost {
  readonly #loop: EventLoop;
  #socket: string;
  readonly #log = new SerialLog(SERIAL_REPLAY_BYTES);
  readonly #clients = new Set<ControlClient>();
  readonly #serial = new Set<ControlClient>();
  readonly #events = new Set<ControlClient>();
  readonly #copies = new CopyClients();
  /** While a guest is received. */
  receiver: Pick<ReceivedHere, "phase" | "handOver" | "decide"> | undefined;
  #listener = -1;
  #guest_: Guest | undefined;
  #order: { request: RunRequest; client: ControlClient; descriptors: number[] } | undefined;
  #state: VmmState | "waiting" = "waiting";

  constructor(socket: string, options: { loop: EventLoop }) {
    this.#socket = socket;
    this.#loop = options.loop;
    // One that a run before has left.
    removeIfThere(socket);
  }

  /** The file `name` beside the socket. */
  beside(name: string): string {
    return this.#socket.replace(/[^/]*$/, name);
  }

  /** Whether the guest, or a VMM that has none yet, was told to end. */
  get isStopping(): boolean {
    return this.#state === "stopping";
  }

  /**
   * Listens without a guest until it is told what to run, and gets the descriptors that came with that;
   * undefined where it is told to end.
   */
  waitForOrder(): { request: RunRequest; descriptors: number[] } | undefined {
    this.#open();
    this.#loop.run(() => this.#order !== undefined || this.#state === "stopping");
    return this.#order;
  }

  /** Listens, from when there is somebody to ask. */
  listen(guest: Guest): void {
    this.#guest_ = guest;
    this.#state = "running";
    if (this.#listener < 0) this.#open();
    this.#order?.client.answer(this.#status());
    this.#order?.client.end();
  }

  get #guest(): Guest {
    if (this.#guest_ === undefined) throw new Error("Cannot do that: no guest runs here yet");
    return this.#guest_;
  }

  #open(): void {
    const umask = Deno.umask(0o177);
    try {
      this.#listener = listenUnix(this.#socket);
    } finally {
      Deno.umask(umask);
    }
    this.#loop.watch(this.#listener, () => this.#accept());
  }

  #accept(): void {
    const fd = accept(this.#listener);
    if (fd === WOULD_BLOCK) return;
    if (this.#clients.size >= MAX_CLIENTS) return close(fd);
    const client = new ControlClient(fd, {
      loop: this.#loop,
      host: {
        request: (client, line) => this.#request(client, line),
        received: (client, bytes) => {
          if (this.#copies.has(client)) return this.#copies.received(client, bytes);
          return this.#serial.has(client) ? this.#guest.type(bytes) : bytes.length;
        },
        closed: (client) => {
          this.#copies.closed(client);
          for (const set of [this.#clients, this.#serial, this.#events]) set.delete(client);
        },
      },
    });
    this.#clients.add(client);
  }

  #request(client: ControlClient, line: string): void {
    const request = parseRequest(line);
    const descriptors = client.takeDescriptors();
    if (request?.op !== "run" || request.fork !== true) {
      for (const fd of descriptors.splice(0)) close(fd);
    }
    if (request === undefined) {
      const error = `Cannot understand ${JSON.stringify(line.slice(0, 80))}: it is no request`;
      client.answer({ ok: false, error } satisfies Response);
      return client.end();
    }
    if (request.op === "run" && this.#state === "waiting" && this.#order === undefined) {
      this.#order = { request, client, descriptors };
      const name = this.#socket.slice(this.#socket.lastIndexOf("/"));
      if (request.folder !== undefined) this.#socket = request.folder + name;
      return;
    }
    descriptors.forEach(close);
    let response: Response;
    try {
      response = this.#answer(request);
      if (request.op === "save") this.#copies.save(client, this.#guest, request);
      if (request.op === "fork") this.#copies.fork(client, this.#guest, request);
      if (request.op === "upgrade") {
        const serial = () => this.#log.read();
        this.#copies.upgrade(client, this.#guest, { ...request, serial });
      }
      if (request.op === "send") {
        this.#copies.send(client, this.#guest, {
          ...request,
          record: this.beside("handed_over.json"),
        });
      }
    } catch (error) {
      response = { ok: false, error: (error as Error).message };
    }
    client.answer(response);
    switch (request.op) {
      case "events":
        this.#events.add(client);
        return;
      case "serial":
        client.send(this.#log.read());
        this.#serial.add(client);
        return;
      case "save":
      case "send":
      case "fork":
      case "upgrade":
        if (!response.ok) client.end();
        return;
      default:
        client.end();
    }
  }

  #answer(request: Request): Response {
    switch (request.op) {
      case "power_button":
        this.#guest.pressPowerButton();
        this.#setState("stopping");
        break;
      case "serial":
        // That there is one.
        this.#guest;
        break;
      case "kill":
        this.#setState("stopping");
        this.#guest_?.kill();
        break;
      case "run":
        throw new Error("Cannot run another guest: a VMM has one");
      case "events":
      case "status":
        break;
      case "devices":
        return { ok: true, devices: this.#guest.devices() };
      case "change":
        this.#guest.change(request.device, request.change);
        break;
      case "track_disks": {
        const { diskTracking } = this.#guest;
        if (request.on) return { ok: true, disks: diskTracking.start() };
        diskTracking.stop();
        break;
      }
      case "disk_changes":
        return { ok: true, changes: this.#guest.diskTracking.take(request.device) };
      case "return_disk_changes":
        this.#guest.diskTracking.giveBack(request.device, request.ranges);
        break;
      case "plug":
        this.#guest.checkDevicesRun("plug a device in");
        return { ok: true, plugged: this.#guest.hotplug.plug(plugged(request.device)) };
      case "unplug":
        this.#guest.checkDevicesRun(`unplug "${request.device}"`);
        this.#guest.hotplug.unplug(request.device, { force: request.force });
        break;
      case "pause":
        this.#guest.pause("It was told to pause");
        break;
      case "resume":
        this.#guest.resume();
        break;
      case "new_generation":
        this.#guest.changeGeneration();
        break;
      case "take_over":
        if (this.receiver === undefined) throw new Error("Cannot take over: no guest is received");
        this.receiver.decide(request.handOver);
        break;
    }
    return this.#status();
  }

  #status(): Response {
    const { config, pausedFor = null, startedAt = 0 } = this.#guest_ ?? {};
    const { name = "", cpus = 0, memoryMiB = 0 } = config ?? {};
    return {
      ok: true,
      status: {
        version: CONTROL_VERSION,
        program: VERSION,
        speaks: SPOKEN,
        pid: Deno.pid,
        name,
        state: this.#state,
        startedAt,
        cpus,
        memoryMiB,
        ...pausedFor !== null ? { pausedFor } : {},
        ...this.#guest_?.isWaiting ? { held: true } : {},
        ...this.receiver ? { receiving: pick(this.receiver) } : {},
      },
    };
  }

  #setState(state: VmmState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#publish({ event: "state", state });
  }

  #publish(event: Event): void {
    for (const client of this.#events) client.answer(event);
  }

  serial(bytes: Uint8Array<ArrayBuffer>): void {
    this.#log.append(bytes);
    for (const client of this.#serial) client.send(bytes);
  }

  /** A client that does not read is dropped, so there is always room. */
  takesSerial(): boolean {
    return true;
  }

  serialRoom(): void {
    for (const client of this.#serial) client.offer();
  }

  log(line: string): void {
    console.error(line);
  }

  unplugged(device: string): void {
    this.#publish({ event: "unplugged", device });
  }

  paused(reason: string | null): void {
    this.#publish(reason === null ? { event: "resumed" } : { event: "paused", reason });
  }

  /** Goes on in another VMM's place: with what the guest's serial port had sent, and its folder's socket. */
  takePlace({ serial, folder }: { serial: Uint8Array; folder: string | undefined }): void {
    this.#log.append(serial);
    if (folder === undefined) return;
    const place = folder + this.#socket.slice(this.#socket.lastIndexOf("/"));
    try {
      // Who connects from here on comes here; whoever did before is the other's to see off.
      Deno.renameSync(this.#socket, place);
      this.#socket = place;
    } catch (error) {
      this.log(`Cannot move the control socket to "${place}": ${(error as Error).message}`);
    }
  }

  /** Says goodbye to everybody, and leaves no socket, unless another VMM has its place. */
  close(end: GuestEnd): void {
    this.#publish({ event: "exit", ...end });
    if (this.#guest_ === undefined) {
      this.#order?.client.answer({ ok: false, error: end.message } satisfies Response);
    }
    if (this.#listener < 0) return;
    this.#loop.unwatch(this.#listener);
    close(this.#listener);
    for (const client of this.#clients) client.end();
    let isLate = false;
    this.#loop.after(GOODBYE_MS, () => isLate = true);
    this.#loop.run(() => this.#clients.size === 0 || isLate);
    if (end.reason !== "upgraded") removeIfThere(this.#socket);
  }
}

function pick({ phase, handOver }: Pick<ReceivedHere, "phase" | "handOver">): Status["receiving"] {
  return { phase, handOver };
}
