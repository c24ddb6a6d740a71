/**
 * Updates, set up: the trial of a system that runs for the first time, and what is told and done of
 * systems once the data partition is there.
 *
 * @module
 */
import type { Health } from "../../hypervisor/supervisor/api/health_schemas.ts";
import type { HostSocket } from "../host_socket.ts";
import { STATE_NAME } from "../disk/names.ts";
import { forgetCopies, systemKey } from "../settings/copies.ts";
import type { SystemName } from "../slots/boot_state.ts";
import { systemOf } from "../slots/places.ts";
import { readSystems } from "../slots/slots.ts";
import { UPDATE_KEY_FILE } from "../update/verify.ts";
import { findSystemDisks } from "../updating/find_disks.ts";
import { HostUpdates } from "../updating/host_updates.ts";
import { updateRoutes } from "../updating/serve.ts";
import type { HostStorage } from "../storage/host_storage.ts";
import type { Ground } from "../storage/ground.ts";
import type { Disk } from "./data.ts";
import { attempt, log } from "./log.ts";
import type { StatusBoard } from "./status.ts";
import { read } from "./sysfs.ts";
import { panicOnTrouble, type Proof, restartNow, standingOf, Trial, trialMs } from "./trial.ts";

export interface UpdatesOptions {
  version: string;
  board: StatusBoard;
  /** Restarts the host, guests first. */
  restart: () => void;
}

export interface BeginOptions {
  ground: Ground;
  storage: HostStorage;
  /** The folder of what the host keeps; null where nothing is kept. */
  folder: string | null;
  /** The kept settings' path. */
  settings: string;
  socket: HostSocket | undefined;
}

export class Updates {
  readonly #options: UpdatesOptions;
  readonly #unknown: ReturnType<typeof setTimeout>;
  #bootId: string | null = null;
  #running: SystemName | null = null;
  #trial: Trial | null = null;
  #host: HostUpdates | null = null;

  /**
   * A system may be too broken to find out that it is on trial. So one that was started from a disk,
   * and finds none, does not stay.
   */
  constructor(options: UpdatesOptions) {
    this.#options = options;
    const limitMs = trialMs(read("/proc/cmdline") ?? "");
    this.#unknown = setTimeout(() => {
      log("the disk that this was started from is not to be found; restarting", "error");
      options.restart();
      setTimeout(restartNow, limitMs);
    }, limitMs);
  }

  /** Which settings are the running system's. */
  get key(): string {
    return systemKey(this.#running, this.#options.version);
  }

  get host(): HostUpdates | null {
    return this.#host;
  }

  /** Nothing was started from a disk, or there are data: staying is better than restarting. */
  stays(): void {
    clearTimeout(this.#unknown);
  }

  /** Finds out whether the running system is on trial, and if so begins to watch it. */
  async look(boot: Disk | undefined, bootId: string | null): Promise<void> {
    this.#bootId = bootId;
    if (bootId === null) this.stays();
    if (!boot) return;
    this.#running = systemOf(boot.table, bootId);
    if (boot.table.partitions.some((it) => it.name === STATE_NAME)) {
      const { device: { path, sectors } } = boot;
      const { state } = await readSystems({ path, sectors });
      const { onTrial } = standingOf(state, this.#running);
      if (onTrial !== null) {
        log(`the system in slot ${onTrial} is on trial`);
        panicOnTrouble(true);
        this.#trial = new Trial(onTrial, {
          trialMs: trialMs(read("/proc/cmdline") ?? ""),
          keep: async (system) => await this.#host!.passed(system),
          failed: (why) => this.#host?.failed(why),
          ...{ restart: this.#options.restart, restartNow },
        });
      }
    }
    this.stays();
  }

  /** Goes on once there are data to go by. */
  async begin({ ground, storage, folder, settings, socket }: BeginOptions): Promise<void> {
    const { version, board } = this.#options;
    const host = this.#host = new HostUpdates({
      ...{ version, running: this.#running, folder, log },
      find: () => findSystemDisks(ground, this.#bootId),
      key: () => Deno.readTextFileSync(UPDATE_KEY_FILE),
      alone: (what, act) => storage.alone(what, act),
      forgetSettings: (system) => forgetCopies(settings, system),
    });
    if (this.#trial !== null) host.onTrial(this.#trial);
    await attempt("Cannot read which systems there are", () => host.begin());
    socket?.add(updateRoutes(host));
    board.problem("update", host.fellBack);
    // There is no proof without the data partition: the system of before may have the driver for it.
    if (folder !== null) this.shows("data");
  }

  /** The running system shows that it works. */
  shows(proof: Proof, isShown = true): void {
    void attempt("Cannot keep this system", () => this.#trial?.shows(proof, isShown));
  }

  /** What the supervisor tells; without a word of them, guests are taken for being back. */
  health(health: Health & { guestsBack?: boolean } | null): void {
    this.shows("guests", health !== null && health.guestsBack !== false);
  }

  /** Why the last update cannot be undone, for the screen; null where it can. */
  get whyNoUndo(): string | null {
    return this.#host?.canUndo ? null : "there is no earlier system";
  }
}
