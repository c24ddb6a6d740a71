/**
 * The part that saving a guest and sending it have in common: its RAM is copied by the mover's thread
 * while it runs, then it is stopped, and its state is taken at one instant.
 *
 * ```
 * moving     RAM is copied while the guest runs, in rounds, until the rest fits the pause
 * pausing    vCPUs leave the guest; devices finish what they have begun
 * (instant)  all state is taken at once
 * copying    the last round of RAM, while the guest stands still
 * still      until it is let go
 * free       the guest runs again, or is left as it is
 * ```
 *
 * Where changes of RAM cannot be tracked, nothing is copied before the guest stands still, and then all.
 *
 * @module
 */
import { DirtyPages } from "../../machine/dirty_pages.ts";
import { mappedLength } from "../../machine/ram.ts";
import type { EventLoop } from "../event_loop.ts";
import { Mover } from "../mover.ts";
import type { FileTask, StreamTask } from "../mover_worker.ts";
import type { Begun } from "./history.ts";
import { PauseParts } from "./pause_parts.ts";
import type { SavedGuest, SavedMachine } from "./saved_guest.ts";
import {
  ALLOWED_PAUSE_MS,
  type CopyFigures,
  type CopyProgress,
  MAX_ROUNDS,
  MAX_SLOWED,
  MAX_STALLED_ROUNDS,
  type SavableGuest,
  SLOW_STEP,
  STALLS_PER_STEP,
} from "./saving.ts";

/** How long vCPUs may take to leave the guest, in milliseconds. */
const PAUSE_TIMEOUT_MS = 10_000;
/** How often progress is told, in milliseconds. */
const PROGRESS_MS = 200;

const REHEARSALS = 2;
/** How long the last of RAM is waited for with nothing else served, in milliseconds: it mostly takes less. */
const SHORT_MS = 5;

/** A guest at one instant, but for its RAM. */
export type Captured = Omit<SavedGuest, "memory">;

type Added = "tracking" | "taken" | "following";

export interface LiveCopyOptions {
  loop: EventLoop;
  /** To where; the rest of the task is added. */
  task: Omit<FileTask, Added> | Omit<StreamTask, Added>;
  allowedPauseMs?: number;
  bytesPerSecond?: number;
  /** A guest that changes its memory as fast as it is copied is not stopped for longer than is allowed. */
  isPatient?: boolean;
  /** The guest is not stopped before {@linkcode LiveCopy.stop}, for which it tells when it can be. */
  asks?: boolean;
  /** Such a guest's vCPUs are slowed down, a step at a time, and only when they are as slow as can be it is stopped. */
  slowDown?: boolean;
  /**
   * Of a stream: an empty set for what of RAM is not sent after all, where it does not get less. Then the guest
   * is stopped, patience or not, and these pages have to follow it in another way.
   */
  following?: DirtyPages;
  /** What goes wrong from here on is told to {@linkcode LiveCopyHost.failed}. */
  host: LiveCopyHost;
}

export interface LiveCopyHost {
  /** Now and then. */
  tick(): void;
  /** While the guest runs: what will be taken of it is like this. */
  rehearsed?(captured: Captured): void;
  /** The guest can be stopped; told once, to who wanted to be asked. */
  ready?(): void;
  /** The instant has been, and the last of RAM is being copied. */
  taken(): void;
  /** All of RAM is copied; the guest stands still until it is let go. */
  copied(): void;
  /** The guest changes its memory as fast as it is copied, and there is nothing but patience. */
  stuck?(): void;
  /** It cannot go on, and is to be given up. */
  failed(error: Error): void;
  /** The mover's thread is no more; with what went wrong, or because it was given up. */
  ended(error: Error | undefined): void;
}

export class LiveCopy {
  readonly #guest: SavableGuest;
  readonly #loop: EventLoop;
  readonly #host: LiveCopyHost;
  readonly #begun: Begun;
  /** Those who do more of it, add what that took. */
  readonly parts = new PauseParts();
  /** All changes that the mover took. */
  readonly #taken: DirtyPages;
  readonly #mover: Mover;
  readonly #isPatient: boolean;
  readonly #following: DirtyPages | undefined;
  readonly #slowsDown: boolean;
  /** Whether the guest may be stopped. */
  #mayStop: boolean;
  #isAsking = false;
  #slowed = 0;
  /** Rounds that did not get on, in a row and since it was last slowed down. */
  #stalls = 0;
  /** What went through until when, and how fast that was. */
  readonly #rate = { at: performance.now(), bytes: 0, bytesPerSecond: 0 };
  #phase: "moving" | "pausing" | "copying" | "still" | "free" | "over" = "moving";
  #isMoving = true;
  #isMoved = false;
  #isStaying = false;
  #isElsewhere = false;
  #captured: Captured | undefined;
  #pausedAt = 0;
  #pauseMs = 0;
  #cancelTimer: () => void = () => {};

