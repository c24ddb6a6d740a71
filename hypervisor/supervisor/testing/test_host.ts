/**
 * A whole host for tests: a supervisor on temporary directories, served on both sockets, with VMMs
 * that only pretend and a network that is a list.
 *
 * @module
 */
import { statfsSync } from "node:fs";
import { assertEquals } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { isAlive, killProcess, type ProcessId, reapChild } from "../../sys/processes.ts";
import type { Guest, GuestCreate, SnapshotCreate, Task } from "../api/schemas.ts";
import { type UnixApi, unixApi } from "../api/unix.ts";
import { serveSocket } from "../http/listen.ts";
import { Run } from "../lives/run.ts";
import { VmmProcess } from "../lives/vmm_process.ts";
import type { LogFields, LogLevel } from "../log.ts";
import { type AttachOptions, type Network, tapName } from "../network.ts";
import { Supervisor, type SupervisorOptions } from "../supervisor.ts";
import { vmmCommand } from "../vmm_command.ts";

/** Guests' network cards as names in a set. */
export class PretendNetwork implements Network {
  readonly taps = new Set<string>();
  /** With what the last tap was made. */
  lastOptions: AttachOptions = {};
  attachError: Error | null = null;

  attach(netId: string, options: AttachOptions = {}): string {
    if (this.attachError !== null) throw this.attachError;
    const tap = tapName(netId);
    this.taps.add(tap);
    this.lastOptions = options;
    return tap;
  }

  detach(netId: string): Promise<void> {
    this.taps.delete(tapName(netId));
    return Promise.resolve();
  }
}

export interface LogLine extends LogFields {
  level: LogLevel;
  message: string;
}

export interface TestOptions extends
  Partial<
    Pick<
      SupervisorOptions,
      | "access"
      | "memoryMiB"
      | "command"
      | "figuresMs"
      | "agents"
      | "canShare"
      | "poolSize"
      | "poolRefillMs"
      | "moves"
      | "peers"
      | "peerWatchMs"
      | "hostSocket"
      | "storage"
      | "update"
      | "pstore"
      | "stores"
      | "storeLookMs"
    >
  > {
  /** Instead of the pretended one. */
  realNetwork?: Network;
  /** Where the host's directory is made. */
  parent?: string;
}

const FAKE_VMM = fromFileUrl(new URL("./fake_vmm.ts", import.meta.url));
export const fakeVmm = vmmCommand(FAKE_VMM);
/** Longer than whatever a test waits for takes, in the lab too. */
const PATIENCE_MS = 240_000;
/** The cheapest that Argon2 allows. */
export const CHEAP = { memory: 8, passes: 1 };

/** Where a sync costs nothing; undefined where there is no such place, or too little of it. */
function memoryDirectory(): string | undefined {
  try {
    const { bavail, bsize } = statfsSync("/dev/shm");
    return bavail * bsize > 1024 ** 3 ? "/dev/shm" : undefined;
  } catch {
    return undefined;
  }
}

export class TestHost implements AsyncDisposable {
  readonly directory: string;
  readonly network = new PretendNetwork();
  readonly log: LogLine[] = [];
  readonly #options: TestOptions;
  #supervisor!: Supervisor;
  #servers: Deno.HttpServer<Deno.UnixAddr>[] = [];
  #apis: UnixApi[] = [];
  local!: UnixApi;

  constructor(options: TestOptions = {}) {
    this.#options = options;
    this.directory = Deno.makeTempDirSync({
      prefix: "dv-",
      dir: options.parent ?? memoryDirectory(),
    });
  }

  static async start(options: TestOptions = {}): Promise<TestHost> {
    const host = new TestHost(options);
    await host.up();
    return host;
  }

  get supervisor(): Supervisor {
    return this.#supervisor;
  }

  path(...parts: string[]): string {
    return join(this.directory, ...parts);
  }

