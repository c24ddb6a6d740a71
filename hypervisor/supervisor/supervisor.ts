/**
 * The supervisor's parts, put together.
 *
 * @module
 */
import { join } from "@std/path";
import * as z from "zod";
import { lockWithin } from "../sys/flock.ts";
import { close, O_CREAT, O_RDWR, open } from "../sys/files.ts";
import { Access, type AccessOptions } from "./access/access.ts";
import type { AgentWatchOptions } from "./agent/watch.ts";
import type { Health, Host, HostChange, ImageKind, RestartHost } from "./api/schemas.ts";
import { ApplianceLog } from "./appliance_log.ts";
import { ApplianceNetwork } from "./appliance_network.ts";
import { ApplianceSsh } from "./appliance_ssh.ts";
import { ApplianceStorage, type ApplianceStorageOptions } from "./appliance_storage.ts";
import { ApplianceUpdate, type ApplianceUpdateOptions } from "./appliance_update.ts";
import { Crashes } from "./crashes/crashes.ts";
import { takePstore } from "./crashes/pstore.ts";
import { exists } from "./durable.ts";
import { EventHub } from "./events.ts";
import { readHealth, readHost } from "./host.ts";
import { Images } from "./images/images.ts";
import { GuestDisks } from "./lives/disks.ts";
import { AtShutdownChoice } from "./lives/at_shutdown.ts";
import { Guests } from "./lives/guests.ts";
import { Tasks } from "./lives/tasks.ts";
import { logTail } from "./lives/vmm_log.ts";
import { VmmPool } from "./lives/vmm_pool.ts";
import type { VmmCommand } from "./lives/vmm_process.ts";
import { type Log, messageOf } from "./log.ts";
import type { Network } from "./network.ts";
import { problem } from "./problem.ts";
import { ProcessOne } from "./process_one.ts";
import type { Address } from "./peers/address.ts";
import { loadIdentity } from "./peers/identity.ts";
import { Moves, type MovesOptions } from "./peers/moves.ts";
import { Peers, type PeersOptions } from "./peers/peers.ts";
import { SharedFiles } from "./shared/files.ts";
import { type StoreOption, Stores } from "./shared/stores.ts";
import { type Database, openDatabase } from "./store/database.ts";
import { GuestStore } from "./store/guests.ts";
import { MoveStore } from "./store/moves.ts";
import { PeerStore } from "./store/peers.ts";
import { SaveStore } from "./store/saves.ts";
import { SettingStore } from "./store/settings.ts";
import { SharedFileStore } from "./store/shared_files.ts";
import { SnapshotStore } from "./store/snapshots.ts";
import type { BundleSources } from "./support/bundle.ts";

export interface SupervisorOptions {
  /** The directory that is kept. */
  data: string;
  /** The directory that is gone after a power cut. */
  run: string;
  command: VmmCommand;
  network: Network;
  log: Log;
  /** Where process 1 of the appliance answers; null on other hosts. */
  hostSocket?: string | null;
  /** Where the kernel shows what it kept of a crash over the restart; null where it does not. */
  pstore?: string | null;
  /** Where to listen for other hosts; null to keep to itself. */
  peers?: Address | null;
  /** Directories on storage that other hosts see too, by names. */
  stores?: readonly StoreOption[];
  storeLookMs?: number;
  moves?: Pick<MovesOptions, "processor" | "share" | "tracking">;
  peerWatchMs?: number;
  /** For tests: cheaper hashes, other clocks and hosts. */
  access?: Partial<AccessOptions>;
  memoryMiB?: () => number;
  figuresMs?: number;
  /** How many VMMs wait to be told what to run; 0 without. */
  poolSize?: number;
  poolRefillMs?: number;
  agents?: Partial<AgentWatchOptions>;
  canShare?: boolean;
  storage?: Pick<ApplianceStorageOptions, "followMs" | "lookMs">;
  update?: Pick<ApplianceUpdateOptions, "followMs" | "lookMs" | "fetch" | "stallMs">;
}

const SUPPORT_QUESTION = {
  path: "/support",
  what: "settings and problems of the host",
  refused: "internal",
} as const;

const RESTART = {
  method: "POST",
  path: "/restart",
  what: "whether it runs",
  refused: "shutting_down",
} as const;

const HOST_EVENT_MS = 10_000;

