/**
 * What the threads of a VMM tell each other about the guest's life: in the arena, so that any thread
 * can look at any time.
 *
 * @module
 */
import type { Arena } from "../machine/arena.ts";
import { struct } from "../sys/struct.ts";
import { kick } from "../sys/threads.ts";
import type { ExitReason } from "./control.ts";

export const MAX_CPUS = 8;

/** How long a vCPU that is slowed down runs at a time, in milliseconds. */
const RUN_MS = 10;

/** How long one stays out of the guest after that, of which it is to have so many percent less, below 100. */
export function restMs(percent: number): number {
  return RUN_MS * percent / (100 - percent);
}

/** How often a vCPU that is slowed down is to be kicked, in milliseconds. */
export function slowedPeriodMs(percent: number): number {
  return RUN_MS + restMs(percent);
}

/** How long vCPUs may take to start, in milliseconds; generous, for emulated hosts. */
export const START_TIMEOUT_MS = 120_000;
/** How long vCPUs may take to stop before the process ends under them, in milliseconds. */
export const STOP_TIMEOUT_MS = 10_000;
/** The same where they may wait for memory that is nowhere any more. */
export const LACKING_TIMEOUT_MS = 1000;
/** Longer words about an end are cut, in bytes. */
const MAX_MESSAGE = 1024;

const Lifecycle = struct("lifecycle", {
  /** 0 while the guest runs, else 1 + the index of its {@linkcode REASONS}. */
  ended: ["i32", 1],
  /** Thread ids of the vCPU workers; 0 before one is ready and after it has stopped. */
  threads: ["i32", MAX_CPUS],
  /** How many vCPU workers have stopped for good. */
  stopped: ["i32", 1],
  /** 1 while vCPUs may not run the guest: before the start, and in a pause. */
  held: ["i32", 1],
  /** The share of the time for which vCPUs that are kicked stay out of the guest, in percent. */
  slowed: ["i32", 1],
  /** 1 once the vCPUs' threads are to give back what their start left behind. */
  tidied: ["i32", 1],
  /** How many vCPUs wait until they are released. */
  parked: ["i32", 1],
  /** What there is to say about the end: its length in bytes, and UTF-8. */
  message_length: ["i32", 1],
  message: ["u8", MAX_MESSAGE],
});

const REASONS: readonly ExitReason[] = [
  "poweroff",
  "host",
  "refused",
  "crash",
  "reboot",
  "migrated",
  "upgraded",
];

/** What is said of an end where nothing else was. */
export const END_MESSAGES: Readonly<Record<ExitReason, string>> = {
  poweroff: "The guest powered off",
  reboot: "The guest asked for a reset",
  crash: "The guest crashed",
  host: "The VMM failed",
  refused: "The configuration was refused",
  migrated: "The guest goes on in another VMM",
  upgraded: "The guest goes on in another VMM of this host",
};

export class GuestLife {
  readonly #s;

  constructor(arena: Arena) {
    this.#s = arena.place("vmm.lifecycle", Lifecycle, { local: true });
  }

  /** Ends the guest; the first reason, and what was said with it, counts. True if this was it. */
  end(reason: ExitReason, message = ""): boolean {
    const isFirst = Atomics.compareExchange(this.#s.ended, 0, 0, 1 + REASONS.indexOf(reason)) === 0;
    if (isFirst && message !== "") {
      const bytes = new TextEncoder().encode(message).subarray(0, MAX_MESSAGE);
      this.#s.message.set(bytes);
      Atomics.store(this.#s.message_length, 0, bytes.length);
    }
    // Those who wait in a pause are to see it.
    this.release();
    return isFirst;
  }

  get hasEnded(): boolean {
    return Atomics.load(this.#s.ended, 0) !== 0;
  }

  get reason(): ExitReason | undefined {
    return REASONS[Atomics.load(this.#s.ended, 0) - 1];
  }

  /** What was said about the end; empty where nothing was. */
  get message(): string {
    return new TextDecoder().decode(
      this.#s.message.slice(0, Atomics.load(this.#s.message_length, 0)),
    );
  }

  /** By a vCPU worker: `thread` runs vCPU `id`. */
  setThread(id: number, thread: number): void {
    Atomics.store(this.#s.threads, id, thread);
  }

  /** By a vCPU worker: it does no more, whether or not it ever ran. */
  setStopped(id: number): void {
    Atomics.store(this.#s.threads, id, 0);
    Atomics.add(this.#s.stopped, 0, 1);
  }

  /** How many vCPU workers have stopped for good. */
  get stopped(): number {
    return Atomics.load(this.#s.stopped, 0);
  }

  /** How many vCPU workers are ready to run or running. */
  get threads(): number {
    return this.#s.threads.reduce((n, thread) => n + (thread === 0 ? 0 : 1), 0);
  }

  /** Keeps vCPUs out of the guest, or on their way out of it; see {@linkcode kickAll}. */
  hold(): void {
    Atomics.store(this.#s.held, 0, 1);
    // Those who rest are to see it.
    Atomics.notify(this.#s.held, 0);
  }

  /** Lets vCPUs into the guest. */
  release(): void {
    Atomics.store(this.#s.held, 0, 0);
    Atomics.notify(this.#s.held, 0);
  }

  get isHeld(): boolean {
    return Atomics.load(this.#s.held, 0) === 1;
  }

  /** Has each vCPU stay out of the guest for a while whenever it is kicked; never again with 0. */
  slow(percent: number): void {
    Atomics.store(this.#s.slowed, 0, percent);
    Atomics.notify(this.#s.held, 0);
  }

  /**
   * By a vCPU worker that was kicked: stays out of the guest for as long as it is slowed down by, or
   * until it is held. False where it is not slowed down.
   */
  rest(): boolean {
    const percent = Atomics.load(this.#s.slowed, 0);
    if (percent === 0) return false;
    Atomics.wait(this.#s.held, 0, 0, restMs(percent));
    return true;
  }

  /** Asks vCPUs' threads to give back memory when they are out of the guest next; see {@linkcode kickAll}. */
  tidy(): void {
    Atomics.store(this.#s.tidied, 0, 1);
  }

  get isTidy(): boolean {
    return Atomics.load(this.#s.tidied, 0) === 1;
  }

  /** How many vCPUs wait for {@linkcode release}, none of them in the middle of an access. */
  get parked(): number {
    return Atomics.load(this.#s.parked, 0);
  }

  /**
   * By a vCPU worker: returns when the guest may run, or has ended. Who waits for all to be parked is
   * told by `parked`, when this one counts.
   */
  park(parked: () => void): void {
    Atomics.add(this.#s.parked, 0, 1);
    parked();
    while (this.isHeld && !this.hasEnded) Atomics.wait(this.#s.held, 0, 1);
    Atomics.sub(this.#s.parked, 0, 1);
  }

  /** Gets every vCPU out of the guest; each then looks at {@linkcode hasEnded} and `isHeld`. */
  kickAll(): void {
    for (let id = 0; id < MAX_CPUS; id++) {
      const thread = Atomics.load(this.#s.threads, id);
      if (thread !== 0) kick(thread);
    }
  }
}
