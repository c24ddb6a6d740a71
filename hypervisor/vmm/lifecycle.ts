/**
 * What the threads of a VMM tell each other about the guest's end: in the arena, so that any thread
 * can look at any time.
 *
 * @module
 */
import type { Arena } from "../machine/arena.ts";
import { struct } from "../sys/struct.ts";
import { kick } from "../sys/threads.ts";
import type { ExitReason } from "./control.ts";

export const MAX_CPUS = 8;

const Lifecycle = struct("lifecycle", {
  /** 0 while the guest runs, else 1 + the index of its {@linkcode REASONS}. */
  ended: ["i32", 1],
  /** Thread ids of the vCPU workers; 0 before one is ready and after it has stopped. */
  threads: ["i32", MAX_CPUS],
  /** 1 once the vCPU workers may enter the guest. */
  go: ["i32", 1],
});

const REASONS: readonly ExitReason[] = ["poweroff", "host", "refused", "crash", "reboot"];

export class GuestLife {
  readonly #s;

  constructor(arena: Arena) {
    this.#s = arena.place("vmm.lifecycle", Lifecycle);
  }

  /** Ends the guest; the first reason counts. True if this was it. */
  end(reason: ExitReason): boolean {
    return Atomics.compareExchange(this.#s.ended, 0, 0, 1 + REASONS.indexOf(reason)) === 0;
  }

  get hasEnded(): boolean {
    return Atomics.load(this.#s.ended, 0) !== 0;
  }

  get reason(): ExitReason | undefined {
    return REASONS[Atomics.load(this.#s.ended, 0) - 1];
  }

  /** By a vCPU worker: `thread` runs vCPU `id`; 0 when it has stopped. */
  setThread(id: number, thread: number): void {
    Atomics.store(this.#s.threads, id, thread);
    Atomics.notify(this.#s.threads, id);
  }

  /** By a vCPU worker: returns when the guest may run. */
  waitForStart(): void {
    while (Atomics.load(this.#s.go, 0) === 0) Atomics.wait(this.#s.go, 0, 0);
  }

  /** Lets the vCPU workers into the guest. */
  start(): void {
    Atomics.store(this.#s.go, 0, 1);
    Atomics.notify(this.#s.go, 0);
  }

  /** How many vCPU workers are ready to run or running. */
  get threads(): number {
    return this.#s.threads.reduce((n, thread) => n + (thread === 0 ? 0 : 1), 0);
  }

  /** Gets every vCPU out of the guest; each then looks at {@linkcode hasEnded}. */
  kickAll(): void {
    for (let id = 0; id < MAX_CPUS; id++) {
      const thread = Atomics.load(this.#s.threads, id);
      if (thread !== 0) kick(thread);
    }
  }
}
