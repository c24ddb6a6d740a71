/**
 * All guests: made, changed, deleted, started and found again.
 *
 * @module
 */
import { join } from "@std/path";
import { ulid } from "@std/ulid";
import type * as z from "zod";
import type { Guest, GuestCreate, GuestUpdate, HostShutdownProgress } from "../api/schemas.ts";
import { removeIfThere } from "../durable.ts";
import type { EventHub } from "../events.ts";
import { hostMemoryMiB } from "../host.ts";
import type { Images } from "../images/images.ts";
import { type Log, messageOf } from "../log.ts";
import type { Network } from "../network.ts";
import { problem } from "../problem.ts";
import type { GuestRecord, GuestStore } from "../store/guests.ts";
import type { GuestConfig } from "../../vmm/control.ts";
import { type Control, openControl } from "./control_client.ts";
import type { GuestDisks } from "./disks.ts";
import { GuestLife, refuse } from "./guest_life.ts";
import { type VmmCommand, VmmProcess } from "./vmm_process.ts";

export interface GuestsOptions {
  store: GuestStore;
  images: Images;
  disks: GuestDisks;
  network: Network;
  events: EventHub;
  log: Log;
  command: VmmCommand;
  /** Where each running guest has its directory. */
  runDirectory: string;
  /** Where VMMs keep kernels unpacked. */
  kernelCache: string;
  /** The host's memory in MiB; tests have hosts of their own. */
  memoryMiB?: () => number;
}

const BOUND_LOGS_MS = 5_000;
const SHUTDOWN_POLL_MS = 200;

/** Between two tries to reach a VMM that is being set up. */
const OPEN_AGAIN_MS = 50;

export class Guests {
  readonly #options: GuestsOptions;
  readonly #lives = new Map<string, GuestLife>();
  readonly #boundLogs: ReturnType<typeof setInterval>;
  readonly #memoryMiB: () => number;
  readonly #released = new AbortController();
  #shuttingDown = false;

