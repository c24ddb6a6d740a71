/**
 * The host's updates as process 1 runs them: taking a newer system in, having it tried, telling how that
 * went, and going back.
 *
 * @module
 */
import type {
  HostUpdate,
  SystemChoice,
  TrialState,
  UpdateJob,
  UpdatePhase,
} from "../../hypervisor/supervisor/api/host_update.ts";
import type { BootState, SystemName } from "../slots/boot_state.ts";
import type { Systems } from "../slots/slots.ts";
import { StorageRefusal } from "../storage/host_storage.ts";
import type { SystemFacts } from "../update/statement.ts";
import { verifyUpdate } from "../update/verify.ts";
import { claimedFacts } from "./claim.ts";
import { Permission } from "./permission.ts";
import { reconcile, RecordFile } from "./record.ts";
import { UpdateRefusal } from "./refusal.ts";
import { Staging, type Upload } from "./staging.ts";
import { type FindDisks, SystemDisks } from "./system_disks.ts";

export interface HostUpdatesOptions {
  version: string;
  /** The system that is running; null where nobody told. */
  running: SystemName | null;
  find: FindDisks;
  /** Where the record is kept and files are staged; null where nothing is kept. */
  folder: string | null;
  /** The public key, as PEM. */
  key: () => string;
  /** Does what changes disks while nothing else does; throws where something does. */
  alone?: <T>(what: string, act: () => Promise<T>) => Promise<T>;
  /** Forgets the settings of the system that is to be written over. */
  forgetSettings?: (system: SystemName) => void;
  log: (text: string) => void;
  now?: () => Date;
}

/** What the running system has to prove yet; nothing of it is on the disk. */
export interface OnTrial {
  told: TrialState | null;
  /** Ends it without a proof: the host is about to go back. */
  giveUp(): void;
}

const NO_POOL = "nothing is kept: there is no data partition to put an update on";
const NO_SLOTS =
  "the disk that it was started from has no room for a second system; write a newer image over it, or install on a larger disk";

export class HostUpdates {
  readonly #options: HostUpdatesOptions;
  readonly #disks: SystemDisks;
  readonly #record: RecordFile;
  readonly #staging: Staging | null;
  readonly permission = new Permission();
  #trial: OnTrial | null = null;
  #job: UpdateJob | null = null;
  #abort: AbortController | null = null;
  #done: Promise<unknown> = Promise.resolve();
  #undo: SystemChoice | null = null;

  constructor(options: HostUpdatesOptions) {
    const { folder, find, log } = options;
    this.#options = options;
    this.#disks = new SystemDisks(find, log);
    this.#record = new RecordFile(folder === null ? null : `${folder}/update.json`);
    this.#staging = folder === null ? null : new Staging(`${folder}/update`);
  }

  /** Finds out how what was begun before this start has ended. */
  async begin(): Promise<void> {
    const { running, version, log, now = () => new Date() } = this.#options;
    this.#staging?.clear();
    const systems = await this.#disks.read();
    if (systems === null) return;
    const before = this.#record.value;
    const at = now().toISOString();
    const { state } = systems;
    const record = reconcile(before, { system: running, version, state, at });
    if (JSON.stringify(record) !== JSON.stringify(before)) this.#record.change(record);
    const { last } = record;
    if (last !== null && last !== before.last) {
      log(
        `the update from ${last.from} to ${last.to} ${last.outcome}: ${last.why ?? "all is well"}`,
      );
    }
    await this.#disks.align();
    await this.tell();
  }

  /** The running system has to prove itself. */
  onTrial(trial: OnTrial): void {
    this.#trial = trial;
  }

