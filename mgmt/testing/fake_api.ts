/**
 * The supervisor's API without a host behind it: guests are records, their serial ports echo. For
 * tests of the console and for working on its pages.
 *
 * @module
 */
import { type isAllowed, phaseOf, whyNot } from "../../hypervisor/supervisor/api/actions.ts";
import {
  type Guest,
  GuestCreate,
  GuestUpdate,
  type Host,
  type Image,
  type ImageKind,
  Login,
  Setup,
} from "../../hypervisor/supervisor/api/schemas.ts";
import { FakeCloudInits, newCloudInit } from "./fake_cloud_init.ts";
import { changeDevices, FakeRefusal } from "./fake_devices.ts";
import { FakeLives } from "./fake_lives.ts";
import { FakeLog } from "./fake_log.ts";
import { FakeNetwork } from "./fake_network.ts";
import { FakeStorage } from "./fake_storage.ts";
import { FakeUpdate } from "./fake_update.ts";
import { FakeSerial } from "./fake_serial.ts";
import { FakeSsh } from "./fake_ssh.ts";
import { problem } from "./fake_problem.ts";
import { demoGuests, demoHost, demoImages, newGuest } from "./fake_data.ts";

export interface FakeApiOptions {
  path: string;
  /** No password is set, and this is the one-time code. */
  setupCode?: string;
  /** Already set. */
  password?: string;
  guests?: Guest[];
  images?: Image[];
  host?: Partial<Host>;
  /** How long snapshots, moves and the like take. */
  taskMs?: number;
}

const COOKIE = "__Host-session";

export class FakeApi {
  readonly host: Host;
  readonly guests: Map<string, Guest>;
  images: Image[];
  /** Snapshots, other hosts, and tasks. */
  readonly lives: FakeLives;
  readonly network = new FakeNetwork();
  readonly ssh = new FakeSsh();
  readonly #cloudInits = new FakeCloudInits();
  readonly storage: FakeStorage;
  readonly update = new FakeUpdate((data) => this.#emit("update", data));
  readonly hostLog = new FakeLog();
  password: string | null;
  /** What the last requests were, as "METHOD path". */
  readonly log: string[] = [];
  /** Headers of the last request that changes something. */
  lastHeaders: Headers = new Headers();
  #held: Promise<void> | null = null;
  readonly #setupCode: string;
  readonly #sessions = new Map<string, string>();
  readonly #streams = new Set<(name: string, data: unknown) => void>();
  readonly #serials = new Map<string, FakeSerial>();
  readonly #server: Deno.HttpServer;

  constructor(options: FakeApiOptions) {
    this.host = { ...demoHost(), ...options.host };
    this.guests = new Map((options.guests ?? demoGuests()).map((it) => [it.id, it]));
    this.images = options.images ?? demoImages();
    this.lives = new FakeLives({
      guests: this.guests,
      emit: (name, data) => this.#emit(name, data),
      taskMs: options.taskMs ?? 0,
    });
    this.storage = new FakeStorage({
      emit: (name, data) => this.#emit(name, data),
      install: (detail) =>
        this.lives.work.begin(
          { kind: "install", guest: null, detail, phase: "Copying the system" },
          () => ({}),
        ),
    });
    this.password = options.password ?? null;
    this.#setupCode = options.setupCode ?? "TEST-CODE";
    this.#server = Deno.serve(
      { path: options.path, onListen() {} },
      (request) => this.#answer(request),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const serial of this.#serials.values()) serial.end();
    await this.#server.shutdown();
  }

  /** Changes a guest and tells it on the event stream. */
  put(id: string, change: Partial<Guest>): Guest {
    const guest = { ...this.guests.get(id)!, ...change };
    this.guests.set(id, guest);
    this.#emit("guest", guest);
    return guest;
  }

  /** The serial port of a guest. */
  serial(id: string): FakeSerial {
    let serial = this.#serials.get(id);
    if (!serial) this.#serials.set(id, serial = new FakeSerial(this.guests.get(id)!.name));
    return serial;
  }

  /** Lets uploads wait after their first bytes, until what it returns is called. */
  holdUploads(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#held = promise;
    return () => {
      this.#held = null;
      resolve();
    };
  }

  /** Ends all sessions. */
  signOutAll(): void {
    this.#sessions.clear();
  }

  #emit(name: string, data: unknown): void {
    for (const send of this.#streams) send(name, data);
  }

  async #answer(request: Request): Promise<Response> {
    const path = new URL(request.url).pathname.replace(/^\/api\/v1/, "");
    this.log.push(`${request.method} ${path}`);
    if (request.method !== "GET") this.lastHeaders = new Headers(request.headers);
    try {
      return await this.#route(request, path);
    } catch (error) {
      if (error instanceof Response) return error;
      throw error;
    }
  }

