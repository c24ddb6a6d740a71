/**
 * Saves a running guest: its RAM is written by the mover's thread, everything else here in the main loop
 * and a piece at a time, so that all is served meanwhile.
 *
 * ```
 * moving     RAM is written while the guest runs, in rounds, until the rest fits the pause
 * pausing    vCPUs leave the guest; devices finish what they have begun
 * (instant)  all state is taken at once: what is saved is the guest as it was here
 * copying    the last round of RAM, while the guest stands still
 * holding    until the caller says so, if it wanted that: it copies disks, say
 * settling   the guest runs again, or stays paused; RAM's file is brought to the disk and read once more
 * syncing    all else is brought to the disk, and the directory gets its name
 * ending     it was given up, and the mover's thread still uses the file
 * ```
 *
 * Where changes of RAM cannot be tracked, nothing is written before the guest stands still, and then all.
 * Whatever goes wrong, and if it is cancelled, the guest goes on as before and nothing is left.
 *
 * @module
 */
import { close } from "../../sys/files.ts";
import { DirtyPages } from "../../machine/dirty_pages.ts";
import { mappedLength } from "../../machine/ram.ts";
import type { EventLoop } from "../event_loop.ts";
import { Mover } from "../mover.ts";
import { syncInBackground } from "./background_sync.ts";
import { NewSnapshot, type OpenSnapshot, openSnapshot } from "./directory.ts";
import type { Begun, SaveHistory } from "./history.ts";
import { digestBytes } from "./memory_file.ts";
import { encodeGuest, type SavedGuest } from "./saved_guest.ts";
import {
  ALLOWED_PAUSE_MS,
  MAX_ROUNDS,
  MAX_STALLED_ROUNDS,
  type SavableGuest,
  type SaveHost,
  type SaveOptions,
  type SaveResult,
} from "./saving.ts";

/** How long vCPUs may take to leave the guest, in milliseconds. */
const PAUSE_TIMEOUT_MS = 10_000;
/** How often progress is told, in milliseconds. */
const PROGRESS_MS = 200;
type Phase =
  | "moving"
  | "pausing"
  | "copying"
  | "holding"
  | "settling"
  | "syncing"
  | "ending"
  | "over";

export class Save {
  readonly #guest: SavableGuest;
  readonly #loop: EventLoop;
  readonly #host: SaveHost;
  readonly #options: SaveOptions;
  readonly #base: OpenSnapshot | undefined;
  readonly #snapshot: NewSnapshot;
  readonly #begun: Begun;
  readonly #digests: Uint8Array<SharedArrayBuffer>;
  /** All changes that the mover took. */
  readonly #taken: DirtyPages;
  readonly #mover: Mover;
  #phase: Phase = "moving";
  #mayGo: boolean;
  /** The file has all of RAM, and the mover is no more. */
  #isMoved = false;
  #isMoving = true;
  #captured: Omit<SavedGuest, "memory" | "point"> | undefined;
  #error: Error | undefined;
  #pausedAt = 0;
  #pauseMs = 0;
  #cancelTimer: () => void = () => {};