export class Supervisor {
  readonly events: EventHub;
  readonly images: Images;
  readonly guests: Guests;
  readonly tasks: Tasks;
  readonly access: Access;
  /** The host's own network, not its guests'. */
  readonly network: ApplianceNetwork;
  readonly ssh: ApplianceSsh;
  readonly storage: ApplianceStorage;
  readonly update: ApplianceUpdate;
  /** The host's log, of which this one's is a part. */
  readonly hostLog: ApplianceLog;
  readonly crashes: Crashes;
  /** What becomes of guests when the host ends. */
  readonly atShutdown: AtShutdownChoice;
  readonly log: Log;
  /** Aborts when the supervisor goes: streams end then. */
  readonly closing: AbortSignal;
  readonly #closing = new AbortController();
  readonly #options: SupervisorOptions;
  readonly #database: Database;
  readonly #processOne: ProcessOne;
  readonly #stores: Stores;
  readonly #data: string;
  readonly #startedAt = new Date().toISOString();
  readonly #release: () => void;
  #peers: Peers | null = null;
  #moves: Moves | null = null;
  #told = "";

  constructor(options: SupervisorOptions) {
    const { data, run, log } = options;
    Deno.mkdirSync(data, { recursive: true, mode: 0o700 });
    Deno.mkdirSync(run, { recursive: true, mode: 0o711 });
    const lock = lockData(data);
    this.closing = this.#closing.signal;
    this.#options = options;
    this.log = log;
    this.#data = data;
    try {
      const database = this.#database = openDatabase(join(data, "denovisor.db"));
      this.events = new EventHub();
      this.tasks = new Tasks({ events: this.events, log });
      this.crashes = new Crashes({
        ...{ directory: join(data, "host", "crashes"), log },
        changed: (data) => this.events.publish({ name: "crashes", data }),
      });
      const store = new GuestStore(database);
      const snapshots = new SnapshotStore(database);
      const usersOf = (kind: ImageKind, name: string) => {
        if (kind === "disk") return [];
        const guests = store.list({ arriving: true }).filter((guest) => guest[kind] === name);
        return [...new Set([...guests.map((it) => it.name), ...snapshots.usersOf(kind, name)])];
      };
      this.images = new Images({ directory: join(data, "images"), usersOf });
      const pool = new VmmPool({
        ...{ command: options.command, size: options.poolSize ?? 0, log },
        ...{ directory: join(run, "pool"), refillMs: options.poolRefillMs },
      });
      this.atShutdown = new AtShutdownChoice(new SettingStore(database));
      const table = new SharedFileStore(database);
      this.#stores = new Stores(options.stores ?? [], {
        ...{ table, log, lookMs: options.storeLookMs },
        appeared: () => shared.settleAll(),
      });
      const shared = new SharedFiles(this.#stores, { table, log });
      this.guests = new Guests({
        pool,
        store,
        snapshots,
        saves: new SaveStore(database),
        atShutdown: this.atShutdown,
        tasks: this.tasks,
        images: this.images,
        crashes: this.crashes,
        disks: new GuestDisks(join(data, "guests"), shared),
        network: options.network,
        events: this.events,
        log,
        command: options.command,
        runDirectory: join(run, "guests"),
        kernelCache: join(data, "kernels"),
        memoryMiB: options.memoryMiB,
        figuresMs: options.figuresMs,
        agents: options.agents,
        canShare: options.canShare,
      });
      this.access = new Access(database, {
        codeFile: join(run, "setup_code"),
        ...options.access,
      });
      const processOne = this.#processOne = new ProcessOne(options.hostSocket ?? null);
      this.network = new ApplianceNetwork(processOne);
      this.ssh = new ApplianceSsh(processOne);
      const { events, tasks } = this;
      this.storage = new ApplianceStorage({ processOne, events, tasks, log, ...options.storage });
      this.update = new ApplianceUpdate({ processOne, events, log, ...options.update });
      this.hostLog = new ApplianceLog(this.#processOne);
      const hostTimer = setInterval(() => this.#tellHost(), HOST_EVENT_MS);
      this.#release = () => {
        clearInterval(hostTimer);
        this.storage.close();
        this.update.close();
        this.#moves?.close();
        this.#peers?.close();
        this.guests.close();
        this.#stores.close();
        pool.close();
        database.close();
        close(lock);
      };
    } catch (error) {
      close(lock);
      throw error;
    }
  }

  /** Finds guests that run, and opens the doors' locks. */
  async prepare(): Promise<void> {
    this.#takeCrashes();
    await this.access.prepare();
    await this.#stores.look();
    await this.guests.adopt();
    // Guests need not wait for slow disks.
    void this.storage.adopt();
  }

