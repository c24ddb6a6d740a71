/**
 * One VMM process: started in a session of its own with a directory of its own, or found again by a
 * supervisor that was started after it, and followed to its end.
 *
 * The directory holds `config.json` (what to run), `cidata.iso` (what cloud-init finds, where the guest has a
 * disk for that), `run.json` (what it has become since),
 * `process.json` (which process runs it), `log` (its stderr), `control.sock`, `agent.sock`, while another is
 * to go on with the guest `next` (heir.ts), and at the end `exit.json`.
 *
 * @module
 */
import { join } from "@std/path";
import { delay } from "@std/async";
import { close } from "../../sys/files.ts";
import { duplicate } from "../../sys/passed_descriptors.ts";
import { hasCgroups, removeCgroup } from "../../sys/cgroup.ts";
import { identify, isAlive, killProcess, type ProcessId, reapChild } from "../../sys/processes.ts";
import {
  type ExitReason,
  type GuestConfig,
  type PlugConfig,
  type RunRequest,
  type Status,
} from "../../vmm/control.ts";
import { writeSeed } from "../cloud_init/seed.ts";
import { exists, removeIfThere, writeFileDurably } from "../durable.ts";
import { messageOf } from "../log.ts";
import { askVmm, type DeviceReports, openControl, readEvents, statusOf } from "./control_client.ts";
import { PassingControl } from "./passing_control.ts";
import { Run, type RunFile } from "./run.ts";
import { explain } from "./vmm_ends.ts";
import { logTail } from "./vmm_log.ts";
import { orderOf, type Source } from "./source.ts";
import type { VmmPool } from "./vmm_pool.ts";
import { startVmm } from "./vmm_start.ts";
import { ExitFile, HandedOverFile, ProcessFile, readMessage } from "./wire.ts";

/** How to run the VMM's program; the control options are added to its arguments. */
export interface VmmCommand {
  program: string;
  args: string[];
  env: Record<string, string>;
}

/** Why a VMM is no more; `killed` where it could not say so itself. */
export interface VmmEnd {
  reason: ExitReason | "killed";
  message: string;
}

/** What {@linkcode VmmProcess.follow} tells while the process runs. */
export interface VmmListener {
  /** It answers on its socket: now, or again after the connection broke. */
  ready(status: Status): void;
  state(state: "running" | "stopping"): void;
  /** Why the guest's CPUs wait; null when they go on. */
  paused(reason: string | null): void;
  /** The guest let go of a device, or had to; by the VMM's name for it. */
  unplugged(device: string): void;
}

const POLL_MS = 20;
const SLOW_POLL_MS = 250;
const QUICK_POLLS = 250;
/** A VMM that is not ready by then never will be; generous, for emulated hosts. */
const READY_MS = 120_000;

/** A VMM that runs, or did. */
export class VmmProcess {
  readonly run: Run;
  /** Whether an earlier supervisor started it. */
  readonly isFound: boolean;
  readonly #directory: string;
  readonly #process: ProcessId;
  readonly #cgroup: string;
  /** One that waited has been told what to run, by this process. */
  #isOrdered = false;
  /** What the VMM said of its end, before it was over. */
  #said: VmmEnd | null = null;
  #end: VmmEnd | null = null;

  constructor(
    directory: string,
    process: ProcessId,
    { cgroup, run, isFound = false }: { cgroup: string; run: Run; isFound?: boolean },
  ) {
    this.isFound = isFound;
    this.#directory = directory;
    this.#process = process;
    this.#cgroup = cgroup;
    this.run = run;
  }

  get pid(): number {
    return this.#process.pid;
  }

