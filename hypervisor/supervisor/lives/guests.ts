/**
 * All guests: made, changed, deleted, started and found again.
 *
 * @module
 */
import { ulid } from "@std/ulid";
import type * as z from "zod";
import { AgentWatch, type AgentWatchOptions } from "../agent/watch.ts";
import {
  type Figures,
  freeDiskName,
  type Guest,
  type GuestCreate,
  type GuestUpdate,
  type HostShutdownProgress,
  machineIssues,
} from "../api/schemas.ts";
import { removeIfThere } from "../durable.ts";
import type { EventHub } from "../events.ts";
import { hostMemoryMiB } from "../host.ts";
import { type Log, messageOf } from "../log.ts";
import { problem } from "../problem.ts";
import type { GuestRecord, GuestStore } from "../store/guests.ts";
import { agentHolders } from "./agent_holders.ts";
import { Claims } from "./claims.ts";
import type { Control } from "./control_client.ts";
import { DiskChanges, diskRecord, diskRequest } from "./disk_changes.ts";
import { FigureWatch } from "./figures.ts";
import { GuestLife, refuse } from "./guest_life.ts";
import { Launcher, type LauncherOptions } from "./launcher.ts";
import { MemoryBudget } from "./memory_budget.ts";
import { changeMemory } from "./memory_changes.ts";
import type { MoveGround } from "./move_ground.ts";
import { NetChanges, netRecord } from "./net_changes.ts";
import { openSerial } from "./serial.ts";
import { stopAll } from "./shutdown.ts";
import { Turns } from "./turns.ts";
import type { VmmProcess } from "./vmm_process.ts";

export interface GuestsOptions extends LauncherOptions {
  store: GuestStore;
  events: EventHub;
  log: Log;
  /** The host's memory in MiB; tests have hosts of their own. */
  memoryMiB?: () => number;
  /** Between two looks at what devices count. */
  figuresMs?: number;
  /** How soon agents are asked; tests are less patient. */
  agents?: Partial<AgentWatchOptions>;
}

const BOUND_LOGS_MS = 5_000;
export class Guests {
  readonly disks: DiskChanges;
  readonly nets: NetChanges;
  readonly ground: MoveGround;
  readonly #options: GuestsOptions;
  readonly #lives = new Map<string, GuestLife>();
  readonly #boundLogs: ReturnType<typeof setInterval>;
  readonly #launcher: Launcher;
  readonly #budget: MemoryBudget;
  readonly #claims = new Claims();
  readonly #figures: FigureWatch;
  readonly #agents: AgentWatch;
  readonly #turns = new Turns();
  readonly #released = new AbortController();
  #shuttingDown = false;