  /** Throws where it cannot even begin; nothing has happened then. */
  constructor(
    guest: SavableGuest,
    options: SaveOptions & { loop: EventLoop; host: SaveHost },
  ) {
    const { directory, base, hold = false } = options;
    this.#guest = guest;
    this.#loop = options.loop;
    this.#host = options.host;
    this.#options = options;
    this.#mayGo = !hold;
    const length = mappedLength(guest.memory);
    this.#base = base === undefined ? undefined : openBase(base, guest.history);
    try {
      this.#snapshot = new NewSnapshot(directory, length);
    } catch (error) {
      this.#closeBase();
      throw error;
    }
    this.#digests = new Uint8Array(new SharedArrayBuffer(digestBytes(length)));
    if (this.#base !== undefined) this.#digests.set(this.#base.saved.memory.digests!);
    this.#taken = DirtyPages.of(length);
    this.#begun = guest.history.begin();
    this.#mover = this.#move();
    this.#tick();
  }

  #move(): Mover {
    const { allowedPauseMs = ALLOWED_PAUSE_MS } = this.#options;
    return new Mover(this.#loop, {
      memory: this.#guest.memory,
      task: {
        kind: "file",
        fd: this.#snapshot.memoryFd,
        tracking: this.#begun.tracking,
        full: this.#base === undefined,
        base: this.#base?.memoryFd,
        digests: this.#digests.buffer,
        taken: this.#taken.buffer,
      },
      allowedPauseMs,
      ready: () => this.#attempt(() => this.#pause()),
      stalled: (rounds) => {
        if (rounds >= MAX_STALLED_ROUNDS) this.#attempt(() => this.#pause());
      },
      copied: () => this.#attempt(() => this.#copied()),
      ended: (error) => this.#moved(error),
    });
  }

  #closeBase(): void {
    if (this.#base !== undefined) close(this.#base.memoryFd);
  }

  /** Whether the guest stands still for it. */
  get isHolding(): boolean {
    return this.#phase === "pausing" || this.#phase === "copying" || this.#phase === "holding";
  }

  /** Whether it is over, one way or the other. */
  get isOver(): boolean {
    return this.#phase === "over";
  }

  /** A vCPU may have left the guest. */
  look(): void {
    if (this.#phase !== "pausing" || !this.#guest.isParked) return;
    this.#attempt(() => this.#take());
  }

  /** Lets a guest that is held go on, as soon as its RAM is copied. */
  go(): void {
    this.#mayGo = true;
    if (this.#phase === "holding") this.#attempt(() => this.#letGo());
  }

  /** Gives it up; the guest goes on at once, and the host is told when nothing of it is left. */
  cancel(reason: string): void {
    this.#fail(new Error(`Cannot save: ${reason}`));
  }

  get #isFailed(): boolean {
    return this.#phase === "ending" || this.#phase === "over";
  }

  #attempt(action: () => void): void {
    if (this.#isFailed) return;
    try {
      action();
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  #fail(error: Error): void {
    if (this.#isFailed) return;
    const isHeld = this.isHolding || this.#options.stay === true;
    this.#phase = "ending";
    this.#error = error;
    if (isHeld) this.#release();
    // Its thread has the file's descriptor.
    if (this.#isMoving) this.#mover.cancel();
    else this.#end();
  }

  #moved(error: Error | undefined): void {
    this.#isMoving = false;
    this.#isMoved = error === undefined;
    if (this.#isFailed) return this.#end();
    if (error !== undefined) this.#fail(error);
    else if (this.#phase === "settling") this.#attempt(() => this.#write());
  }

  /** Nothing of it runs any more. */
  #end(): void {
    const { history } = this.#guest;
    const error = this.#error;
    this.#cancelTimer();
    try {
      this.#closeBase();
      if (error === undefined) {
        history.succeeded(this.#begun.point, { track: this.#options.track ?? false });
      } else {
        // A mover that did not come to its end has given back itself.
        history.failed(this.#isMoved ? this.#taken : undefined);
        this.#snapshot.abandon();
      }
    } finally {
      this.#phase = "over";
      this.#host.done(error, this.#result);
    }
  }

  get #result(): SaveResult {
    const { rounds, movedBytes } = this.#mover.progress;
    const { why } = this.#begun;
    return {
      pauseMs: Math.round(this.#pauseMs * 10) / 10,
      rounds,
      bytes: movedBytes,
      ...why === undefined ? {} : { stoodStill: why },
    };
  }

  /** Tells how far it is, every now and then. */
  #tick(): void {
    this.#cancelTimer = this.#loop.after(PROGRESS_MS, () => {
      this.#tell();
      const isLong = this.#mover.progress.rounds >= MAX_ROUNDS;
      if (this.#phase === "moving" && isLong) this.#attempt(() => this.#pause());
      const isLate = performance.now() - this.#pausedAt > PAUSE_TIMEOUT_MS;
      if (this.#phase === "pausing" && isLate) {
        this.#fail(new Error("Cannot save: the vCPUs do not pause"));
      }
      if (!this.isOver) this.#tick();
    });
  }

  #tell(): void {
    if (this.#isFailed) return;
    const { rounds, movedBytes, remainingBytes } = this.#mover.progress;
    const phase = this.#phase === "settling" || this.#phase === "syncing" ? this.#phase : "copying";
    const left = phase === "copying" ? remainingBytes : 0;
    this.#host.progress({
      ...{ phase, rounds, remainingBytes: left },
      ...{ doneBytes: movedBytes, totalBytes: movedBytes + left },
    });
  }

  /** The rest of RAM is little enough, or does not get less. */
  #pause(): void {
    if (this.#phase !== "moving") return;
    this.#phase = "pausing";
    this.#pausedAt = performance.now();
    this.#guest.hold();
    this.look();
  }

  /**
   * The instant: from the first device at rest to the last register taken, nothing else happens. Then all
   * that has changed is known, also by what was taken.
   */
  #take(): void {
    this.#phase = "copying";
    this.#guest.freeze();
    const { config, plugged, settings } = this.#guest;
    const machine = this.#guest.capture();
    this.#captured = { config, plugged, settings, machine, takenAt: Date.now() };
    this.#mover.finish();
    if (!this.#mayGo) this.#host.held();
  }

  #copied(): void {
    this.#phase = "holding";
    if (this.#mayGo) this.#letGo();
  }

  #letGo(): void {
    this.#phase = "settling";
    if (this.#options.stay) this.#guest.stay();
    else this.#release();
    if (this.#isMoved) this.#write();
  }

  #release(): void {
    this.#guest.release();
    this.#pauseMs = performance.now() - this.#pausedAt;
  }

  #write(): void {
    this.#phase = "syncing";
    const snapshot = this.#snapshot;
    const length = mappedLength(this.#guest.memory);
    const memory = { length, digests: this.#digests.slice() as Uint8Array<ArrayBuffer> };
    const { point } = this.#begun;
    const state = snapshot.writeState(encodeGuest({ ...this.#captured!, memory, point }));
    this.#captured = undefined;
    const directory = snapshot.openDirectory();
    this.#sync([snapshot.memoryFd, ...state, directory], () => {
      close(directory);
      const parent = snapshot.appear();
      this.#sync([parent], () => {
        close(parent);
        this.#end();
      });
    });
  }

  #sync(fds: readonly number[], then: () => void): void {
    syncInBackground(fds, {
      loop: this.#loop,
      done: (error) =>
        this.#attempt(() => {
          if (error !== undefined) throw error;
          then();
        }),
    });
  }
}

/** Opens a save of this run since which all changes are known. */
function openBase(directory: string, history: SaveHistory): OpenSnapshot {
  const base = openSnapshot(directory);
  try {
    history.check(base.saved.point);
    if (base.saved.memory.digests === undefined) {
      throw new Error(`Cannot save on top of "${directory}": it has no digests of its memory`);
    }
    return base;
  } catch (error) {
    close(base.memoryFd);
    throw error;
  }
}