  /** Starts the supervisor, for the first time or again. */
  async up(): Promise<void> {
    const { access, realNetwork, parent: _, ...rest } = this.#options;
    this.#supervisor = new Supervisor({
      data: this.path("data"),
      run: this.path("run"),
      command: fakeVmm,
      network: realNetwork ?? this.network,
      log: (level, message, fields) => this.log.push({ ...fields, level, message }),
      memoryMiB: () => 4096,
      ...rest,
      access: { costs: CHEAP, ...access },
    });
    await this.#supervisor.prepare();
    this.#servers = [
      serveSocket(this.#supervisor, { path: this.path("run/supervisor.sock"), door: "local" }),
      serveSocket(this.#supervisor, { path: this.path("run/console/api.sock"), door: "console" }),
    ];
    await this.#supervisor.meetOthers();
    this.local = this.api("local");
  }

  /** Ends the supervisor; VMMs run on. */
  async down(): Promise<void> {
    this.#supervisor.close();
    for (const api of this.#apis.splice(0)) api[Symbol.dispose]();
    await Promise.all(this.#servers.splice(0).map((server) => server.shutdown()));
    await this.#supervisor.settled();
    await this.#supervisor.guests.settled();
  }

  api(door: "local" | "console", headers?: () => Record<string, string>): UnixApi {
    const socket = door === "local" ? "run/supervisor.sock" : "run/console/api.sock";
    const api = unixApi(this.path(socket), { headers });
    this.#apis.push(api);
    return api;
  }

  /** A request as anyone may send it. */
  request(
    path: string,
    init: RequestInit & { door?: "local" | "console" } = {},
  ): Promise<Response> {
    const { door = "local", ...rest } = init;
    return this.api(door).fetch(`http://localhost${path}`, rest);
  }

  async image(kind: "kernel" | "initrd" | "disk", name: string, size = 4096): Promise<void> {
    await this.local.client.upload({ kind, name }, new Uint8Array(size).fill(7));
  }

  /** Makes a guest that has a kernel; `cmdline` tells its VMM how to behave. */
  async guest(body: Partial<GuestCreate> = {}): Promise<Guest> {
    if (this.supervisor.images.get("kernel", "k") === null) await this.image("kernel", "k");
    return await this.local.client.call("createGuest", {
      body: { name: "web", kernel: "k", memoryMiB: 128, ...body },
    });
  }

  start(id: string): Promise<Guest> {
    return this.local.client.call("startGuest", { params: { id } });
  }

  /** Presses the power button, and resolves once the guest has stopped. */
  async stop(id: string): Promise<Guest> {
    const stopped = this.reaches(id, "stopped");
    await this.local.client.call("stopGuest", { params: { id } });
    return await stopped;
  }

  get(id: string): Promise<Guest> {
    return this.local.client.call("getGuest", { params: { id } });
  }

  /** Resolves once the guest is in `state`, told by its event. */
  reaches(id: string, state: Guest["state"]): Promise<Guest> {
    return this.until(id, (guest) => guest.state === state);
  }

  /** Resolves once the guest is as `is` has it, told by its event; gives up in the end. */
  async until(id: string, is: (guest: Guest) => boolean): Promise<Guest> {
    const reached = Promise.withResolvers<Guest>();
    const timer = setTimeout(() => {
      const guest = JSON.stringify(this.supervisor.guests.get(id));
      reached.reject(new Error(`Cannot wait for a guest any longer: it is ${guest}`));
    }, PATIENCE_MS);
    const end = this.supervisor.events.subscribe((change) => {
      if (change.name === "guest" && change.data.id === id && is(change.data)) {
        reached.resolve(change.data);
      }
    });
    const now = this.supervisor.guests.get(id);
    if (is(now)) reached.resolve(now);
    try {
      return await reached.promise;
    } finally {
      clearTimeout(timer);
      end();
    }
  }

  /** Resolves once a task has ended, however. */
  async ended({ id }: Task): Promise<Task> {
    const ended = Promise.withResolvers<Task>();
    const isOver = (task: Task) => task.id === id && task.state !== "running";
    const unsubscribe = this.supervisor.events.subscribe((change) => {
      if (change.name === "task" && isOver(change.data)) ended.resolve(change.data);
    });
    const now = this.supervisor.tasks.get(id);
    if (isOver(now)) ended.resolve(now);
    try {
      return await ended.promise;
    } finally {
      unsubscribe();
    }
  }

  /** Does what a task is for, and resolves once it is done. */
  async done(task: Promise<Task>): Promise<Task> {
    const ended = await this.ended(await task);
    assertEquals([ended.state, ended.error], ["done", null]);
    return ended;
  }

  /** Takes a snapshot; its id. */
  async snapshot(id: string, body: SnapshotCreate): Promise<string> {
    const params = { id };
    await this.done(this.local.client.call("createSnapshot", { params, body }));
    const { snapshots } = await this.local.client.call("listSnapshots", { params });
    return snapshots.find(({ name }) => name === body.name)!.id;
  }

  /** The process of a guest's VMM. */
  processOf(id: string): ProcessId {
    return JSON.parse(Deno.readTextFileSync(this.path("run/guests", id, "process.json")));
  }

  /** The VMM of a guest that runs, to ask without the supervisor. */
  processFor(id: string): VmmProcess {
    const directory = this.path("run/guests", id);
    return new VmmProcess(directory, this.processOf(id), {
      cgroup: "",
      run: Run.find(directory),
    });
  }

  /** Types into a guest's console without the supervisor; resolves once the VMM has taken it. */
  async type(id: string, text: string): Promise<void> {
    using connection = await Deno.connect({
      transport: "unix",
      path: this.path("run/guests", id, "control.sock"),
    });
    await connection.write(new TextEncoder().encode('{"op":"serial"}\n'));
    let seen = "";
    const bytes = new Uint8Array(4096);
    while (!seen.includes("console of")) {
      const count = await connection.read(bytes);
      if (count === null) throw new Error(`Cannot type at guest "${id}": its VMM hung up`);
      seen += new TextDecoder().decode(bytes.subarray(0, count));
    }
    await connection.write(new TextEncoder().encode(text));
    await connection.read(new Uint8Array(4096)).catch(() => null);
  }

  /** What a guest with a VMM that pretends says first on its console. */
  async said(id: string): Promise<string> {
    using control = await this.supervisor.guests.openSerial(id);
    const decoder = new TextDecoder();
    let text = decoder.decode(control.lines.rest());
    while (!text.includes("\n")) {
      const more = await control.lines.read();
      if (more === null) throw new Error(`Cannot read the console of "${id}": its VMM hung up`);
      text += decoder.decode(more);
    }
    return text;
  }

  /** The file of a guest's first disk, or of another. */
  diskFile(guest: Guest, index = 0): string {
    return this.path("data/guests", guest.id, `${guest.disks[index].id}.img`);
  }

  /** The file that a running guest's VMM has for its first disk, or for another. */
  usedDisk(id: string, index = 0): string {
    const config = JSON.parse(Deno.readTextFileSync(this.path("run/guests", id, "config.json")));
    return config.disks[index].path;
  }

  /** Names below a directory of the host. */
  names(path: string): string[] {
    return [...Deno.readDirSync(this.path(path))].map(({ name }) => name).sort();
  }

  /** Nothing of any run is left. */
  assertNothingLeft(): void {
    assertEquals(this.names("run/guests"), []);
    assertEquals([...this.network.taps], []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const processes = this.names("run/guests").flatMap((id) => {
      try {
        return [this.processOf(id)];
      } catch {
        return [];
      }
    });
    if (!this.supervisor.closing.aborted) await this.down();
    for (const process of processes) killProcess(process);
    for (const { pid } of processes) {
      while (reapChild(pid) === null) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    for (const process of processes) assertEquals(isAlive(process), false);
    Deno.removeSync(this.directory, { recursive: true });
  }
}