  /** Takes up moves, and opens the door for other hosts: once the API is served, before guests are started. */
  async meetOthers(): Promise<void> {
    const { data, log, peers: listen = null, moves, peerWatchMs } = this.#options;
    this.#moves = new Moves({
      ...{ ...moves, log, tasks: this.tasks, events: this.events, ground: this.guests.ground },
      store: new MoveStore(this.#database),
      peer: (id) => this.peers.get(id),
      dial: (peer) => this.peers.dial(peer),
    });
    const about: Pick<PeersOptions, "serveMove" | "refuseForgetting"> = {
      serveMove: (channel, peer, call) => this.moves.serve(channel, peer, call),
      refuseForgetting: (peer) => this.moves.refuseForgetting(peer),
    };
    const open = (door: PeersOptions["door"]) =>
      Peers.open({
        ...{ ...about, door, log, events: this.events, watchMs: peerWatchMs },
        store: new PeerStore(this.#database),
        host: () => this.host(),
      });
    try {
      const door = listen === null ? null : { listen, identity: await loadIdentity(data) };
      this.#peers = await open(door);
    } catch (error) {
      // Guests of this host need no other.
      log("error", "cannot listen for other hosts", { error: messageOf(error) });
      this.#peers = await open(null);
    }
    await this.#moves.adopt();
    this.#peers.begin();
  }

  /** The hosts that this one is paired with; from {@linkcode meetOthers} on. */
  get peers(): Peers {
    return this.#peers ?? tooEarly();
  }

  /** Guests that move from host to host; from {@linkcode meetOthers} on. */
  get moves(): Moves {
    return this.#moves ?? tooEarly();
  }

  #takeCrashes(): void {
    const { pstore = null, log } = this.#options;
    if (pstore === null) return;
    try {
      takePstore(pstore, { crashes: this.crashes, log });
    } catch (error) {
      // What the kernel kept stays where it is, for the next start.
      log("error", "cannot take up the kernel's crashes", { error: messageOf(error) });
    }
  }

  host(): Promise<Host> {
    const stores = this.#stores.list();
    const { ofHost: atShutdown } = this.atShutdown;
    return readHost({ data: this.#data, startedAt: this.#startedAt, stores, atShutdown });
  }

  change({ atShutdown }: HostChange): Promise<Host> {
    if (atShutdown !== undefined) this.atShutdown.ofHost = atShutdown;
    this.#tellHost();
    return this.host();
  }

  /** Has process 1 restart the host, which then asks for guests to be ended. */
  async restart({ guests }: RestartHost): Promise<void> {
    this.atShutdown.once = guests ?? null;
    await this.#processOne.ask(RESTART, z.unknown());
  }

  health(): Promise<Health> {
    return readHealth(this.#data, this.guests);
  }

  /** What a bundle for who is to help from afar is made of. */
  bundleSources(): BundleSources {
    const { run, access = {} } = this.#options;
    const codeFile = access.codeFile ?? join(run, "setup_code");
    return {
      ...{ crashes: this.crashes, host: () => this.host(), guests: () => this.guests.list() },
      vmmOutput: (id) => logTail(join(run, "guests", id, "log")),
      log: () => this.hostLog.all(),
      processOne: {
        "settings.json": () => this.#processOne.ask(SUPPORT_QUESTION, z.unknown()),
        "network.json": () => this.network.get(),
        "storage.json": () => this.storage.get(),
      },
      secrets: () => exists(codeFile) ? [Deno.readTextFileSync(codeFile).trim()] : [],
    };
  }

  #tellHost() {
    if (this.events.listeners === 0) return;
    this.host().then((data) => {
      const text = JSON.stringify(data);
      if (text === this.#told) return;
      this.#told = text;
      this.events.publish({ name: "host", data });
    }).catch((error) => this.log("warn", "cannot read the host's facts", { error: String(error) }));
  }

  /** Ends streams and lets go of the data; guests run on. */
  close(): void {
    if (this.closing.aborted) return;
    this.tasks.giveUp("The supervisor stops");
    this.#closing.abort();
    this.#release();
  }

  /** Resolves when all that {@linkcode close} ended has ended. */
  async settled(): Promise<void> {
    await this.tasks.settled();
    await this.#peers?.settled();
    await this.#moves?.settled();
  }
}

function tooEarly(): never {
  throw problem("busy", "Cannot reach other hosts yet: the supervisor has only just started");
}

/** How long the lock on the data is waited for, in milliseconds. */
const LOCK_MS = 500;

/** Two supervisors on the same data would each undo what the other does. */
function lockData(data: string): number {
  const path = join(data, "lock");
  const lock = open(path, O_RDWR | O_CREAT);
  // The one before may be gone, and a process that it had just begun to start has its lock until it is its own.
  if (lockWithin(lock, { ms: LOCK_MS })) return lock;
  close(lock);
  throw new Error(`Cannot open "${data}": another supervisor runs on it`);
}
