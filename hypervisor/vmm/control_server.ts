/**
 * A guest under a supervisor's control: answers on the control socket (control.ts) and leaves word of
 * its end in `exit.json` beside it.
 *
 * @module
 */
import {
  CONTROL_VERSION,
  type Event,
  EXIT_CODES,
  type ExitReason,
  type GuestConfig,
  MAX_LINE_BYTES,
  type Request,
  type Response,
  SERIAL_REPLAY_BYTES,
  type VmmState,
} from "./control.ts";
import { ConfigError } from "./config/fields.ts";
import { Guest } from "./guest.ts";
import { SerialLog } from "./serial_log.ts";

/** How much a client of the serial port may fall behind before it is dropped, in bytes. */
const MAX_BACKLOG = 4 * SERIAL_REPLAY_BYTES;
const READ_BYTES = 4096;

/** Runs the guest until its end; the process's exit code. */
export async function runUnderControl(config: GuestConfig, socket: string): Promise<number> {
  const end = await run(config, socket);
  writeAtomically(socket.replace(/[^/]*$/, "exit.json"), JSON.stringify(end));
  remove(socket);
  return EXIT_CODES[end.reason];
}

async function run(
  config: GuestConfig,
  socket: string,
): Promise<{ reason: ExitReason; message: string }> {
  let server: ControlServer;
  try {
    server = new ControlServer(config, socket);
  } catch (error) {
    const message = (error as Error).message;
    // The last line on stderr is the error for people.
    console.error(message);
    return { reason: error instanceof ConfigError ? "refused" : "host", message };
  }
  const end = await server.guest.ended;
  await server.close(end);
  return end;
}

function writeAtomically(path: string, text: string): void {
  const temporary = `${path}.new`;
  const file = Deno.openSync(temporary, { write: true, create: true, truncate: true });
  file.writeSync(new TextEncoder().encode(text));
  file.syncSync();
  file.close();
  Deno.renameSync(temporary, path);
}

