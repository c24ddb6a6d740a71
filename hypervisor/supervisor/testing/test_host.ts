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
import type { Guest, GuestCreate } from "../api/schemas.ts";
import { type UnixApi, unixApi } from "../api/unix.ts";
import { serveSocket } from "../http/listen.ts";
import type { LogFields, LogLevel } from "../log.ts";
import { type Network, tapName } from "../network.ts";
import { Supervisor, type SupervisorOptions } from "../supervisor.ts";
import { vmmCommand } from "../vmm_command.ts";

/** Guests' NICs as names in a set. */
export class PretendNetwork implements Network {
  readonly taps = new Set<string>();
  attachError: Error | null = null;

  attach(guestId: string): string {
    if (this.attachError !== null) throw this.attachError;
    const tap = tapName(guestId);
    this.taps.add(tap);
    return tap;
  }

  detach(guestId: string): Promise<void> {
    this.taps.delete(tapName(guestId));
    return Promise.resolve();
  }
}

export interface LogLine extends LogFields {
  level: LogLevel;
  message: string;
}

export interface TestOptions
  extends Partial<Pick<SupervisorOptions, "access" | "memoryMiB" | "command">> {
  /** Instead of the pretended one. */
  realNetwork?: Network;
  /** Where the host's directory is made. */
  parent?: string;
}

const FAKE_VMM = fromFileUrl(new URL("./fake_vmm.ts", import.meta.url));
export const fakeVmm = vmmCommand(FAKE_VMM);
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
    this.local = this.api("local");
  }

  /** Ends the supervisor; VMMs run on. */
  async down(): Promise<void> {
    this.#supervisor.close();
    for (const api of this.#apis.splice(0)) api[Symbol.dispose]();
    await Promise.all(this.#servers.splice(0).map((server) => server.shutdown()));
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

  get(id: string): Promise<Guest> {
    return this.local.client.call("getGuest", { params: { id } });
  }

  /** Resolves once the guest is in `state`, told by its event. */
  async reaches(id: string, state: Guest["state"]): Promise<Guest> {
    const reached = Promise.withResolvers<Guest>();
    const end = this.supervisor.events.subscribe((change) => {
      if (change.name === "guest" && change.data.id === id && change.data.state === state) {
        reached.resolve(change.data);
      }
    });
    const now = this.supervisor.guests.get(id);
    if (now.state === state) reached.resolve(now);
    try {
      return await reached.promise;
    } finally {
      end();
    }
  }

  /** The process of a guest's VMM. */
  processOf(id: string): ProcessId {
    return JSON.parse(Deno.readTextFileSync(this.path("run/guests", id, "process.json")));
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