  /** It has: from now on it is the one to start. */
  async passed(system: SystemName): Promise<void> {
    const systems = await this.#disks.read();
    const { pending } = this.#record.value;
    await this.#disks.markGood(system);
    const { version, now = () => new Date() } = this.#options;
    const good = systems?.state.good ?? null;
    const from = pending?.from ?? (good === null ? null : this.#choice(systems, good));
    this.#record.change({
      pending: null,
      previous: from,
      last: {
        ...{ at: now().toISOString(), from: from?.version ?? null, to: version },
        ...{ outcome: "kept", why: null },
      },
    });
    this.#trial = null;
    await this.tell();
  }

  /** It has not, and the host restarts; returns once the next system can tell why. */
  failed(why: string): void {
    const { pending } = this.#record.value;
    if (pending !== null) this.#record.change({ pending: { ...pending, why } });
  }

  /** What the last update can go back to, as it was told last. */
  get canUndo(): SystemChoice | null {
    return this.#undo;
  }

  /** How the last update ended, while the system of before runs because of it. */
  get fellBack(): string | null {
    const { last } = this.#record.value;
    return last?.outcome === "fell back"
      ? `the update to ${last.to} was not kept: ${last.why}`
      : null;
  }

  async tell(): Promise<HostUpdate> {
    const { version, running } = this.#options;
    const systems = await this.#disks.read();
    const { image, last } = this.#record.value;
    const known = (facts: SystemFacts | null) => facts && { version: facts.version };
    const imageVersion = running === "image" ? version : image;
    const good = systems?.state.good ?? "image";
    this.#undo = this.#undoTo(systems);
    return {
      running: { version, system: running },
      systems: {
        image: imageVersion === null ? null : { version: imageVersion },
        a: known(systems?.slots.a ?? null),
        b: known(systems?.slots.b ?? null),
      },
      good,
      trial: this.#trial?.told ?? null,
      ready: this.#ready(systems),
      undo: this.#undo,
      last,
      job: this.#job && { ...this.#job },
      whyNot: this.#whyNot(systems),
    };
  }

  /** Takes a newer system in; what comes back is told once it is ready to be tried. */
  async take(
    upload: Omit<Upload, "signal" | "onProgress">,
    signature: string | null,
  ): Promise<HostUpdate> {
    if (this.#job && !this.#job.isOver) {
      throw new UpdateRefusal(409, "Cannot take the update: another one is being taken");
    }
    const job: UpdateJob = this.#job = {
      ...{ phase: "staging", bytes: 0, total: upload.bytes, error: null, isOver: false },
    };
    const abort = this.#abort = new AbortController();
    const { alone = (_: string, act: () => Promise<void>) => act() } = this.#options;
    const done = alone(
      "an update is being written",
      () => this.#take(job, { upload: { ...upload, signal: abort.signal }, signature }),
    );
    this.#done = done.catch(() => {});
    try {
      await done;
    } catch (error) {
      job.error = error instanceof Error ? error.message : String(error);
      if (abort.signal.aborted) throw new UpdateRefusal(409, job.error);
      if (error instanceof UpdateRefusal) throw error;
      throw new UpdateRefusal(error instanceof StorageRefusal ? 409 : 422, job.error);
    } finally {
      job.isOver = true;
      this.#staging?.clear();
    }
    return await this.tell();
  }

  async #take(
    job: UpdateJob,
    { upload, signature }: { upload: Omit<Upload, "onProgress">; signature: string | null },
  ): Promise<void> {
    const { running, log, forgetSettings } = this.#options;
    const { signal } = upload;
    const staging = this.#staging;
    const systems = await this.#disks.read();
    const whyNot = this.#whyNot(systems);
    if (staging === null || systems === null || whyNot !== null) {
      throw new UpdateRefusal(409, `Cannot take the update: ${whyNot}`);
    }
    const why = this.#whyNotNow(systems.state);
    if (why !== null) throw new UpdateRefusal(409, `Cannot take the update: ${why}`);
    const slot = await this.#disks.free(running);
    if (slot === null) {
      throw new UpdateRefusal(
        409,
        "Cannot take the update: the disks of the mirror do not have the same systems; take one out of it, and add it again",
      );
    }
    const step = (phase: UpdatePhase, total: number) => {
      signal.throwIfAborted();
      Object.assign(job, { phase, bytes: 0, total });
    };
    const onProgress = (bytes: number) => void (job.bytes = bytes);
    await staging.take({ ...upload, onProgress }, signature);
    step("verifying", upload.bytes);
    const facts = await this.#verify(staging, signature);
    step("writing", facts.bytes);
    // Those of a system that is no more must not come back with another one in its slot.
    forgetSettings?.(slot);
    await this.#disks.write(slot, {
      ...{ efi: staging.efi, facts, running, signal },
      onProgress: (bytes, total) => Object.assign(job, { bytes, total }),
    });
    step("ready", facts.bytes);
    const to = { version: facts.version, system: slot };
    const from = running && this.#choice(systems, running);
    this.#record.change({ pending: { kind: "update", from, to, began: false, why: null } });
    await this.#disks.tryNext(slot);
    job.bytes = facts.bytes;
    log(`version ${facts.version} is in slot ${slot}, and tried at the next start`);
  }

  async #verify(staging: Staging, signature: string | null): Promise<SystemFacts> {
    const { version: running, key, log } = this.#options;
    const { efi, signature: path } = staging;
    try {
      return await verifyUpdate({ efi, signature: path, key: key(), running });
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      if (!this.permission.holds) {
        throw new UpdateRefusal(
          422,
          `${why.replaceAll(efi, "it").replaceAll(path, "its signature")}`,
        );
      }
      const facts = await claimedFacts(efi, signature);
      this.permission.take();
      log(`version ${facts.version} is taken as it was allowed at the host's screen: ${why}`);
      return facts;
    }
  }

  /** Ends what is being taken in. */
  async cancel(): Promise<HostUpdate> {
    if (!this.#job || this.#job.isOver || this.#job.phase === "ready") {
      throw new UpdateRefusal(409, "Cannot cancel the update: none is being taken");
    }
    this.#abort?.abort(new Error("The update was cancelled"));
    await this.#done;
    return await this.tell();
  }

  /** The next start is with the system that runs now, whatever was to be. */
  async takeBack(): Promise<HostUpdate> {
    const { running } = this.#options;
    const systems = await this.#disks.read();
    if (systems === null || this.#ready(systems) === null) {
      throw new UpdateRefusal(409, "Cannot take the update back: none is ready");
    }
    if (this.#trial !== null) {
      throw new UpdateRefusal(
        409,
        "Cannot take this back: the running system has not proved itself; restart the host",
      );
    }
    this.#record.change({ pending: null });
    if (systems.state.try !== null) await this.#disks.tryNothing();
    else if (running !== null) await this.#disks.markGood(running);
    return await this.tell();
  }

  /** Has the system of before start from now on; the host has to be restarted by who asks. */
  async undo(): Promise<HostUpdate> {
    const { running, version } = this.#options;
    const systems = await this.#disks.read();
    const to = this.#undoTo(systems);
    if (to === null) {
      throw new UpdateRefusal(409, "Cannot undo the last update: there is nothing to go back to");
    }
    if (this.#job && !this.#job.isOver) {
      throw new UpdateRefusal(409, "Cannot undo the last update: another one is being taken");
    }
    const from = running && { version, system: running };
    this.#record.change({ pending: { kind: "undo", from, to, began: false, why: null } });
    this.#trial?.giveUp();
    if (systems!.state.try !== null) await this.#disks.tryNothing();
    await this.#disks.markGood(to.system);
    this.#options.log(`the next start is with version ${to.version} again`);
    return await this.tell();
  }

  #undoTo(systems: Systems | null): SystemChoice | null {
    const { pending, previous } = this.#record.value;
    const { running } = this.#options;
    if (systems === null || running === null) return null;
    const isTrial = this.#trial !== null && systems.state.good !== running;
    const to = isTrial ? pending?.from ?? this.#choice(systems, systems.state.good) : previous;
    if (to === null || to.system === running || systems.state.good === to.system && !isTrial) {
      return null;
    }
    return this.#choice(systems, to.system)?.version === to.version ? to : null;
  }

  #ready(systems: Systems | null): SystemChoice | null {
    if (systems === null) return null;
    const { running } = this.#options;
    const { good, try: next } = systems.state;
    if (next !== null) return this.#choice(systems, next);
    const stays = running === null || good === running ||
      this.#trial !== null && this.#record.value.pending?.kind !== "undo";
    return stays ? null : this.#choice(systems, good);
  }

  #choice(systems: Systems | null, system: SystemName): SystemChoice | null {
    const { running, version } = this.#options;
    const found = system === running
      ? version
      : system === "image"
      ? this.#record.value.image
      : systems?.slots[system]?.version;
    return found == null ? null : { version: found, system };
  }

  #whyNot(systems: Systems | null): string | null {
    if (systems === null) return NO_SLOTS;
    return this.#staging === null ? NO_POOL : null;
  }

  #whyNotNow({ good }: BootState): string | null {
    const { running } = this.#options;
    if (this.#trial !== null) return "the running system has to prove itself first";
    if (running !== null && good !== running) {
      return "another system is the one to start; restart the host first, or take that back";
    }
    return null;
  }
}
