/**
 * All guests: made, changed, deleted, started and found again.
 *
 * @module
 */
import type * as z from "zod";
import { AgentWatch, type AgentWatchOptions } from "../agent/watch.ts";
import {
  type CloudInit,
  type Figures,
  type Guest,
  type GuestCreate,
  type GuestUpdate,
  type HostShutdownProgress,
} from "../api/schemas.ts";
import type { Crashes } from "../crashes/crashes.ts";
import { keepEnd } from "../crashes/vmm_crashes.ts";
import type { EventHub } from "../events.ts";
import { hostMemoryMiB } from "../host.ts";
import { type Log, messageOf } from "../log.ts";
import { problem } from "../problem.ts";
import { filesOfGuest } from "../shared/files.ts";
import type { GuestRecord, GuestStore } from "../store/guests.ts";
import { isSave, type SaveStore } from "../store/saves.ts";
import type { SnapshotStore } from "../store/snapshots.ts";
import { adoptAll } from "./adoption.ts";
import { agentHolders } from "./agent_holders.ts";
import type { AtShutdownChoice } from "./at_shutdown.ts";
import { changedGuest } from "./changed_guest.ts";
import { Claims } from "./claims.ts";
import { type BackGround, bringAllBack, startAgain } from "./coming_back.ts";
import type { Control } from "./control_client.ts";
import type { DeviceGround } from "./device_ground.ts";
import { DiskChanges } from "./disk_changes.ts";
import { FigureWatch } from "./figures.ts";
import { Forks } from "./forks.ts";
import { GuestLife, refuse } from "./guest_life.ts";
import { Launcher, type LauncherOptions } from "./launcher.ts";
import { type LifeGround, refuseResuming } from "./life_ground.ts";
import { MemoryBudget } from "./memory_budget.ts";
import { changeMemory } from "./memory_changes.ts";
import { type MoveGround, moveGround } from "./move_ground.ts";
import { NetChanges } from "./net_changes.ts";
import { newGuest } from "./new_guest.ts";
import { Reverts } from "./reverts.ts";
import { Saves } from "./saves.ts";
import { openSerial } from "./serial.ts";
import { stopAll, type StopOptions } from "./shutdown.ts";
import { SnapshotFiles } from "./snapshot_files.ts";
import { Snapshots } from "./snapshots.ts";
import { Turns } from "./turns.ts";
import type { Tasks } from "./tasks.ts";
import { Upgrades } from "./upgrades.ts";
import { VmmLogs } from "./vmm_logs.ts";

export interface GuestsOptions extends LauncherOptions {
  store: GuestStore;
  snapshots: SnapshotStore;
  saves: SaveStore;
  atShutdown: AtShutdownChoice;
  tasks: Tasks;
  events: EventHub;
  log: Log;
  crashes: Crashes;
  /** The host's memory in MiB; tests have hosts of their own. */
  memoryMiB?: () => number;
  /** Between two looks at what devices count. */
  figuresMs?: number;
  /** For tests: whether files can share blocks where disks lie, and how soon agents are asked. */
  canShare?: boolean;
  agents?: Partial<AgentWatchOptions>;
}

export class Guests {
  readonly disks: DiskChanges;
  readonly nets: NetChanges;
  readonly snapshots: Snapshots;
  readonly reverts: Reverts;
  readonly forks: Forks;
  readonly upgrades: Upgrades;
  readonly ground: MoveGround;
  readonly #options: GuestsOptions;
  readonly #lives = new Map<string, GuestLife>();
  readonly #vmmLogs: VmmLogs;
  readonly #launcher: Launcher;
  readonly #budget: MemoryBudget;
  readonly #claims = new Claims();
  readonly #figures: FigureWatch;
  readonly #agents: AgentWatch;
  readonly #turns = new Turns();
  readonly #released = new AbortController();
  readonly #saves: Saves;
  readonly #back: BackGround;
  #shuttingDown = false;
  /** Whether all run, or have failed for good, that are to be back once the host has started. */
  areBack = false;

