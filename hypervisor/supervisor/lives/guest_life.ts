/**
 * One guest's life: its state, its VMM where it runs, and what a run's end leads to.
 *
 * @module
 */
import { delay } from "@std/async";
import { type GuestState, whyNot } from "../api/actions.ts";
import type { Guest } from "../api/schemas.ts";
import { type Log, messageOf } from "../log.ts";
import { ApiProblem, problem } from "../problem.ts";
import type { GuestRecord } from "../store/guests.ts";
import { CONTROL_VERSION, type Status } from "../../vmm/control.ts";
import type { VmmEnd, VmmListener, VmmProcess } from "./vmm_process.ts";

/** What a life does with its VMM. */
export type Vmm = Pick<VmmProcess, "follow" | "kill" | "logTail" | "pressPowerButton">;
export type { VmmEnd, VmmListener };

/** What a life needs of the world around it. */
export interface LifeSurroundings<V extends Vmm> {
  log: Log;
  /** Throws the problem for which the guest cannot start now. */
  check(record: GuestRecord): void;
  /** Starts the guest's VMM; on an error nothing is left of it. */
  launch(record: GuestRecord): Promise<V>;
  /** Removes what is left of a VMM that has ended. */
  cleanUp(record: GuestRecord, process: V): Promise<void>;
  /** Keeps the error across restarts; null takes it back. */
  keepError(id: string, error: string | null): void;
  changed(life: GuestLife<V>): void;
  /** Aborts when nobody is to look after the guest's VMM any more, which runs on. */
  released: AbortSignal;
  /** Whether a guest that wants to reboot may. */
  mayRestart(): boolean;
  /** Waits; tests do not. */
  pause?: (milliseconds: number) => Promise<void>;
}

/** What was asked for, to tell what a run's end means. */
type Intent = "run" | "stop" | "reset";

/** A guest that reboots sooner than this is not given the whole processor to go on so. */
const SHORT_RUN_MS = 2_000;
const RESTART_DELAY_MS = 1_000;
/** How long a VMM that stopped answering may take to be gone. */
const END_MS = 1_000;

export class GuestLife<V extends Vmm = VmmProcess> {
  record: GuestRecord;
  readonly #around: LifeSurroundings<V>;
  readonly #pause: (milliseconds: number) => Promise<void>;
  #state: GuestState;
  #process: V | null = null;
  #startedAt: number | null = null;
  #pausedFor: string | null = null;
  #intent: Intent = "run";
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

  get process(): V | null {
    return this.#process;
  }

  get over(): Promise<void> {
    return this.#over;
  }

  view(): Guest {
    return {
      ...this.record,
      state: this.#state,
      error: this.#state === "failed" ? this.record.error : null,
      pausedFor: this.isUp ? this.#pausedFor : null,
      startedAt: this.isUp && this.#startedAt !== null
        ? new Date(this.#startedAt).toISOString()
        : null,
    };
  }

  /** Resolves when the guest runs. A refusal before its VMM was started changes nothing. */
  async start(): Promise<void> {
    refuse("start", this.#state);
    const before = this.#state;
    this.#around.check(this.record);
    this.#state = "starting";
    this.#intent = "run";
    this.#startedAt = null;
    let process: V;
    try {
      process = await this.#around.launch(this.record);
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
    refuse("stop", this.#state);
    const force = options.force || this.#state === "stopping";
    this.#intent = "stop";
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
    refuse("reset", this.#state);
    this.#intent = "reset";
    this.#setState("stopping");
    this.#endSoon();
  }

  /** Ends the guest in whatever state it is, for good. */
  async end(): Promise<void> {
    if (!this.isUp) return;
    this.#intent = "stop";
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
      this.#process = process;
      const began = Date.now();
      const end: VmmEnd | null = await process.follow({
        ready: (status) => {
          this.#ready(status);
          ready();
        },
        state: (state) => this.#setState(state),
        paused: (reason) => {
          this.#pausedFor = reason;
          this.#around.changed(this);
        },
      }, this.#around.released);
      if (end === null) return;
      this.#pausedFor = null;
      const { name } = this.record;
      this.#around.log(isGood(end) ? "info" : "warn", "a guest's VMM ended", {
        guest: name,
        reason: end.reason,
        detail: end.message,
        output: isGood(end) ? undefined : process.logTail(),
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

  #ready(status: Status) {
    if (status.version !== CONTROL_VERSION) {
      this.#around.log("warn", "a guest's VMM speaks another version of the protocol", {
        guest: this.record.name,
        version: status.version,
      });
    }
    this.#startedAt = status.startedAt;
    this.#pausedFor = status.pausedFor ?? null;
    if (this.record.error !== null) this.#keepError(null);
    if (this.#intent === "run" && status.state !== "waiting") this.#state = status.state;
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
      // What follows the first line, such as a stack, is for the log.
      const [line] = end.message.trim().split("\n");
      this.#fail(line || DEFAULT_MESSAGES[end.reason]);
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

const DEFAULT_MESSAGES: Record<VmmEnd["reason"], string> = {
  poweroff: "It powered off",
  host: "Its VMM could not run on this host",
  refused: "Its VMM refused what it was given",
  crash: "Its processor reached a state from which it cannot go on",
  reboot: "It asked for a reset",
  migrated: "It was given to another host",
  killed: "Its VMM was ended from outside",
};

function isGood(end: VmmEnd): boolean {
  return end.reason === "poweroff" || end.reason === "reboot";
}

/** Throws where the table of actions does not allow `action`. */
export function refuse(action: Parameters<typeof whyNot>[0], state: GuestState): void {
  const reason = whyNot(action, state);
  if (reason !== null) throw problem("wrong_state", reason);
}