  constructor(guest: SavableGuest, options: LiveCopyOptions) {
    const { loop, host, allowedPauseMs = ALLOWED_PAUSE_MS, bytesPerSecond } = options;
    const { isPatient = false, slowDown = false, asks = false, following } = options;
    this.#guest = guest;
    this.#mayStop = !asks;
    this.#loop = loop;
    this.#host = host;
    // What may follow is never waited for.
    this.#isPatient = isPatient || following !== undefined;
    this.#following = following;
    this.#slowsDown = slowDown;
    this.#taken = DirtyPages.of(mappedLength(guest.memory));
    const { tracking } = this.#begun = guest.history.begin();
    this.#mover = new Mover(loop, {
      memory: guest.memory,
      task: {
        ...options.task,
        tracking,
        taken: this.#taken.buffer,
        following: following?.buffer,
      } as FileTask | StreamTask,
      ...{ allowedPauseMs, bytesPerSecond },
      ready: () => this.#pause(),
      stalled: (rounds) => this.#stalled(rounds),
      copied: () => {
        if (this.#phase !== "copying") return;
        this.#phase = "still";
        this.parts.end("memory");
        host.copied();
      },
      ended: (error) => {
        this.#isMoving = false;
        this.#isMoved = error === undefined;
        host.ended(error);
      },
    });
    // Its thread takes longer to start.
    loop.after(0, () => this.#attempt(() => this.#rehearse()));
    if (!slowDown && following !== undefined) this.#mover.letFollow();
    this.#tick(this.#isPatient ? Infinity : MAX_ROUNDS);
  }

  /** Whether the guest stands still for it. */
  get isHolding(): boolean {
    return this.#phase === "pausing" || this.#phase === "copying" || this.#phase === "still";
  }

  /** Whether the mover's thread may still use what it was given. */
  get isMoving(): boolean {
    return this.#isMoving;
  }

  /** Whether all of RAM is where it is to go. */
  get isMoved(): boolean {
    return this.#isMoved;
  }

  /** What was taken at the instant, which has been. */
  get captured(): Captured {
    return this.#captured!;
  }