  async #route(request: Request, path: string): Promise<Response> {
    const token = new RegExp(`${COOKIE}=(\\w+)`).exec(request.headers.get("cookie") ?? "")?.[1];
    const csrf = token ? this.#sessions.get(token) : undefined;
    const info = () => ({
      setupNeeded: this.password === null,
      signedIn: csrf !== undefined,
      csrfToken: csrf ?? null,
    });
    const json = async () => await request.json();
    switch (`${request.method} ${path}`) {
      case "GET /session":
        return Response.json(info());
      case "POST /session":
        return this.#logIn(Login.parse(await json()).password);
      case "POST /setup": {
        const { code, password } = Setup.parse(await json());
        if (code.toUpperCase() !== this.#setupCode) {
          throw problem(403, "wrong_code", "Cannot set up: the code is wrong");
        }
        this.password = password;
        return Response.json({ setupNeeded: false, signedIn: false, csrfToken: null });
      }
    }
    if (csrf === undefined) throw problem(401, "not_signed_in", "Sign in first");
    if (request.method !== "GET" && request.headers.get("x-csrf-token") !== csrf) {
      throw problem(403, "csrf_failed", "Cannot take a change without the token");
    }
    switch (`${request.method} ${path}`) {
      case "DELETE /session":
        this.#sessions.delete(token!);
        return Response.json({ setupNeeded: false, signedIn: false, csrfToken: null });
      case "GET /host":
        return Response.json(this.host);
      case "PATCH /host":
        this.#emit("host", Object.assign(this.host, await json()));
        return Response.json(this.host);
      case "GET /events":
        return this.#events();
      case "GET /guests":
        return Response.json([...this.guests.values()]);
      case "POST /guests":
        return this.#create(await json());
      case "GET /images":
        return Response.json(this.images);
    }
    const life = await this.lives.answer(request, path) ??
      await this.network.answer(request, path) ?? this.hostLog.answer(request, path) ??
      await this.storage.answer(request, path) ?? await this.ssh.answer(request, path) ??
      await this.update.answer(request, path);
    if (life !== null) return life;
    const image = /^\/images\/(kernel|initrd|disk)\/([^/]+)$/.exec(path);
    if (image) return await this.#image(request, image[1] as ImageKind, image[2]);
    const device = /^\/guests\/([^/]+)\/(disks|nets)(?:\/([^/]+))?(?:\/(plug|unplug))?$/.exec(path);
    if (device) return await this.#device(request, device);
    const guest = /^\/guests\/([^/]+)(?:\/([\w-]+))?$/.exec(path);
    if (guest) return await this.#guest(request, guest[1], guest[2]);
    throw problem(404, "not_found", `Cannot find "${path}"`);
  }

  #logIn(password: string): Response {
    if (this.password === null) throw problem(409, "setup_needed", "Set up first");
    if (password !== this.password) {
      throw problem(401, "wrong_password", "Cannot sign in: the password is wrong");
    }
    const token = crypto.randomUUID().replaceAll("-", "");
    const csrfToken = crypto.randomUUID();
    this.#sessions.set(token, csrfToken);
    return Response.json({ setupNeeded: false, signedIn: true, csrfToken }, {
      headers: { "set-cookie": `${COOKIE}=${token}; Path=/; HttpOnly; Secure; SameSite=Strict` },
    });
  }

  #events(): Response {
    let send: (name: string, data: unknown) => void;
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      start: (controller) => {
        send = (name, data) =>
          controller.enqueue(
            new TextEncoder().encode(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`),
          );
        this.#streams.add(send);
        send("snapshot", {
          host: this.host,
          guests: [...this.guests.values()],
          tasks: this.lives.tasks,
          storage: this.storage.told,
        });
      },
      cancel: () => void this.#streams.delete(send),
    });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  }

  #create(body: unknown): Response {
    const parsed = GuestCreate.safeParse(body);
    if (!parsed.success) {
      throw problem(422, "invalid_body", "Cannot read the body", {
        fields: parsed.error.issues.map(({ path, message }) => ({ path: path.join("."), message })),
      });
    }
    if ([...this.guests.values()].some(({ name }) => name === parsed.data.name)) {
      throw problem(409, "name_taken", `Cannot create "${parsed.data.name}": the name is taken`);
    }
    const { cloudInit } = parsed.data;
    const made = newGuest(parsed.data);
    const told = this.#cloudInits.put(made, cloudInit && newCloudInit(cloudInit));
    const guest = { ...made, cloudInit: told };
    this.guests.set(guest.id, guest);
    this.#emit("guest", guest);
    return Response.json(guest, { status: 201 });
  }

  async #guest(request: Request, id: string, action?: string): Promise<Response> {
    const guest = this.guests.get(id);
    if (!guest) throw problem(404, "not_found", `Cannot find a guest with the id "${id}"`);
    const need = (what: Parameters<typeof isAllowed>[0]) => {
      const why = whyNot(what, phaseOf(guest));
      if (why !== null) throw problem(409, "wrong_state", why);
    };
    switch (`${request.method} ${action ?? ""}`) {
      case "GET ":
        return Response.json(guest);
      case "PATCH ":
        need("update");
        return Response.json(this.#update(guest, GuestUpdate.parse(await request.json())));
      case "DELETE ":
        need("delete");
        this.guests.delete(id);
        this.#emit("guest_deleted", { id });
        return new Response(null, { status: 204 });
      case "POST start":
        need("start");
        this.put(id, { state: "starting", error: null });
        return Response.json(
          this.put(id, { state: "running", startedAt: new Date().toISOString() }),
        );
      case "POST stop": {
        const { force } = await request.json();
        need(force ? "force" : "stop");
        if (force) this.serial(id).end();
        const state = force ? "stopped" : "stopping";
        return Response.json(this.put(id, { state }), { status: 202 });
      }
      case "POST reset":
        need("reset");
        return Response.json(this.put(id, { state: "running" }), { status: 202 });
      case "POST pause":
        need("pause");
        return Response.json(this.put(id, { pausedFor: "It was told to pause" }));
      case "POST resume":
        need("resume");
        return Response.json(this.put(id, { pausedFor: null }));
      case "GET cloud-init": {
        const told = this.#cloudInits.get(guest);
        if (told === null) throw problem(404, "not_found", "It has no disk for that");
        return Response.json(told);
      }
      case "GET figures":
        return Response.json([]);
      case "GET console": {
        need("console");
        const { socket, response } = Deno.upgradeWebSocket(request);
        this.serial(id).attach(socket);
        return response;
      }
    }
    throw problem(405, "method_not_allowed", `Cannot ${request.method} that`);
  }

  async #device(request: Request, match: RegExpExecArray): Promise<Response> {
    const [, id, kind, device, action] = match;
    const guest = this.guests.get(id);
    if (!guest) throw problem(404, "not_found", `Cannot find a guest with the id "${id}"`);
    const text = await request.text();
    try {
      const next = changeDevices(guest, {
        kind: kind as "disks" | "nets",
        device,
        what: action ?? request.method,
        body: JSON.parse(text || "{}"),
      });
      return Response.json(this.put(id, next), { status: device ? 200 : 201 });
    } catch (error) {
      if (error instanceof FakeRefusal) throw problem(409, "wrong_state", error.message);
      throw error;
    }
  }

  #update(guest: Guest, { cpu, memory, cloudInit, ...body }: GuestUpdate): Guest {
    return this.put(guest.id, {
      ...body,
      cloudInit: this.#cloudInits.change({ ...guest, ...body }, cloudInit),
      cpu: { ...guest.cpu, ...cpu },
      memory: { ...guest.memory, ...memory },
    });
  }

  async #image(request: Request, kind: ImageKind, name: string): Promise<Response> {
    const known = this.images.find((it) => it.kind === kind && it.name === name);
    if (request.method === "DELETE") {
      if (!known) throw problem(404, "not_found", `Cannot find the ${kind} "${name}"`);
      this.images = this.images.filter((it) => it !== known);
      return new Response(null, { status: 204 });
    }
    if (known) throw problem(409, "image_exists", `Cannot upload "${name}": it exists`);
    let sizeBytes = 0;
    for await (const chunk of request.body ?? []) {
      sizeBytes += chunk.length;
      await this.#held;
    }
    const image: Image = { kind, name, sizeBytes, createdAt: new Date().toISOString(), usedBy: [] };
    this.images = [...this.images, image];
    return Response.json(image, { status: 201 });
  }
}