  constructor(options: GuestsOptions) {
    this.#options = options;
    this.#launcher = new Launcher(options);
    this.#budget = new MemoryBudget(
      options.memoryMiB ?? hostMemoryMiB,
      (but) =>
        [...this.#lives.values()].filter((life) => life.isUp && life.record.id !== but)
          .reduce((sum, life) => sum + life.memoryMiB, this.#claims.memoryMiB),
    );
    this.ground = {
      images: options.images,
      disks: options.disks,
      launcher: this.#launcher,
      store: options.store,
      life: (id) => this.#life(id),
      inTurn: (id, act) => this.#inTurn(id, act),
      keep: (life, record) => this.#keep(life, record),
      claims: this.#claims,
      budget: this.#budget,
      arrive: (record, process) => {
        const life = this.#add(record);
        if (process !== null) life.adopt(process);
        life.tell();
        return life;
      },
      leave: (id) => this.#forget(id),
    };
    this.#figures = new FigureWatch({
      events: options.events,
      lives: () => this.#lives.values(),
      everyMs: options.figuresMs,
    });
    this.#agents = new AgentWatch({
      holders: () => agentHolders(this.#lives.values(), this.#launcher),
      ...options.agents,
    });
    this.disks = new DiskChanges(this.ground);
    this.nets = new NetChanges(this.ground);
    for (const record of options.store.list()) this.#add(record);
    this.#boundLogs = setInterval(
      () => this.#forEachProcess((vmm) => vmm.boundLog()),
      BOUND_LOGS_MS,
    );
  }

  /** Stops looking after the guests; they run on. */
  close(): void {
    clearInterval(this.#boundLogs);
    this.#figures.close();
    this.#agents.close();
    this.#released.abort();
  }

  /** Resolves once every run that is going on now is over. */
  async settled(): Promise<void> {
    await Promise.all([...this.#lives.values()].map((life) => life.over));
  }

  #forEachProcess(act: (process: VmmProcess) => void) {
    for (const { process } of this.#lives.values()) if (process !== null) act(process);
  }

  #add(record: GuestRecord): GuestLife {
    const { log, events, store } = this.#options;
    const life = new GuestLife(record, {
      log,
      check: (record) => {
        this.#claims.refuseStart(record);
        this.#launcher.check(record);
        const { memoryMiB, memory } = record;
        this.#budget.refuseTooMuch(record);
        this.#budget.refuseUnfit({ ...record, verb: "start" }, memoryMiB + memory.requestedMiB);
      },
      launch: (record) => this.#launcher.launch(record),
      cleanUp: ({ id }, process) => {
        // What it has written down goes with its directory.
        if (process.hasHandedOver) store.setGiven(id);
        return this.#launcher.cleanUp(process);
      },
      cardGone: (id) => this.#detach([id], record.name),
      released: this.#released.signal,
      keepError: (id, error) => store.setError(id, error),
      changed: (life) => events.publish({ name: "guest", data: life.view() }),
      mayRestart: () => !this.#shuttingDown,
    });
    this.#lives.set(record.id, life);
    return life;
  }

  list(): Guest[] {
    return [...this.#lives.values()].map((life) => life.view())
      .sort((a, b) => a.name < b.name ? -1 : 1);
  }

  get(id: string): Guest {
    return this.#life(id).view();
  }

  /** What the devices of a guest counted lately. */
  figures(id: string): Figures[] {
    return this.#figures.recent(this.#life(id).record.id);
  }

  #life(id: string): GuestLife {
    const life = this.#lives.get(id);
    if (life === undefined) throw problem("not_found", `Cannot find a guest with the id "${id}"`);
    return life;
  }

  async create(body: z.output<typeof GuestCreate>): Promise<Guest> {
    const { store, images, disks } = this.#options;
    const id = ulid();
    store.refuseTakenName(body.name, id);
    this.#budget.refuseTooMuch(body);
    images.require("kernel", body.kernel);
    if (body.initrd !== null) images.require("initrd", body.initrd);
    const nets = body.nets.map(netRecord);
    nets.forEach(({ mac, id }) => store.refuseTakenMac(mac, id));
    const made = body.disks.map((wish, i) => diskRequest({ images }, wish, `disks.${i}.`));
    const sizes = await disks.create({ id, name: body.name }, made.map(({ request }) => request));
    const named: GuestRecord["disks"] = [];
    body.disks.forEach((wish, i) => {
      const { id, request: { file } } = made[i];
      // Those that come later may have chosen their names.
      const name = wish.name ?? freeDiskName([...named, ...body.disks.slice(i + 1)]);
      named.push(diskRecord(wish, { id, name, file, sizeMiB: sizes[i] }));
    });
    const record: GuestRecord = {
      ...body,
      id,
      disks: named,
      nets,
      createdAt: new Date().toISOString(),
      error: null,
    };
    try {
      // The row comes last: with it the guest exists.
      store.put(record);
    } catch (error) {
      disks.delete(id);
      throw error;
    }
    return this.#add(record).tell();
  }

  update(id: string, body: GuestUpdate): Promise<Guest> {
    return this.#inTurn(id, async (life) => {
      const { store, images } = this.#options;
      refuse("update", life.phase);
      const { cpu, memory, ...rest } = body;
      const record = {
        ...life.record,
        ...rest,
        cpu: { ...life.record.cpu, ...cpu },
        memory: { ...life.record.memory, ...memory },
      };
      const fields = machineIssues(record);
      if (fields.length > 0) {
        const listed = fields.map(({ path, message }) => `${path}: ${message}`).join("; ");
        throw problem("invalid_body", `Cannot change "${record.name}": ${listed}`, { fields });
      }
      store.refuseTakenName(record.name, id);
      if (body.memoryMiB !== undefined) this.#budget.refuseTooMuch(record);
      if (body.kernel !== undefined) images.require("kernel", body.kernel);
      if (body.initrd != null) images.require("initrd", body.initrd);
      await changeMemory(life, record, this.#budget);
      // What became of it meanwhile, such as its error, stays.
      return this.#keep(life, { ...record, error: life.record.error });
    });
  }

  #keep(life: GuestLife, record: GuestRecord): Guest {
    this.#options.store.put(record);
    life.record = record;
    return life.tell();
  }

  delete(id: string): Promise<void> {
    return this.#inTurn(id, (life) => {
      refuse("delete", life.phase);
      this.#forget(id);
    });
  }

  #forget(id: string) {
    this.#options.store.delete(id);
    this.#lives.delete(id);
    this.#options.disks.delete(id);
    this.#options.events.publish({ name: "guest_deleted", data: { id } });
  }

  /** Changes a guest when no other change of it is under way. */
  #inTurn<T>(id: string, act: (life: GuestLife) => T | Promise<T>): Promise<T> {
    return this.#turns.take(id, () => {
      const life = this.#life(id);
      this.#claims.refuseChange(life.record);
      return act(life);
    });
  }

  async start(id: string): Promise<Guest> {
    const life = this.#life(id);
    if (this.#shuttingDown) {
      throw problem(
        "shutting_down",
        `Cannot start "${life.record.name}": the host is shutting down`,
      );
    }
    await life.start();
    return life.view();
  }

  async stop(id: string, options: { force: boolean }): Promise<Guest> {
    const life = this.#life(id);
    await life.stop(options);
    return life.view();
  }

  reset(id: string): Guest {
    const life = this.#life(id);
    life.reset();
    return life.view();
  }

  async pause(id: string): Promise<Guest> {
    const life = this.#life(id);
    await life.pause();
    return life.view();
  }

  async resume(id: string): Promise<Guest> {
    const life = this.#life(id);
    await life.resume();
    return life.view();
  }

  /** A connection to the guest's serial port. */
  openSerial(id: string): Promise<Control> {
    return openSerial(this.#life(id), this.#launcher.controlSocket(id));
  }

  /** Takes up the guests that run already, and removes what is left of those that do not. */
  async adopt(): Promise<void> {
    const { disks, log } = this.#options;
    const { runDirectory } = this.#launcher;
    Deno.mkdirSync(runDirectory, { recursive: true, mode: 0o700 });
    // Those that are on their way to this host are looked after by who receives them.
    const arriving = this.#options.store.list({ arriving: true })
      .filter(({ id }) => !this.#lives.has(id));
    for (const { name: id } of [...Deno.readDirSync(runDirectory)]) {
      if (arriving.some((record) => record.id === id)) continue;
      // One that cannot be taken up must not keep the others from it.
      await this.#adoptOne(id).catch((error) =>
        log("error", "cannot take up a guest", { id, error: messageOf(error) })
      );
    }
    const known = new Map(
      [...arriving, ...[...this.#lives.values()].map(({ record }) => record)]
        .map(({ id, disks }) => [id, new Set(disks.map(({ file }) => file))]),
    );
    for (const life of this.#lives.values()) {
      const { record } = life;
      this.#catchUpWithDisks(life);
      const used = new Set(life.isUp ? life.process?.run.netIds : []);
      this.#detach(record.nets.map(({ id }) => id).filter((it) => !used.has(it)), record.name);
    }
    const swept = disks.sweep(known);
    if (swept.length > 0) log("info", "removed unfinished disks", { names: swept.join(" ") });
  }

  /** A disk that had grown when a power cut came is as large as its file. */
  #catchUpWithDisks(life: GuestLife) {
    const { record } = life;
    const disks = record.disks.map((disk) => {
      const now = this.#options.disks.sizeMiB(record.id, disk.file) ?? 0;
      return now > disk.sizeMiB ? { ...disk, sizeMiB: now } : disk;
    });
    if (disks.some((disk, i) => disk !== record.disks[i])) this.#keep(life, { ...record, disks });
  }

  #detach(netIds: string[], guest: string) {
    this.#launcher.detach(netIds).catch((error) =>
      this.#options.log("warn", "cannot remove a tap", { guest, error: messageOf(error) })
    );
  }

  async #adoptOne(id: string) {
    const process = await this.#launcher.find(id);
    const life = this.#lives.get(id);
    if (process !== null && life !== undefined) {
      life.adopt(process);
      const { name } = life.record;
      this.#options.log("info", "found a guest's VMM", { guest: name, pid: process.pid });
      return;
    }
    if (process !== null) {
      await process.kill();
      await this.#launcher.cleanUp(process);
    }
    removeIfThere(this.#launcher.directory(id));
  }

  /** Starts those that are to start with the host; each on its own. */
  async autostart(): Promise<void> {
    await Promise.all([...this.#lives.values()].map(async (life) => {
      if (!life.record.autostart || life.isUp) return;
      try {
        await life.start();
      } catch (error) {
        this.#options.log("error", "cannot start a guest with the host", {
          guest: life.record.name,
          error: messageOf(error),
        });
      }
    }));
  }

  /** Stops every guest, and takes no start any more; tells how it goes, `done` last. */
  shutdown(options: { limitSeconds: number }): AsyncGenerator<HostShutdownProgress> {
    this.#shuttingDown = true;
    return stopAll(() => [...this.#lives.values()], { ...options, log: this.#options.log });
  }
}