  get progress(): CopyProgress {
    const { rounds, movedBytes, remainingBytes, changedBytesPerSecond } = this.#mover.progress;
    const left = this.isHolding || this.#phase === "moving" ? remainingBytes : 0;
    return {
      ...{ rounds, remainingBytes: left },
      ...{ doneBytes: movedBytes, totalBytes: movedBytes + left },
      ...{ bytesPerSecond: this.#rate.bytesPerSecond, changedBytesPerSecond },
      slowedPercent: this.#slowed,
    };
  }

  /** Bytes that went to the file or the stream: fewer than of memory where it is packed. */
  get wireBytes(): number {
    return this.#mover.progress.wireBytes;
  }

  get figures(): CopyFigures {
    const { rounds, movedBytes } = this.#mover.progress;
    const { why } = this.#begun;
    return {
      pauseMs: Math.round((this.#isPause ? this.#sincePause : this.#pauseMs) * 10) / 10,
      rounds,
      bytes: movedBytes,
      parts: this.parts.figures,
      ...why === undefined ? {} : { stoodStill: why },
    };
  }

  /** Whether the guest stands still, here and everywhere. */
  get #isPause(): boolean {
    return this.isHolding && !this.#isElsewhere;
  }

  get #sincePause(): number {
    return performance.now() - this.#pausedAt;
  }

  /** A vCPU may have left the guest. */
  look(): void {
    if (this.#phase === "pausing" && this.#guest.isParked) this.#attempt(() => this.#take());
  }

  /** Lets the guest go on once RAM is copied, or with `stay` leaves it where it is. */
  letGo(options: { stay?: boolean } = {}): void {
    this.#pauseMs = this.#sincePause;
    this.#phase = "free";
    this.#isStaying = options.stay ?? false;
    if (this.#isStaying) this.#guest.stay();
    else this.#guest.release();
  }

  /** It runs somewhere else: its pause is over. Here it stands still for good. */
  goesOnElsewhere(): void {
    this.#pauseMs = this.#sincePause;
    this.#isElsewhere = true;
  }

  /** The guest goes on at once. Where the mover has not ended, that is still to be waited for. */
  giveUp(): void {
    const isHeld = this.isHolding || this.#isStaying;
    this.#slow(0);
    if (this.isHolding) this.#pauseMs = this.#sincePause;
    this.#phase = "over";
    if (isHeld) this.#guest.release();
    if (this.#isMoving) this.#mover.cancel();
  }

  /** Nothing of it runs any more: did it serve? With `track`, changes since its instant go on being known. */
  close(options: { served: boolean; track?: boolean }): void {
    const { served, track = false } = options;
    // It stands still for good.
    if (this.#isPause) this.#pauseMs = this.#sincePause;
    this.#phase = "over";
    this.#slow(0);
    this.#cancelTimer();
    if (served) this.#guest.history.succeeded(this.#begun.point, { track });
    // A mover that did not come to its end has given back itself.
    else this.#guest.history.failed(this.#isMoved ? this.#taken : undefined);
  }

  /** Code is compiled and its functions are bound when they are first used: not while the guest stands still. */
  #rehearse(): void {
    if (this.#phase !== "moving") return;
    // What was compiled for one kind of object is for all of that kind, the second time.
    for (let time = 0; time < REHEARSALS; time++) {
      const machine = this.#guest.rehearse();
      this.#host.rehearsed?.(this.#instant(machine));
    }
  }

  #instant(machine: SavedMachine): Captured {
    const { config, plugged, settings } = this.#guest;
    return { config, plugged, settings, machine, point: this.#begun.point, takenAt: Date.now() };
  }

  #attempt(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#host.failed(error as Error);
    }
  }

  #tick(maxRounds: number): void {
    this.#cancelTimer = this.#loop.after(PROGRESS_MS, () => {
      if (this.#mover.progress.rounds >= maxRounds) this.#pause();
      if (this.#phase === "pausing" && this.#sincePause > PAUSE_TIMEOUT_MS) {
        this.#host.failed(new Error("Cannot stop the guest: its vCPUs do not pause"));
      }
      this.#measure();
      this.#host.tick();
      if (this.#phase !== "over") this.#tick(maxRounds);
    });
  }

  #measure(): void {
    const rate = this.#rate;
    const [at, bytes] = [performance.now(), this.#mover.progress.movedBytes];
    rate.bytesPerSecond = Math.round((bytes - rate.bytes) / (at - rate.at) * 1000);
    [rate.at, rate.bytes] = [at, bytes];
  }

  /** A round has left about as much as it has copied; so many in a row did. */
  #stalled(rounds: number): void {
    if (this.#phase !== "moving") return;
    this.#stalls = rounds === 1 ? 1 : this.#stalls + 1;
    if (!this.#slowsDown || this.#slowed === MAX_SLOWED) {
      if (this.#following !== undefined) this.#mover.letFollow();
      else if (this.#stalls < MAX_STALLED_ROUNDS) return;
      else if (this.#isPatient) this.#host.stuck?.();
      else this.#pause();
    } else if (this.#stalls >= STALLS_PER_STEP) {
      this.#stalls = 0;
      this.#slow(Math.min(this.#slowed + SLOW_STEP, MAX_SLOWED));
    }
  }

  #slow(percent: number): void {
    if (percent === this.#slowed) return;
    this.#slowed = percent;
    this.#guest.slow(percent);
  }

  #ask(): void {
    if (this.#isAsking) return;
    this.#isAsking = true;
    this.#host.ready?.();
  }

  /** The guest may be stopped, and is where it only waited for that. */
  stop(): void {
    this.#mayStop = true;
    if (this.#isAsking) this.#pause();
  }

  /** The rest of RAM is little enough, or does not get less. */
  #pause(): void {
    if (this.#phase !== "moving") return;
    if (!this.#mayStop) return this.#ask();
    this.#phase = "pausing";
    // It leaves its rest for the pause, and goes on at full speed, here or elsewhere.
    this.#slow(0);
    this.#pausedAt = performance.now();
    this.parts.begin();
    this.#attempt(() => this.#guest.hold());
    this.look();
  }

  /**
   * The instant: from the first device at rest to the last register taken, nothing else happens. Then all
   * that has changed is known, also by what was taken.
   */
  #take(): void {
    this.#phase = "copying";
    this.parts.end("leave");
    this.#guest.freeze();
    this.parts.end("rest");
    // The last of RAM is copied while registers are taken.
    this.#captured = this.#instant(this.#guest.capture(() => this.#mover.finish()));
    this.#host.taken();
    this.parts.end("registers");
    if (this.#phase === "copying") this.#mover.await(SHORT_MS);
  }
}
