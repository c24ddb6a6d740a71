/**
 * One guest's life: its state, its VMM where it runs, and what a run's end leads to.
 *
 * @module
 */
import { delay } from "@std/async";
import { type GuestPhase, type GuestState, phaseOf } from "../api/actions.ts";
import type { AgentFacts, Guest } from "../api/schemas.ts";
import { messageOf } from "../log.ts";
import { ApiProblem, problem } from "../problem.ts";
import type { GuestRecord } from "../store/guests.ts";
import { CONTROL_VERSION, type Status } from "../../vmm/control.ts";
import { lookForGone } from "./gone_devices.ts";
import { guestView } from "./guest_view.ts";
import { letGo } from "./letting_go.ts";
import type { LifeSurroundings, Vmm, VmmEnd } from "./life_surroundings.ts";
import type { Source } from "./source.ts";
import { refuse } from "./refusal.ts";
import { isGood, wordsFor } from "./vmm_ends.ts";
import type { VmmProcess } from "./vmm_process.ts";

export type { LifeSurroundings, Vmm, VmmEnd, VmmListener } from "./life_surroundings.ts";
export { refuse } from "./refusal.ts";

/** What was asked for, to tell what a run's end means. */
type Intent = "run" | "stop" | "end" | "reset";

/** A guest that reboots sooner than this is not given the whole processor to go on so. */
const SHORT_RUN_MS = 2_000;
const RESTART_DELAY_MS = 1_000;
/** How long a VMM that stopped answering may take to be gone. */
const END_MS = 1_000;

export class GuestLife<V extends Vmm = VmmProcess> {
  record: GuestRecord;
  /** The snapshot whose memory its next start goes on from. */
  resumesFrom: string | null = null;
  /** What goes on with the guest where its VMM ends; null, or a promise of that, where it is the guest's end. */
  heir: Promise<V | null> | null = null;
  readonly #around: LifeSurroundings<V>;
  readonly #pause: (milliseconds: number) => Promise<void>;
  #state: GuestState;
  #process: V | null = null;
  #startedAt: number | null = null;
  #pausedFor: string | null = null;
  #agentFacts: AgentFacts | null = null;
  #vmmVersion: string | null = null;
  #intent: Intent = "run";
  /** Why a guest that was ready to go on could not. */
  #letGoError: string | null = null;
  #lastEnd: VmmEnd | null = null;
  /** Resolves when the present run, with its restarts, is over and cleaned up. */
  #over: Promise<void> = Promise.resolve();

  constructor(record: GuestRecord, around: LifeSurroundings<V>) {
    this.record = record;
    this.#around = around;
    this.#pause = around.pause ?? ((milliseconds) => delay(milliseconds, { persistent: false }));
    this.#state = record.error === null ? "stopped" : "failed";
  }

  get state(): GuestState {
    return this.#state;
  }

  /** Whether a VMM of it may hold memory, disk and tap. */
  get isUp(): boolean {
    return this.#state !== "stopped" && this.#state !== "failed";
  }