function remove(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

class ControlServer {
  readonly guest: Guest;
  readonly #listener: Deno.UnixListener;
  readonly #log = new SerialLog(SERIAL_REPLAY_BYTES);
  readonly #clients = new Set<Client>();
  readonly #serial = new Set<Client>();
  readonly #events = new Set<Client>();
  #state: VmmState = "running";
  #room = Promise.withResolvers<void>();

  constructor(config: GuestConfig, socket: string) {
    this.guest = new Guest(config, {
      serial: (bytes) => {
        this.#log.append(bytes);
        for (const client of this.#serial) client.send(bytes);
      },
      serialRoom: () => {
        this.#room.resolve();
        this.#room = Promise.withResolvers();
      },
      log: (line) => console.error(line),
    });
    // One that a run before has left.
    remove(socket);
    this.#listener = Deno.listen({ transport: "unix", path: socket });
    Deno.chmodSync(socket, 0o600);
    this.#accept();
  }

  async #accept(): Promise<void> {
    for await (const connection of this.#listener) {
      this.#handle(new Client(connection));
    }
  }

  async #handle(client: Client): Promise<void> {
    this.#clients.add(client);
    try {
      await this.#serve(client);
      await client.flush();
    } catch {
      // The other side went away.
    }
    this.#clients.delete(client);
    client.close();
  }

  async #serve(client: Client): Promise<void> {
    const line = await client.readLine();
    if (line === null) return;
    const request = parseRequest(line);
    if (request === undefined) {
      const error = `Cannot understand ${JSON.stringify(line.slice(0, 80))}: it is no request`;
      return client.answer({ ok: false, error });
    }
    switch (request.op) {
      case "status":
        return client.answer(this.#status());
      case "power_button":
        this.guest.pressPowerButton();
        this.#setState("stopping");
        return client.answer(this.#status());
      case "kill":
        this.#setState("stopping");
        client.answer(this.#status());
        return this.guest.kill();
      case "events":
        client.answer(this.#status());
        return await this.#follow(client, this.#events);
      case "serial":
        client.answer(this.#status());
        client.send(this.#log.read());
        return await this.#follow(client, this.#serial, (bytes) => this.#type(bytes));
    }
  }

  /** Keeps the client in `set` until it goes. */
  async #follow(
    client: Client,
    set: Set<Client>,
    received: (bytes: Uint8Array) => Promise<void> = async () => {},
  ): Promise<void> {
    set.add(client);
    try {
      for await (const bytes of client.read()) await received(bytes);
    } finally {
      set.delete(client);
    }
  }

  async #type(bytes: Uint8Array): Promise<void> {
    let ended = false;
    for (let sent = 0; sent < bytes.length && !ended;) {
      // Before it is tried: room may be made as soon as there is none.
      const room = this.#room.promise;
      const taken = this.guest.type(bytes.subarray(sent));
      sent += taken;
      if (taken === 0) ended = await Promise.race([room, this.guest.ended]) !== undefined;
    }
  }

  #status(): Response {
    const { name, cpus, memoryMiB } = this.guest.config;
    return {
      ok: true,
      status: {
        version: CONTROL_VERSION,
        pid: Deno.pid,
        name,
        state: this.#state,
        startedAt: this.guest.startedAt,
        cpus,
        memoryMiB,
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

  /** Says goodbye to everybody. */
  async close(end: { reason: ExitReason; message: string }): Promise<void> {
    this.#publish({ event: "exit", ...end });
    this.#listener.close();
    await Promise.all([...this.#clients].map((client) => client.flush()));
  }
}

function parseRequest(line: string): Request | undefined {
  const OPS: readonly Request["op"][] = ["status", "power_button", "kill", "events", "serial"];
  try {
    const value = JSON.parse(line);
    return OPS.includes(value?.op) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** One connection: sends in order, without making the sender wait. */
class Client {
  readonly #connection: Deno.UnixConn;
  #rest: Uint8Array<ArrayBuffer> = new Uint8Array();
  #sending: Promise<void> = Promise.resolve();
  #backlog = 0;

  constructor(connection: Deno.UnixConn) {
    this.#connection = connection;
  }

  /** The first line; null if it is too long or does not come. */
  async readLine(): Promise<string | null> {
    for await (const bytes of this.#chunks()) {
      const joined = new Uint8Array(this.#rest.length + bytes.length);
      joined.set(this.#rest);
      joined.set(bytes, this.#rest.length);
      this.#rest = joined;
      const end = joined.indexOf(0x0A);
      if (end >= 0) {
        this.#rest = joined.slice(end + 1);
        return new TextDecoder().decode(joined.subarray(0, end));
      }
      if (joined.length > MAX_LINE_BYTES) return null;
    }
    return null;
  }

  /** What follows the first line. */
  async *read(): AsyncGenerator<Uint8Array> {
    if (this.#rest.length > 0) yield this.#rest;
    yield* this.#chunks();
  }

  async *#chunks(): AsyncGenerator<Uint8Array> {
    const buffer = new Uint8Array(READ_BYTES);
    for (;;) {
      const n = await this.#connection.read(buffer);
      if (n === null) return;
      yield buffer.slice(0, n);
    }
  }

  answer(message: Response | Event): void {
    this.send(new TextEncoder().encode(JSON.stringify(message) + "\n"));
  }

  send(bytes: Uint8Array<ArrayBuffer>): void {
    if (bytes.length === 0) return;
    this.#backlog += bytes.length;
    if (this.#backlog > MAX_BACKLOG) return this.close();
    this.#sending = this.#sending.then(async () => {
      for (let at = 0; at < bytes.length;) at += await this.#connection.write(bytes.subarray(at));
      this.#backlog -= bytes.length;
    }).catch(() => {});
  }

  close(): void {
    try {
      this.#connection.close();
    } catch {
      // It is closed.
    }
  }

  /** Returns when all that was sent is on its way, or one second has passed. */
  async flush(): Promise<void> {
    const limit = Promise.withResolvers<void>();
    const timer = setTimeout(limit.resolve, 1000);
    await Promise.race([this.#sending, limit.promise]);
    clearTimeout(timer);
  }
}