  constructor(options: GuestsOptions) {
    this.#options = options;
    this.#launcher = new Launcher(options);
    this.#budget = new MemoryBudget(
      options.memoryMiB ?? hostMemoryMiB,
      (but) =>
        [...this.#lives.values()].filter((life) => life.isUp && life.record.id !== but)
          .reduce((sum, life) => sum + life.memoryMiB, this.#claims.memoryMiB),
    );
    const ground: DeviceGround = {
      images: options.images,
      disks: options.disks,
      launcher: this.#launcher,
      store: options.store,
      life: (id) => this.#life(id),
      inTurn: (id, act) =>
        this.#turn(id, (life) => {
          options.tasks.refuseBusy(life.record, "Cannot change");
          refuseResuming(life, ["devices"]);
          return act(life);
        }),
      keep: (life, record) => this.#keep(life, record),
    };
    this.#figures = new FigureWatch({
      events: options.events,
      lives: () => this.#lives.values(),
      everyMs: options.figuresMs,
    });
    const holders = () => agentHolders(this.#lives.values(), this.#launcher);
    this.#agents = new AgentWatch({ holders, ...options.agents });
    this.disks = new DiskChanges(ground);
    this.nets = new NetChanges(ground);
    const { snapshots, tasks, events, log } = options;
    const { shared } = options.disks;
    shared.keepsOff = (id) => this.#claims.keepsOff(id);
    const { canShare } = options;
    const snapshotFiles = new SnapshotFiles(options.disks.directory, { shared, canShare });
    this.ground = moveGround(ground, {
      ...{ store: options.store, snapshots: options.snapshots, snapshotFiles },
      ...{ claims: this.#claims, budget: this.#budget },
      turn: (id, act) => this.#turn(id, act),
      add: (record) => this.#add(record),
      leave: (life) => this.#forget(life),
      tellSnapshots: (guest) => this.snapshots.tellLater(guest),
    });
    const lifeGround: LifeGround = {
      ...{ ...ground, snapshots, tasks, events, log, budget: this.#budget, agents: this.#agents },
      files: snapshotFiles,
      turn: (id, act) => this.#turn(id, act),
      add: (record) => this.#make(record),
      remove: (life) => this.#remove(life),
      refuseShutDown: (doing, name) => this.#refuseShutDown(doing, name),
    };
    this.snapshots = new Snapshots(lifeGround);
    this.reverts = new Reverts(lifeGround, { tell: (guest) => this.snapshots.tell(guest) });
    this.forks = new Forks(lifeGround);
    this.#saves = new Saves(lifeGround, options.saves);
    this.#back = {
      ...{ tasks, log, isShuttingDown: () => this.#shuttingDown },
      ...{ sweep: (guest) => this.#saves.sweep(guest), released: this.#released.signal },
    };
    this.upgrades = new Upgrades({ tasks, launcher: this.#launcher, life: (id) => this.#life(id) });
    for (const record of options.store.list()) this.#add(record);
    this.#vmmLogs = new VmmLogs({ lives: () => this.#lives.values(), log });
  }

  /** Stops looking after the guests; they run on. */
  close(): void {
    this.#vmmLogs.close();
    this.#figures.close();
    this.#agents.close();
    this.#released.abort();
  }

  /** Resolves once every run that is going on now is over. */
  async settled(): Promise<void> {
    await Promise.all([...this.#lives.values()].map((life) => life.over));
  }

  #add(record: GuestRecord): GuestLife {
    const { log, events, store, snapshots } = this.#options;
    const life = new GuestLife(record, {
      log,
      check: (record) => {
        this.#claims.refuseRunning(record, "Cannot start");
        this.#launcher.check(record);
        const { memoryMiB, memory } = record;
        this.#budget.refuseTooMuch(record);
        this.#budget.refuseUnfit({ ...record, verb: "start" }, memoryMiB + memory.requestedMiB);
      },
      launch: (record, source) => this.#launcher.launch(record, source),
      sourceOf: (id, from) =>
        isSave(from) ? this.#saves.sourceOf(id) : this.reverts.sourceOf(id, from),
      keepResumesFrom: (id, snapshot) => snapshots.setResumesFrom(id, snapshot),
      cleanUp: ({ id }, process) => {
        // What it has written down goes with its directory.
        if (process.hasHandedOver) store.setGiven(id);
        return this.#launcher.cleanUp(process);
      },
      cardGone: (id) => this.#detach([id], record.name),
      released: this.#released.signal,
      keepError: (id, error) => store.setError(id, error),
      changed: (life) => events.publish({ name: "guest", data: life.view() }),
      ended: (vmm) => keepEnd(vmm, this.#options),
      mayRestart: () => !this.#shuttingDown,
    });
    life.resumesFrom = snapshots.standing(record.id).resumesFrom;
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

  /** All that a guest's system is told by its disk for cloud-init, from its next start on. */
  cloudInit(id: string): CloudInit {
    const { name, cloudInit } = this.#life(id).record;
    if (cloudInit !== null) return cloudInit;
    throw problem(
      "not_found",
      `Cannot tell what cloud-init finds in "${name}": it has no disk for it`,
    );
  }

  /** What the devices of a guest counted lately. */
  figures(id: string): Figures[] {
    return this.#figures.recent(this.#life(id).record.id);
  }

  /** Changes a guest when no other change of it is under way. */
  #turn<T>(id: string, act: (life: GuestLife) => T | Promise<T>): Promise<T> {
    return this.#turns.take(id, () => {
      const life = this.#life(id);
      this.#claims.refuseChange(life.record);
      return act(life);
    });
  }

  #life(id: string): GuestLife {
    const life = this.#lives.get(id);
    if (life === undefined) throw problem("not_found", `Cannot find a guest with the id "${id}"`);
    return life;
  }

  async create(body: z.output<typeof GuestCreate>): Promise<Guest> {
    const record = await newGuest({ ...this.#options, budget: this.#budget }, body);
    return this.#make(record).view();
  }

  /** Adds a guest whose disks are there; where it cannot be, they are not either. */
  #make(record: GuestRecord): GuestLife {
    try {
      // The row comes last: with it the guest exists.
      this.#options.store.put(record);
    } catch (error) {
      this.#options.disks.delete(record.id);
      throw error;
    } finally {
      this.#options.disks.settle(record.id, record.disks);
    }
    const life = this.#add(record);
    life.tell();
    return life;
  }

  update(id: string, body: GuestUpdate): Promise<Guest> {
    return this.#turn(id, async (life) => {
      const { store, images, tasks } = this.#options;
      refuse("update", life.phase);
      tasks.refuseBusy(life.record, "Cannot change");
      refuseResuming(life, Object.keys(body));
      const record = changedGuest(life.record, body);
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
    return this.#turn(id, (life) => {
      refuse("delete", life.phase);
      this.#options.tasks.refuseBusy(life.record, "Cannot delete");
      this.#remove(life);
    });
  }

  #remove(life: GuestLife) {
    const { disks, snapshots } = this.#options;
    const files = filesOfGuest(life.record, snapshots.list(life.record.id));
    disks.shared.without(files, () => this.#forget(life));
  }

  /** It is no more, but for what it has on stores. */
  #forget({ record: { id } }: GuestLife) {
    const { store, disks, events } = this.#options;
    store.delete(id);
    this.#lives.delete(id);
    disks.delete(id);
    disks.shared.settleGuest(id);
    this.snapshots.forget(id);
    events.publish({ name: "guest_deleted", data: { id } });
  }

  #refuseShutDown(doing: string, name: string) {
    if (!this.#shuttingDown) return;
    throw problem("shutting_down", `${doing} "${name}": the host is shutting down`);
  }

  async start(id: string): Promise<Guest> {
    const life = this.#idle(id, "Cannot start");
    this.#refuseShutDown("Cannot start", life.record.name);
    await startAgain(life, this.#back);
    return life.view();
  }

  /** A guest with which nothing long is under way. */
  #idle(id: string, doing: string): GuestLife {
    const life = this.#life(id);
    this.#options.tasks.refuseBusy(life.record, doing);
    this.#claims.refuseRunning(life.record, doing);
    return life;
  }

  async stop(id: string, options: { force: boolean }): Promise<Guest> {
    await this.#life(id).stop(options);
    return this.get(id);
  }

  reset(id: string): Guest {
    const life = this.#idle(id, "Cannot reset");
    life.reset();
    return life.view();
  }

  async pause(id: string): Promise<Guest> {
    await this.#idle(id, "Cannot pause").pause();
    return this.get(id);
  }

  async resume(id: string): Promise<Guest> {
    await this.#idle(id, "Cannot resume").resume();
    return this.get(id);
  }

  /** A connection to the guest's serial port. */
  openSerial(id: string): Promise<Control> {
    return openSerial(this.#life(id), this.#launcher.controlSocket(id));
  }

  /** Takes up the guests that run already, and removes what is left of those that do not. */
  adopt(): Promise<void> {
    return adoptAll({
      ...{ ...this.#options, launcher: this.#launcher, lives: this.#lives },
      keep: (life, record) => this.#keep(life, record),
      detach: (nets, guest) => this.#detach(nets, guest),
    });
  }

  #detach(netIds: string[], guest: string) {
    this.#launcher.detach(netIds).catch((error) =>
      this.#options.log("warn", "cannot remove a tap", { guest, error: messageOf(error) })
    );
  }

  /** Starts those that are to start with the host, and those that were saved; each on its own. */
  async autostart(): Promise<void> {
    const mayStart = (id: string) => !this.#claims.keepsOff(id);
    const pauses = () => this.areBack = true;
    await bringAllBack([...this.#lives.values()], { ...this.#back, mayStart, pauses });
    this.areBack = true;
  }

  /** Saves or stops every guest, and takes no start any more; tells how it goes, `done` last. */
  shutdown(
    options: Pick<StopOptions, "limitSeconds" | "saveSeconds">,
  ): AsyncGenerator<HostShutdownProgress> {
    this.#shuttingDown = true;
    const { log, tasks, atShutdown } = this.#options;
    tasks.giveUp("The host is shutting down");
    return stopAll(() => [...this.#lives.values()], {
      ...{ ...options, log, mayGoOn: (id) => !this.#claims.keepsOff(id) },
      isSaved: (life) => atShutdown.of(life.record) === "save",
      ...{ save: (life, how) => this.#saves.save(life, how), taskOf: (id) => tasks.of(id) },
    });
  }
}
