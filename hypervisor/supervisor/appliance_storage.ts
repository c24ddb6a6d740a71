/**
 * The host's disks and its pool, which process 1 of the appliance runs: the pool is there before the
 * supervisor, which lies on it.
 *
 * @module
 */
import {
  type DiskTarget,
  HostStorage,
  type Installation,
  type RemoveMember,
  type StorageDisk,
  type StorageSettings,
  type Task,
} from "./api/schemas.ts";
import type { EventHub } from "./events.ts";
import type { Tasks, Work } from "./lives/tasks.ts";
import { type Log, messageOf } from "./log.ts";
import type { ProcessOne, Question } from "./process_one.ts";

/** Writing over the ends of a slow disk, and copying the system to it, takes its time. */
const LIMIT_MS = 180_000;
const LOOK_MS = 5000;
const FOLLOW_MS = 500;

export interface ApplianceStorageOptions {
  processOne: ProcessOne;
  tasks: Tasks;
  events: EventHub;
  log: Log;
  /** For tests: how often to look at an installation, and at all. */
  followMs?: number;
  lookMs?: number;
}

export class ApplianceStorage {
  readonly #options: ApplianceStorageOptions;
  readonly #timer: ReturnType<typeof setInterval> | undefined;
  #told: HostStorage | null = null;
  #isLooking = false;
  #isClosed = false;

  constructor(options: ApplianceStorageOptions) {
    this.#options = options;
    const { processOne, lookMs = LOOK_MS } = options;
    if (processOne.isThere) this.#timer = setInterval(() => void this.#look(), lookMs);
  }

  /** Takes up an installation that the supervisor before this one had begun. */
  async adopt(): Promise<void> {
    const { processOne, log } = this.#options;
    if (!processOne.isThere) return;
    try {
      const { installation } = await this.get();
      if (installation?.state === "running") this.#follow(installation);
    } catch (error) {
      log("warn", "cannot ask for the storage", { error: messageOf(error) });
    }
  }

  /** What was told last. */
  get told(): HostStorage | null {
    return this.#told;
  }

  get(): Promise<HostStorage> {
    return this.#ask("GET", "/storage");
  }

  async disks(): Promise<StorageDisk[]> {
    return (await this.get()).disks;
  }

  async change(settings: StorageSettings): Promise<HostStorage> {
    return await this.#tell(this.#ask("PATCH", "/storage", settings));
  }

  async mirror(target: DiskTarget): Promise<HostStorage> {
    return await this.#tell(this.#ask("POST", "/storage/mirror", target));
  }

  async unmirror(member: RemoveMember): Promise<HostStorage> {
    return await this.#tell(this.#ask("POST", "/storage/unmirror", member));
  }

  async scrub(wanted: boolean): Promise<HostStorage> {
    return await this.#tell(this.#ask(wanted ? "POST" : "DELETE", "/storage/scrub"));
  }

  async install(target: DiskTarget): Promise<Task> {
    const { tasks } = this.#options;
    tasks.refuseBusy(null, "Cannot install on another disk from");
    const { installation } = await this.#tell(this.#ask("POST", "/storage/install", target));
    return this.#follow(installation!);
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
  }

  /** A task that goes as process 1 tells of the installation. */
  #follow({ disk, confirm }: Installation): Task {
    return this.#options.tasks.begin(
      { kind: "install", guest: null, detail: `${disk} (${confirm})` },
      (work) => this.#watch(work),
    );
  }

  async #watch(work: Work): Promise<void> {
    const { followMs = FOLLOW_MS } = this.#options;
    let phase = "";
    let wasAsked = false;
    while (true) {
      // It goes on without the supervisor, and the next one takes it up.
      if (this.#isClosed) return;
      if (work.signal.aborted && !wasAsked) {
        wasAsked = true;
        // It may have come to where it can no longer be given up.
        await this.#ask("DELETE", "/storage/install").catch(() => {});
      }
      const { installation } = await this.get();
      if (installation === null) throw new Error("Process 1 knows nothing of it any more");
      const { state, canCancel, doneBytes, totalBytes, error } = installation;
      if (installation.phase !== phase) {
        phase = installation.phase;
        work.phase(phase, { final: !canCancel });
      }
      work.progress(doneBytes, totalBytes);
      if (state === "done") return;
      if (state !== "running") throw new Error(error ?? "It was cancelled");
      await new Promise((resolve) => setTimeout(resolve, followMs));
    }
  }

  /** Tells who listens of what changes by itself: a disk that fails, a mirror that is brought in step. */
  async #look(): Promise<void> {
    const { events, log } = this.#options;
    if (events.listeners === 0 || this.#isLooking) return;
    this.#isLooking = true;
    try {
      await this.#tell(this.get());
    } catch (error) {
      log("warn", "cannot ask for the storage", { error: messageOf(error) });
    } finally {
      this.#isLooking = false;
    }
  }

  async #tell(asked: Promise<HostStorage>): Promise<HostStorage> {
    const data = await asked;
    if (JSON.stringify(data) !== JSON.stringify(this.#told)) {
      this.#told = data;
      this.#options.events.publish({ name: "storage", data });
    }
    return data;
  }

  #ask(method: Question["method"], path: string, body?: unknown): Promise<HostStorage> {
    const question = { what: "its disks", refused: "storage_refused", limitMs: LIMIT_MS } as const;
    return this.#options.processOne.ask({ ...question, method, path, body }, HostStorage);
  }
}