  get phase(): GuestPhase {
    return phaseOf({ state: this.#state, pausedFor: this.#pausedFor });
  }

  /** What it takes of the host's memory while it is up, or would take. */
  get memoryMiB(): number {
    const { memoryMiB, memory } = this.record;
    return (this.isUp ? this.#process?.run.memoryMiB : undefined) ??
      memoryMiB + memory.requestedMiB;
  }

  get process(): V | null {
    return this.#process;
  }

  /** How its last VMM ended that this supervisor has seen end. */
  get lastEnd(): VmmEnd | null {
    return this.#lastEnd;
  }

  get over(): Promise<void> {
    return this.#over;
  }

  view(): Guest {
    const run = this.isUp ? this.#process?.run ?? null : null;
    const { isUp, resumesFrom } = this;
    return guestView(this.record, {
      ...{ isUp, run, resumesFrom, state: this.#state, pausedFor: this.#pausedFor },
      ...{ agentFacts: this.#agentFacts, startedAt: this.#startedAt },
      vmmVersion: this.#vmmVersion,
    });
  }

  /** When its first instruction ran; null where that is not so or not known. */
  get startedAt(): number | null {
    return this.isUp ? this.#startedAt : null;
  }

  get agentFacts(): AgentFacts | null {
    return this.#agentFacts;
  }

  /** Takes note of what the agent of this run tells. */
  setAgentFacts(facts: AgentFacts | null): void {
    this.#agentFacts = facts;
    if (this.isUp) this.tell();
  }

  /** Returns once it is kept which snapshot's memory the next start goes on from. */
  setResumesFrom(snapshot: string | null): void {
    this.#around.keepResumesFrom(this.record.id, snapshot);
    this.resumesFrom = snapshot;
  }

  /** Takes note of what it was made, while it is not up. */
  becomes(record: GuestRecord, { resumesFrom }: { resumesFrom: string | null }): void {
    this.record = record;
    this.resumesFrom = resumesFrom;
    this.#setState("stopped");
    this.tell();
  }

  /** Tells everybody how the guest is now. */
  tell(): Guest {
    this.#around.changed(this);
    return this.view();
  }

  /**
   * Resolves when the guest runs. A refusal before its VMM was started changes nothing. With `source` it
   * goes on from there; without, from the snapshot that it was reverted to, or it boots.
   */
  async start(source?: Source): Promise<void> {
    refuse("start", this.phase);
    const before = this.#state;
    this.#around.check(this.record);
    this.#state = "starting";
    this.#intent = "run";
    this.#startedAt = null;
    let process: V;
    try {
      const { record: { id }, resumesFrom } = this;
      const from = resumesFrom === null ? undefined : this.#around.sourceOf(id, resumesFrom);
      process = await this.#around.launch(this.record, source ?? from);
    } catch (error) {
      this.#state = before;
      throw error instanceof ApiProblem ? error : this.#startFailed(messageOf(error));
    }
    this.#around.changed(this);
    const ready = Promise.withResolvers<void>();
    this.#over = this.#live(process, ready.resolve);
    await Promise.race([ready.promise, this.#over]);
    // Its end is in the state; what ended well has run, however shortly.
    if (this.view().state === "failed") throw this.#startFailed(this.record.error ?? "unknown");
  }

  #startFailed(reason: string) {
    return problem("start_failed", `Cannot start "${this.record.name}": ${reason}`);
  }

  /** Takes up a VMM that an earlier supervisor started. */
  adopt(process: V): void {
    this.#state = "starting";
    this.#over = this.#live(process, () => {});
  }

  /** Presses the power button; where that was done already, or with `force`, ends the guest. */
  async stop(options: { force: boolean }): Promise<void> {
    const force = options.force || this.#state === "stopping";
    refuse(force ? "force" : "stop", this.phase);
    this.#intent = force ? "end" : "stop";
    this.#setState("stopping");
    if (force) {
      this.#endSoon();
      return;
    }
    try {
      await this.#process!.pressPowerButton();
    } catch (error) {
      // It may be about to end by itself.
      await Promise.race([this.#over, this.#pause(END_MS)]);
      if (!this.isUp) return;
      throw problem(
        "busy",
        `Cannot press the power button of "${this.record.name}": its VMM does not answer (${
          messageOf(error)
        }). Stop it by force`,
      );
    }
  }

  /** Ends the guest and starts it again. */
  reset(): void {
    refuse("reset", this.phase);
    this.#intent = "reset";
    this.#setState("stopping");
    this.#endSoon();
  }

  /** Holds the guest's CPUs; resolves when they stand still. */
  async pause(): Promise<void> {
    refuse("pause", this.phase);
    await this.#told("pause", (process) => process.pause());
  }

  /** Lets a paused guest go on. */
  async resume(): Promise<void> {
    refuse("resume", this.phase);
    await this.#told("resume", (process) => process.resume());
  }

  async #told(what: string, tell: (process: V) => Promise<void>) {
    try {
      await tell(this.#process!);
    } catch (error) {
      throw problem("busy", `Cannot ${what} "${this.record.name}": ${messageOf(error)}`);
    }
  }

  /** Ends the guest in whatever state it is, for good. */
  async end(): Promise<void> {
    if (!this.isUp) return;
    this.#intent = "end";
    this.#setState("stopping");
    await this.#process?.kill({ gently: true });
  }

  #endSoon() {
    this.#process?.kill({ gently: true }).catch((error) => {
      this.#around.log("error", "cannot end a VMM", {
        guest: this.record.name,
        error: messageOf(error),
      });
    });
  }

  #setState(state: GuestState) {
    if (this.#state === state) return;
    this.#state = state;
    this.#around.changed(this);
  }

  /** Follows a VMM, and those that reboots put in its place, to the end. */
  async #live(first: V, ready: () => void): Promise<void> {
    let process: V | null = first;
    while (process !== null) {
      const current: V = this.#process = process;
      const began = Date.now();
      const isReady = (status: Status) => {
        if (this.#process !== current) return;
        this.#ready(status);
        ready();
        this.#lookForGone(current);
      };
      let end: VmmEnd | null = await process.follow({
        ready: (status) => {
          if (status.held) this.#letGo(current, status).then(isReady, () => {});
          else isReady(status);
        },
        state: (state) => this.#setState(state),
        paused: (reason) => {
          this.#pausedFor = reason;
          this.#around.changed(this);
        },
        unplugged: (device) => this.#gone(process!, device),
      }, this.#around.released);
      if (end === null) return;
      const heir: V | null = await this.heir;
      if (heir !== null) {
        [process, this.heir] = [heir, null];
        // What was asked of the one may not have come to the other.
        if (this.#intent === "stop") heir.pressPowerButton().catch(() => {});
        else if (this.#intent !== "run") heir.kill({ gently: true }).catch(() => {});
        continue;
      }
      this.#lastEnd = end;
      this.#pausedFor = null;
      this.#agentFacts = null;
      if (this.#letGoError !== null) end = { reason: "host", message: this.#letGoError };
      this.#letGoError = null;
      this.#around.ended({
        ...{ guest: this.record.name, end, version: this.#vmmVersion },
        isWanted: this.#intent !== "run" && this.#intent !== "stop",
        output: process.logTail(),
      });
      const reboots: boolean = this.#intent === "run" && end.reason === "reboot";
      if (reboots && Date.now() - began < SHORT_RUN_MS) {
        // Before what is left of the run is removed: it tells the next supervisor to go on from here.
        await this.#pause(RESTART_DELAY_MS);
        if (this.#around.released.aborted) return;
      }
      await this.#cleanUp(process);
      this.#process = null;
      const again: boolean = (reboots || this.#intent === "reset") && this.#around.mayRestart();
      process = again ? await this.#restart() : null;
      if (process === null && this.isUp) this.#finish(end);
    }
  }

  async #letGo(process: V, status: Status): Promise<Status> {
    try {
      return await letGo(process, this, status);
    } catch (error) {
      this.#letGoError = `Cannot let "${this.record.name}" go on: ${messageOf(error)}`;
      await process.kill().catch(() => {});
      throw error;
    }
  }

  #ready(status: Status) {
    if (status.version !== CONTROL_VERSION) {
      this.#around.log("warn", "a guest's VMM speaks another version of the protocol", {
        guest: this.record.name,
        version: status.version,
      });
    }
    this.#startedAt = status.startedAt;
    this.#vmmVersion = status.program || null;
    this.#pausedFor = status.pausedFor ?? null;
    if (this.record.error !== null) this.#keepError(null);
    if (this.#intent === "run" && status.state !== "waiting") this.#state = status.state;
    this.#around.changed(this);
  }

  #lookForGone(process: V) {
    const { log } = this.#around;
    lookForGone(process, {
      gone: (name) => this.#gone(process, name),
      failed: (error) =>
        log("warn", "cannot look for a guest's devices", {
          guest: this.record.name,
          error,
        }),
    });
  }

  #gone(process: V, name: string) {
    const device = process.run.gone(name);
    if (device === undefined) return;
    if (device.kind === "net") this.#around.cardGone(device.id);
    this.#around.changed(this);
  }

  async #cleanUp(process: V) {
    try {
      await this.#around.cleanUp(this.record, process);
    } catch (error) {
      this.#around.log("error", "cannot clean up after a guest", {
        guest: this.record.name,
        error: messageOf(error),
      });
    }
  }

  async #restart(): Promise<V | null> {
    this.#setState("starting");
    this.#intent = "run";
    this.#startedAt = null;
    try {
      this.#around.check(this.record);
      return await this.#around.launch(this.record);
    } catch (error) {
      this.#fail(`Cannot start it again: ${messageOf(error)}`);
      return null;
    }
  }

  #finish(end: VmmEnd) {
    if (isGood(end) || this.#intent !== "run") {
      this.#keepError(null);
      this.#setState("stopped");
    } else {
      this.#fail(wordsFor(end));
    }
  }

  #fail(error: string) {
    this.#keepError(error);
    this.#setState("failed");
  }

  #keepError(error: string | null) {
    this.record = { ...this.record, error };
    this.#around.keepError(this.record.id, error);
  }
}
