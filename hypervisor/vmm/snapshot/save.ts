/**
 * Saves a running guest to a directory: its RAM is copied as `live_copy.ts` says, everything else is done
 * here in the main loop and a piece at a time, so that all is served meanwhile.
 *
 * ```
 * copying    RAM is written while the guest runs; then comes the instant, if the caller wanted to be asked
 *            when it says so, and the last of RAM
 * holding    until the caller says so, if it wanted that: it copies disks, say
 * settling   the guest runs again, or stays paused; RAM's file is brought to the disk and read once more
 * syncing    all else is brought to the disk, and the directory gets its name
 * ending     it was given up, and the mover's thread still uses the file
 * ```
 *
 * Whatever goes wrong, and if it is cancelled, the guest goes on as before and nothing is left.
 *
 * @module
 */
import { close } from "../../sys/files.ts";
import { mappedLength } from "../../machine/ram.ts";
import type { EventLoop } from "../event_loop.ts";
import { syncInBackground } from "./background_sync.ts";
import { NewSnapshot, type OpenSnapshot, openSnapshot } from "./directory.ts";
import type { SaveHistory } from "./history.ts";
import { LiveCopy } from "./live_copy.ts";
import { digestBytes } from "./memory_file.ts";
import { encodeGuest } from "./saved_guest.ts";
import type { SavableGuest, SaveHost, SaveOptions } from "./saving.ts";

export class Save {
  readonly #guest: SavableGuest;
  readonly #loop: EventLoop;
  readonly #host: SaveHost;
  readonly #options: SaveOptions;
  readonly #base: OpenSnapshot | undefined;
  readonly #snapshot: NewSnapshot;
  readonly #digests: Uint8Array<SharedArrayBuffer>;
  readonly #copy: LiveCopy;
  #phase: "copying" | "holding" | "settling" | "syncing" | "ending" | "over" = "copying";
  #mayGo: boolean;
  #isReady = false;
  #hasName = false;
  #error: Error | undefined;

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
    this.#copy = this.#begin();
  }

  #begin(): LiveCopy {
    return new LiveCopy(this.#guest, {
      loop: this.#loop,
      task: {
        kind: "file",
        fd: this.#snapshot.memoryFd,
        full: this.#base === undefined,
        base: this.#base?.memoryFd,
        digests: this.#digests.buffer,
      },
      allowedPauseMs: this.#options.allowedPauseMs,
      asks: this.#options.ask,
      host: {
        tick: () => this.#tell(),
        ready: () => {
          this.#isReady = true;
          this.#host.ready();
        },
        taken: () => {
          if (!this.#mayGo) this.#host.held();
        },
        copied: () => this.#attempt(() => this.#copied()),
        failed: (error) => this.#fail(error),
        ended: (error) => this.#moved(error),
      },
    });
  }

  #closeBase(): void {
    if (this.#base !== undefined) close(this.#base.memoryFd);
  }

  /** Whether the guest stands still for it. */
  get isHolding(): boolean {
    return this.#copy.isHolding;
  }

  /** Whether it is over, one way or the other. */
  get isOver(): boolean {
    return this.#phase === "over";
  }

  /** A vCPU may have left the guest. */
  look(): void {
    this.#copy.look();
  }

  /** Stops a guest that is ready for it; lets one that is held go on, as soon as its RAM is copied. */
  go(): void {
    if (this.#isReady) {
      this.#isReady = false;
      return this.#copy.stop();
    }
    this.#mayGo = true;
    if (this.#phase === "holding") this.#attempt(() => this.#letGo());
  }

  /**
   * Gives it up; the guest goes on at once, and the host is told when nothing of it is left. Once the
   * directory has its name, it is too late for that.
   */
  cancel(reason: string): void {
    if (!this.#hasName) this.#fail(new Error(`Cannot save: ${reason}`));
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
    this.#phase = "ending";
    this.#error = error;
    this.#copy.giveUp();
    // The mover's thread has the file's descriptor.
    if (!this.#copy.isMoving) this.#end();
  }

  #moved(error: Error | undefined): void {
    if (this.#isFailed) return this.#end();
    if (error !== undefined) this.#fail(error);
    else if (this.#phase === "settling") this.#attempt(() => this.#write());
  }

  /** Nothing of it runs any more. */
  #end(): void {
    const error = this.#error;
    try {
      this.#closeBase();
      this.#copy.close({ served: error === undefined, track: this.#options.track });
      if (error !== undefined) this.#snapshot.abandon();
    } finally {
      this.#phase = "over";
      this.#host.done(error, this.#copy.figures);
    }
  }

  #tell(): void {
    const phase = this.#phase;
    if (phase === "ending" || phase === "over") return;
    const told = phase === "holding" ? "copying" : phase;
    this.#host.progress({ phase: told, ...this.#copy.progress });
  }

  #copied(): void {
    this.#phase = "holding";
    if (this.#mayGo) this.#letGo();
  }

  #letGo(): void {
    this.#phase = "settling";
    this.#copy.letGo({ stay: this.#options.stay });
    if (this.#copy.isMoved) this.#write();
  }

  #write(): void {
    this.#phase = "syncing";
    const snapshot = this.#snapshot;
    const length = mappedLength(this.#guest.memory);
    const memory = { length, digests: this.#digests.slice() as Uint8Array<ArrayBuffer> };
    const state = snapshot.writeState(encodeGuest({ ...this.#copy.captured, memory }));
    const directory = snapshot.openDirectory();
    this.#sync([snapshot.memoryFd, ...state, directory], () => {
      close(directory);
      const parent = snapshot.appear();
      this.#hasName = true;
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