  constructor(options: GuestsOptions) {
    this.#options = options;
    this.#memoryMiB = options.memoryMiB ?? hostMemoryMiB;
    for (const record of options.store.list()) this.#add(record);
    this.#boundLogs = setInterval(
      () => this.#forEachProcess((vmm) => vmm.boundLog()),
      BOUND_LOGS_MS,
    );
  }

  /** Stops looking after the guests; they run on. */
  close(): void {
    clearInterval(this.#boundLogs);
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
      check: (record) => this.#check(record),
      launch: (record) => this.#launch(record),
      cleanUp: async ({ id, network }, process) => {
        await process.cleanUp();
        if (network) await this.#options.network.detach(id);
      },
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

  #life(id: string): GuestLife {
    const life = this.#lives.get(id);
    if (life === undefined) throw problem("not_found", `Cannot find a guest with the id "${id}"`);
    return life;
  }

  async create(body: z.output<typeof GuestCreate>): Promise<Guest> {
    const { store, images, disks, events } = this.#options;
    const id = ulid();
    store.refuseTakenName(body.name, id);
    this.#refuseTooMuchMemory(body);
    images.require("kernel", body.kernel);
    if (body.initrd !== null) images.require("initrd", body.initrd);
    const image = body.disk?.image ?? null;
    const diskMiB = await disks.create(
      { id, name: body.name },
      body.disk && {
        image: image === null ? null : { name: image, path: images.require("disk", image) },
        sizeMiB: body.disk.sizeMiB,
      },
    );
    const { disk: _, ...rest } = body;
    const record: GuestRecord = {
      ...rest,
      id,
      diskMiB,
      diskImage: image,
      mac: randomMac(),
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
    const guest = this.#add(record).view();
    events.publish({ name: "guest", data: guest });
    return guest;
  }

  update(id: string, body: GuestUpdate): Guest {
    const { store, images, events } = this.#options;
    const life = this.#life(id);
    refuse("update", life.state);
    const record = { ...life.record, ...body };
    if (body.memoryMiB !== undefined) this.#refuseTooMuchMemory(record);
    if (body.kernel !== undefined) images.require("kernel", body.kernel);
    if (body.initrd != null) images.require("initrd", body.initrd);
    store.put(record);
    life.record = record;
    events.publish({ name: "guest", data: life.view() });
    return life.view();
  }

  delete(id: string): void {
    const life = this.#life(id);
    refuse("delete", life.state);
    this.#options.store.delete(id);
    this.#lives.delete(id);
    this.#options.disks.delete(id);
    this.#options.events.publish({ name: "guest_deleted", data: { id } });
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

  /** A connection to the guest's serial port. */
  async openSerial(id: string): Promise<Control> {
    const life = this.#life(id);
    while (true) {
      refuse("console", life.state);
      try {
        return await openControl(this.#controlSocket(id), { op: "serial" });
      } catch (error) {
        // A VMM that is being set up does not listen yet: whoever is early gets to see it all.
        if (life.state !== "starting") {
          throw problem(
            "busy",
            `Cannot open the console of "${life.record.name}": ${messageOf(error)}`,
          );
        }
        await new Promise((resolve) => setTimeout(resolve, OPEN_AGAIN_MS));
      }
    }
  }

  #controlSocket(id: string): string {
    return join(this.#options.runDirectory, id, "control.sock");
  }

  #check(record: GuestRecord) {
    const { images, disks } = this.#options;
    images.require("kernel", record.kernel);
    if (record.initrd !== null) images.require("initrd", record.initrd);
    if (record.diskMiB !== null) disks.check(record);
    this.#refuseTooMuchMemory(record);
    const promised = [...this.#lives.values()]
      .filter((life) => life.isUp && life.record.id !== record.id)
      .reduce((sum, life) => sum + life.record.memoryMiB, 0);
    const total = this.#memoryMiB();
    if (promised + record.memoryMiB > total) {
      throw problem(
        "not_enough_memory",
        `Cannot start "${record.name}": it has ${record.memoryMiB} MiB of memory, and of the host's ` +
          `${total} MiB, ${promised} MiB are promised to guests that run`,
      );
    }
  }

  #refuseTooMuchMemory({ name, memoryMiB }: { name: string; memoryMiB: number }) {
    const total = this.#memoryMiB();
    if (memoryMiB > total) {
      throw problem(
        "not_enough_memory",
        `Cannot give "${name}" ${memoryMiB} MiB of memory: the host has ${total} MiB`,
        { fields: [{ path: "memoryMiB", message: `at most ${total}` }] },
      );
    }
  }

  async #launch(record: GuestRecord): Promise<VmmProcess> {
    const { images, disks, network, command, runDirectory, kernelCache } = this.#options;
    const { id } = record;
    const directory = join(runDirectory, id);
    const tap = record.network ? network.attach(id, { multiQueue: record.cpus > 1 }) : null;
    try {
      const config: GuestConfig = {
        name: record.name,
        kernel: images.path("kernel", record.kernel),
        kernelCache,
        ...(record.initrd !== null && { initrd: images.path("initrd", record.initrd) }),
        cmdline: record.cmdline,
        memoryMiB: record.memoryMiB,
        cpus: record.cpus,
        disks: record.diskMiB === null ? [] : [{ path: disks.path(id), serial: id.slice(-20) }],
        nets: tap === null ? [] : [{ tap, mac: record.mac }],
      };
      return VmmProcess.start(directory, config, { command, cgroup: cgroupOf(id) });
    } catch (error) {
      removeIfThere(directory);
      if (tap !== null) await network.detach(id);
      throw error;
    }
  }

  /** Takes up the guests that run already, and removes what is left of those that do not. */
  async adopt(): Promise<void> {
    const { runDirectory, disks, network, log } = this.#options;
    Deno.mkdirSync(runDirectory, { recursive: true, mode: 0o700 });
    for (const { name: id } of [...Deno.readDirSync(runDirectory)]) {
      // One that cannot be taken up must not keep the others from it.
      await this.#adoptOne(id).catch((error) =>
        log("error", "cannot take up a guest", { id, error: messageOf(error) })
      );
    }
    for (const [id, life] of this.#lives) {
      if (life.isUp || !life.record.network) continue;
      await network.detach(id).catch((error) =>
        log("warn", "cannot remove a tap", { guest: life.record.name, error: messageOf(error) })
      );
    }
    const swept = disks.sweep(new Set(this.#lives.keys()));
    if (swept.length > 0) log("info", "removed unfinished guests", { names: swept.join(" ") });
  }

  async #adoptOne(id: string) {
    const directory = join(this.#options.runDirectory, id);
    const process = await VmmProcess.adopt(directory, { cgroup: cgroupOf(id) });
    const life = this.#lives.get(id);
    if (process !== null && life !== undefined) {
      life.adopt(process);
      const { name } = life.record;
      this.#options.log("info", "found a guest's VMM", { guest: name, pid: process.pid });
      return;
    }
    await process?.kill();
    await process?.cleanUp();
    removeIfThere(directory);
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
  async *shutdown(options: { limitSeconds: number }): AsyncGenerator<HostShutdownProgress> {
    this.#shuttingDown = true;
    const forced = new Set<string>();
    const deadline = Date.now() + options.limitSeconds * 1000;
    const pressed = new Set<GuestLife>();
    let told = "";
    while (true) {
      const up = [...this.#lives.values()].filter((life) => life.isUp);
      const late = Date.now() >= deadline;
      for (const life of up) {
        if (late ? !forced.has(life.record.name) : !pressed.has(life)) {
          if (life.state === "starting" && !late) continue;
          pressed.add(life);
          if (late) forced.add(life.record.name);
          this.#stopForShutdown(life, late);
        }
      }
      const progress: HostShutdownProgress = {
        done: up.length === 0,
        running: up.map((life) => life.record.name).sort(),
        forced: [...forced].sort(),
      };
      const text = JSON.stringify(progress);
      if (text !== told) yield progress;
      told = text;
      if (progress.done) return;
      await new Promise((resolve) => setTimeout(resolve, SHUTDOWN_POLL_MS));
    }
  }

  #stopForShutdown(life: GuestLife, force: boolean) {
    const stopped = force ? life.end() : life.state === "running" ? life.stop({ force }) : null;
    stopped?.catch((error) =>
      this.#options.log("warn", "cannot stop a guest for the host's shutdown", {
        guest: life.record.name,
        error: messageOf(error),
      })
    );
  }
}

function cgroupOf(id: string): string {
  return `denovisor/${id}`;
}

/** A random unicast address that no vendor has. */
function randomMac(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(6));
  bytes[0] = 0x52;
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":");
}
