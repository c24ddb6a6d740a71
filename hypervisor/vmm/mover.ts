/**
 * Moves a guest's memory: to a file or a stream while the guest runs, or in from a stream. The work is a
 * thread's of its own, which there is from the beginning of a move to its end; here is what the main
 * thread has of it.
 *
 * A move that copies goes like this:
 *
 * ```ts ignore
 * guest.tracking.start();
 * const mover = new Mover(loop, {
 *   memory: guest.memory.spec,
 *   task: { kind: "file", fd, full: true, tracking: guest.tracking.spec },
 *   allowedPauseMs: 100,
 *   ready() {
 *     // Stop the guest and let its devices finish, then:
 *     mover.finish();
 *   },
 *   copied: () => guest.resume(),
 *   ended: (error) => {}, // its file is on the disk, or there was an error
 * });
 * ```
 *
 * Tracking may go on for the next copy, which then is of what has changed since this one's last round.
 * Where a copy fails or is cancelled, what it had taken counts as changed again.
 *
 * @module
 */
import { drain, eventfd, signal } from "../sys/eventfd.ts";
import { close } from "../sys/files.ts";
import type { MemorySpec } from "../machine/ram.ts";
import type { EventLoop } from "./event_loop.ts";
import { type MoverProgress, MoverState } from "./move/mover_state.ts";
import type { MoverSpec, MoverTask } from "./mover_worker.ts";

/** Workers are files beside this one: `.ts` in the sources, `.js` in the appliance's bundle. */
const EXTENSION = import.meta.url.endsWith(".js") ? ".js" : ".ts";

export interface MoverOptions {
  memory: MemorySpec;
  task: MoverTask;
  /** What the last round may take, in milliseconds. */
  allowedPauseMs?: number;
  /** Bytes of data a second while the guest runs; as many as there can be without. */
  bytesPerSecond?: number;
  /**
   * What is left fits the pause, or may follow. The guest is to be stopped and its devices to hold nothing any more;
   * then {@linkcode Mover.finish} is called.
   */
  ready?(): void;
  /**
   * The guest changes its memory as fast as it is copied, for so many rounds in a row: it may be slowed
   * down, stopped with {@linkcode Mover.finish}, or this be cancelled. Otherwise it goes on.
   */
  stalled?(rounds: number): void;
  /** The guest's memory is not looked at any more. */
  copied?(): void;
  /** Nothing of it runs any more; with what went wrong. */
  ended(error: Error | undefined): void;
}

/** Why a move ended that was told to. */
export class MoveCancelled extends Error {
  override readonly name = "MoveCancelled";
}

export class Mover {
  readonly #loop: EventLoop;
  readonly #options: MoverOptions;
  readonly #state = new MoverState();
  readonly #changedFd = eventfd();
  readonly #wakeFd = eventfd();
  #told = { ready: false, copied: false, stalls: 0 };
  #isOver = false;

  constructor(loop: EventLoop, options: MoverOptions) {
    const { memory, task, allowedPauseMs = 0, bytesPerSecond = 0 } = options;
    this.#loop = loop;
    this.#options = options;
    this.#state.allowedPauseMs = allowedPauseMs;
    this.#state.limit = bytesPerSecond;
    const module = new URL(`./mover_worker${EXTENSION}`, import.meta.url);
    const worker = new Worker(module, { type: "module", name: "mover" });
    worker.postMessage(
      {
        task,
        memory,
        state: this.#state.buffer,
        changedFd: this.#changedFd,
        wakeFd: this.#wakeFd,
      } satisfies MoverSpec,
    );
    loop.watch(this.#changedFd, () => {
      drain(this.#changedFd);
      this.#look();
    });
  }

  get progress(): MoverProgress {
    return this.#state.progress;
  }

  /** Another limit, 0 for none; it holds from the next wait on. */
  set bytesPerSecond(limit: number) {
    this.#state.limit = limit;
  }

  set allowedPauseMs(ms: number) {
    this.#state.allowedPauseMs = ms;
  }

  /** What is left may follow in another way, once it does not get less: of a task that says in which set. */
  letFollow(): void {
    this.#state.mayFollow = true;
  }

  /**
   * Has the next round be the last, at any time: the guest does not run, and no device holds anything
   * that the kernel may still write to.
   */
  finish(): void {
    this.#state.finish();
  }

  /**
   * After {@linkcode Mover.finish}: waits for so many milliseconds at most, and tells what there is to tell.
   * A thread that is woken for that goes through all else first.
   */
  await(ms: number): void {
    const until = performance.now() + ms;
    for (let left = ms; left > 0; left = until - performance.now()) {
      const { phase } = this.#state;
      if (phase !== "ready" && phase !== "finishing" && phase !== "moving") break;
      this.#state.awaitChange(phase, left);
    }
    this.#look();
  }

  /** Ends it soon; `ended` tells when nothing of it runs. */
  cancel(): void {
    this.#state.cancel();
    signal(this.#wakeFd);
  }

  #look(): void {
    const { phase, stalledRounds, stalls } = this.#state.progress;
    const { ready, copied, stalled, ended } = this.#options;
    if (stalls > this.#told.stalls) {
      this.#told.stalls = stalls;
      stalled?.(stalledRounds);
    }
    if (phase === "ready" && !this.#told.ready) {
      this.#told.ready = true;
      ready?.();
    }
    if ((phase === "copied" || phase === "done") && !this.#told.copied) {
      this.#told.copied = true;
      if (this.#options.task.kind !== "receive") copied?.();
    }
    if (this.#isOver || (phase !== "done" && phase !== "failed" && phase !== "cancelled")) return;
    this.#isOver = true;
    // It may be about to signal a descriptor that is closed here.
    this.#state.awaitLeave();
    this.#loop.unwatch(this.#changedFd);
    close(this.#changedFd);
    close(this.#wakeFd);
    if (phase === "done") return ended(undefined);
    ended(
      phase === "failed" ? new Error(this.#state.message) : new MoveCancelled("It was cancelled"),
    );
  }
}
