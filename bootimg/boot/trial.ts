/**
 * A system that was updated to has to prove itself: unless it does in time, the host restarts, and the
 * boot loader starts the one of before. One that stands still altogether is the watchdog's, from before
 * the trial begins.
 *
 * @module
 */
import type { TrialState } from "../../hypervisor/supervisor/api/host_update.ts";
import { power } from "../../hypervisor/sys/reboot.ts";
import type { BootState, SlotName, SystemName } from "../slots/boot_state.ts";
import { wordValue } from "./kernel_start.ts";
import { attempt, log } from "./log.ts";

/** How long a system has, with a large disk to be checked, slow cards and guests that have to start. */
export const TRIAL_MS = 10 * 60 * 1000;
/** How much longer ending it may take before that is cut off too. */
export const END_MS = 3 * 60 * 1000;

/** Where the kernel keeps what it does when it has gone wrong: it goes on, where it can. */
const ON_TROUBLE = ["/proc/sys/kernel/panic_on_oops", "/proc/sys/kernel/hardlockup_panic"];

/** What a system has to show, in the words in which it is told what is missing. */
export const PROOFS = {
  data: "the data partition is there",
  console: "the console answers",
  guests: "the guests are back",
} as const;
export type Proof = keyof typeof PROOFS;

/** What a trial does to the host, and when. */
export interface TrialActions {
  trialMs?: number;
  endMs?: number;
  /** Keeps the system that has proved itself. */
  keep: (system: SlotName) => Promise<void>;
  /** Told what was still missing, before the restart. */
  failed: (why: string) => void;
  /** Restarts the host, guests first. */
  restart: () => void;
  /** Restarts the machine, whatever is going on. */
  restartNow: () => void;
}

/** Where a host stands with its systems. */
export interface Standing {
  running: SystemName | null;
  /** The slot that is running for the first time. */
  onTrial: SlotName | null;
  /** The slot that was tried, and did not come up. */
  failed: SlotName | null;
}

/** What the boot loader's notes and the partition that was started from tell. */
export function standingOf(state: BootState, running: SystemName | null): Standing {
  const { tried } = state;
  const isTrial = tried !== null && tried === running && tried !== state.good;
  return { running, onTrial: isTrial ? tried : null, failed: isTrial ? null : tried };
}

/** How long a trial is: the kernel's command line can say it in seconds, for tests. */
export function trialMs(cmdline: string): number {
  const seconds = Number(wordValue(cmdline, "denovisor.trial") ?? NaN);
  return Number.isInteger(seconds) && seconds > 0 && seconds * 1000 <= TRIAL_MS
    ? seconds * 1000
    : TRIAL_MS;
}

/** Has the kernel restart the host where it would go on with what is broken, or no longer. */
export function panicOnTrouble(isOn: boolean): void {
  for (const path of ON_TROUBLE) {
    attempt(`Cannot write "${path}"`, () => Deno.writeTextFileSync(path, isOn ? "1" : "0"));
  }
}

/** Restarts the machine at once. */
export const restartNow = (): void => power("reboot");

/** A system that is on trial. */
export class Trial {
  readonly #slot: SlotName;
  readonly #actions: TrialActions;
  readonly #missing = new Set(Object.keys(PROOFS) as Proof[]);
  readonly #timers: ReturnType<typeof setTimeout>[];
  readonly #ends: number;
  #keeping: Promise<void> | null = null;
  #isOver = false;

  constructor(slot: SlotName, actions: TrialActions) {
    this.#slot = slot;
    this.#actions = actions;
    const { trialMs = TRIAL_MS, endMs = END_MS } = actions;
    this.#ends = performance.now() + trialMs;
    this.#timers = [
      setTimeout(() => this.#fail(trialMs), trialMs),
      setTimeout(actions.restartNow, trialMs + endMs),
    ];
  }

  /** Null once it is over. */
  get told(): TrialState | null {
    if (this.#isOver) return null;
    const secondsLeft = Math.max(0, Math.round((this.#ends - performance.now()) / 1000));
    return { system: this.#slot, secondsLeft, waitsFor: this.#waitsFor };
  }

  get #waitsFor(): string {
    return [...this.#missing].map((it) => PROOFS[it]).join(", ");
  }

  /** Something is shown, or no longer; the system is kept once nothing is missing. */
  async shows(proof: Proof, isShown = true): Promise<void> {
    if (this.#isOver || this.#keeping !== null) return;
    if (isShown) this.#missing.delete(proof);
    else this.#missing.add(proof);
    if (this.#missing.size > 0) return;
    try {
      await (this.#keeping = this.#actions.keep(this.#slot));
      if (this.#isOver) return;
      this.#end();
      log(`the system in slot ${this.#slot} has proved itself`);
    } finally {
      this.#keeping = null;
    }
  }

  /** It is not to be kept, whatever it shows: the host is about to restart. */
  giveUp(): void {
    this.#isOver = true;
  }

  #end(): void {
    this.#isOver = true;
    for (const timer of this.#timers) clearTimeout(timer);
    panicOnTrouble(false);
  }

  #fail(limitMs: number): void {
    const { failed, restart } = this.#actions;
    const why = `It did not prove itself in ${Math.round(limitMs / 1000)} s: ${
      this.#waitsFor === "" ? "it was given up" : `not so far that ${this.#waitsFor}`
    }`;
    this.giveUp();
    log(`${why}; restarting with the system of before`, "error");
    attempt("Cannot note why", () => failed(why));
    restart();
  }
}