  get controlSocket(): string {
    return join(this.#directory, "control.sock");
  }

  /**
   * Starts a VMM in `directory`, which must not exist; `run` is what `config` is of. With `source`, the guest
   * goes on from there.
   */
  static start(
    directory: string,
    config: GuestConfig,
    options: {
      run: RunFile;
      command: VmmCommand;
      cgroup: string;
      pool: VmmPool;
      source?: Source;
    },
  ): VmmProcess {
    const { command, pool, cgroup, source } = options;
    const configFile = join(directory, "config.json");
    const run = Run.begin(directory, options.run);
    const prepare = () => {
      writeFileDurably(configFile, JSON.stringify(config));
      writeSeed(directory, run.seed);
      run.save();
    };
    // Only one that waits can be told to go on from somewhere.
    const how = source === undefined ? ["--config", configFile] : undefined;
    const { id, waits } = startVmm(directory, { command, pool, cgroup, prepare, how });
    const started = new VmmProcess(directory, id, { cgroup, run });
    if (waits) {
      started.#isOrdered = true;
      const order = { ...orderOf(source, config), folder: directory };
      started.#tell(order, source).catch((error) => {
        started.#said ??= { reason: "host", message: messageOf(error) };
        killProcess(id);
      });
    }
    return started;
  }

  /** Tells one that waits, or is about to, what to run. What comes of it is told by its end, or its socket. */
  async #tell(order: RunRequest, source: Source | undefined): Promise<void> {
    const descriptors = source?.kind === "fork" ? source.descriptors.map(duplicate) : [];
    try {
      using control = await this.#connect();
      await control?.send(order, { descriptors });
      // A VMM that cannot run it says so once more, as it ends.
      await control?.line().catch(() => null);
    } finally {
      descriptors.forEach(close);
    }
  }

  /** A connection to one that may not listen yet; null where it has ended. */
  async #connect(): Promise<PassingControl | null> {
    for (const deadline = Date.now() + READY_MS; this.#checkEnd() === null;) {
      try {
        return new PassingControl(this.controlSocket);
      } catch (error) {
        if (Date.now() > deadline) throw error;
      }
      await delay(POLL_MS);
    }
    return null;
  }

  /** Finds what an earlier supervisor started in `directory`; it may have ended since. */
  static async adopt(
    directory: string,
    options: { cgroup: string },
  ): Promise<VmmProcess | null> {
    const file = readMessage(ProcessFile, join(directory, "process.json"));
    const found = (id: ProcessId) =>
      new VmmProcess(directory, id, { ...options, run: Run.find(directory), isFound: true });
    if (file !== null) return found(file);
    // The supervisor ended between starting the VMM and writing down which process it is.
    try {
      const answer = await askVmm(join(directory, "control.sock"), { op: "status" });
      const id = identify(statusOf(answer).pid);
      return id && found(id);
    } catch {
      return null;
    }
  }

  /** The process that goes on with the guest, in this one's directory. */
  succeededBy(id: ProcessId): VmmProcess {
    return new VmmProcess(this.#directory, id, { cgroup: this.#cgroup, run: this.run });
  }

  async pressPowerButton(): Promise<void> {
    await askVmm(this.controlSocket, { op: "power_button" });
  }

  async pause(): Promise<void> {
    await askVmm(this.controlSocket, { op: "pause" });
  }

  async resume(): Promise<void> {
    await askVmm(this.controlSocket, { op: "resume" });
  }

  /** Has the guest stand still while `act` runs; a supervisor that ends meanwhile leaves that to the next. */
  async standingStill<T>(act: () => Promise<T>): Promise<T> {
    const mark = this.#stillMark;
    Deno.writeTextFileSync(mark, "");
    try {
      await this.pause();
      return await act();
    } finally {
      await this.resume();
      removeIfThere(mark);
    }
  }

  /** The same, but it is left standing where `act` is done: for who ends it next. */
  async leftStanding(act: () => Promise<void>): Promise<void> {
    Deno.writeTextFileSync(this.#stillMark, "");
    try {
      await this.pause();
      await act();
    } catch (error) {
      await this.resume().catch(() => {});
      removeIfThere(this.#stillMark);
      throw error;
    }
  }

  /** Whether the guest's CPUs stand still. */
  async standsStill(): Promise<boolean> {
    const { pausedFor } = statusOf(await askVmm(this.controlSocket, { op: "status" }));
    return pausedFor !== undefined;
  }

  /** Whether an earlier supervisor had it stand still, and did not come back to it. */
  get isLeftStanding(): boolean {
    return exists(this.#stillMark);
  }

  get #stillMark(): string {
    return join(this.#directory, "stands_still");
  }

  /** Lets a guest go on that an earlier supervisor had stand still, and did not come back to. */
  async goOnIfLeft(): Promise<void> {
    if (!this.isLeftStanding) return;
    await this.resume();
    removeIfThere(this.#stillMark);
  }

  /** What each device tells of itself, by the VMM's name for it. */
  async devices(): Promise<DeviceReports> {
    const answer = await askVmm(this.controlSocket, { op: "devices" });
    if ("devices" in answer) return answer.devices;
    throw new SyntaxError("Cannot read a VMM's answer: it has no devices");
  }

  async change(device: string, change: Record<string, unknown>): Promise<void> {
    await askVmm(this.controlSocket, { op: "change", device, change });
  }

  /** Returns the VMM's name for the new device. */
  async plug(device: PlugConfig): Promise<string> {
    const answer = await askVmm(this.controlSocket, { op: "plug", device });
    if ("plugged" in answer) return answer.plugged;
    throw new SyntaxError("Cannot read a VMM's answer: it does not name what it has plugged in");
  }

  async unplug(device: string, options: { force: boolean }): Promise<void> {
    await askVmm(this.controlSocket, { op: "unplug", device, force: options.force });
  }

  /** Ends the process, asking it first where `gently`. */
  async kill(options: { gently?: boolean } = {}): Promise<void> {
    if (options.gently) {
      try {
        await askVmm(this.controlSocket, { op: "kill" });
        for (let polls = 0; polls < QUICK_POLLS; polls++) {
          if (this.#checkEnd() !== null) return;
          await delay(POLL_MS);
        }
      } catch {
        // It does not listen (any more): there is nothing to be gentle about.
      }
    }
    killProcess(this.#process);
  }

  /** Resolves with the reason once the process is no more; with null once `released` aborts. */
  async follow(listener: VmmListener, released: AbortSignal): Promise<VmmEnd | null> {
    const deadline = Date.now() + READY_MS;
    let wasReady = false;
    let polls = 0;
    while (!released.aborted) {
      const end = this.#checkEnd();
      if (end !== null) return end;
      let hangUp = () => {};
      try {
        using control = await openControl(this.controlSocket, { op: "events" });
        released.addEventListener("abort", hangUp = control.close);
        if (released.aborted) return null;
        const status = statusOf(control.answer);
        // Its guest went on in another: this one is about to end.
        if (status.pid !== this.pid) throw new Error("Another VMM has its place");
        if (status.state === "waiting") {
          await delay(POLL_MS);
          if (!this.#isOrdered || Date.now() > deadline) {
            this.#said = { reason: "host", message: "Its VMM was never told what to run" };
            killProcess(this.#process);
          }
          continue;
        }
        listener.ready(status);
        wasReady = true;
        polls = 0;
        for await (const event of readEvents(control)) {
          if (event.event === "state") listener.state(event.state);
          else if (event.event === "paused") listener.paused(event.reason);
          else if (event.event === "resumed") listener.paused(null);
          else if (event.event === "unplugged") listener.unplugged(event.device);
          else if (event.event === "exit") {
            this.#said = { reason: event.reason, message: event.message };
          }
        }
      } catch (error) {
        // What this process may not do, it will not be able to do later either.
        const hopeless = error instanceof Deno.errors.NotCapable;
        if (!wasReady && (hopeless || Date.now() > deadline)) {
          this.#said = {
            reason: "host",
            message: `Cannot reach its VMM on its control socket: ${messageOf(error)}`,
          };
          killProcess(this.#process);
        }
      } finally {
        released.removeEventListener("abort", hangUp);
      }
      await delay(polls++ < QUICK_POLLS ? POLL_MS : SLOW_POLL_MS);
    }
    return null;
  }

  /** Whether it has written down that its guest is another's. */
  get hasHandedOver(): boolean {
    return readMessage(HandedOverFile, join(this.#directory, "handed_over.json")) !== null;
  }

  /** Whether the process is no more. */
  get hasEnded(): boolean {
    return this.#checkEnd() !== null;
  }

  // A child's end is told once only, so it is kept.
  #checkEnd(): VmmEnd | null {
    if (this.#end !== null) return this.#end;
    const child = reapChild(this.pid);
    if (child === null || (child === undefined && isAlive(this.#process))) return null;
    const end = this.#said ?? readMessage(ExitFile, join(this.#directory, "exit.json")) ??
      explain(child, () => this.logTail());
    // Whatever it said, or did not live to say: what it has written down counts.
    return this.#end = this.hasHandedOver ? { ...end, reason: "migrated" } : end;
  }

  /** What the VMM prints to. */
  get logFile(): string {
    return join(this.#directory, "log");
  }

  /** The last of what the VMM printed. */
  logTail(): string {
    return logTail(this.logFile);
  }

  /** Removes what is left of an ended process. */
  async cleanUp(): Promise<void> {
    // The kernel takes a moment to take a killed process out of its group.
    for (let polls = 0; hasCgroups() && !removeCgroup(this.#cgroup) && polls < 50; polls++) {
      await delay(POLL_MS);
    }
    removeIfThere(this.#directory);
  }
}
