/**
 * Saves a running guest, in the main loop and a piece at a time, so that everything else is served
 * meanwhile.
 *
 * ```
 * pausing    vCPUs leave the guest; devices finish what they have begun
 * (instant)  all state is taken at once: what is saved is the guest as it was here
 * copying    RAM is copied, while the guest stands still
 * holding    until the caller says so, if it wanted that: it copies disks, say
 * digesting  the guest runs again, or stays paused; what was copied is read once more
 * syncing    all is brought to the disk, and the directory gets its name
 * ```
 *
 * Whatever goes wrong, and if it is cancelled, the guest goes on as before and nothing is left.
 *
 * @module
 */
import { close } from "../../sys/files.ts";
import type { GuestConfig } from "../control.ts";
import type { EventLoop } from "../event_loop.ts";
import type { PluggedDevice } from "../hotplug.ts";
import type { RamSource } from "../../machine/ram_source.ts";
import { syncInBackground } from "./background_sync.ts";
import { NewSnapshot } from "./directory.ts";
import { MemoryDigest, MemoryWriter } from "./memory_file.ts";
import {
  type DeviceSettings,
  encodeGuest,
  type SavedGuest,
  type SavedMachine,
} from "./saved_guest.ts";

/** How long vCPUs may take to leave the guest, in milliseconds. */
const PAUSE_TIMEOUT_MS = 10_000;
/** What is copied between two looks at everything else, in bytes. */
const STEP_BYTES = 8 << 20;
/** How often progress is told, in milliseconds. */
const PROGRESS_MS = 200;

export interface SaveOptions {
  /** An absolute path that does not exist, in a directory that does. */
  directory: string;
  /** The guest stands still until {@linkcode Save.go}. */
  hold?: boolean;
  /** It stands still when all is done. */
  stay?: boolean;
}

/** The guest as this needs it. */
export interface SavableGuest {
  readonly config: GuestConfig;
  /** Whether every vCPU is out of the guest, with no access half done. */
  readonly isParked: boolean;
  readonly plugged: PluggedDevice[];
  readonly settings: DeviceSettings;
  readonly ram: RamSource;
  /** Asks the vCPUs out of the guest. */
  hold(): void;
  /** Brings devices to rest, so that nothing touches RAM; throws where one cannot. */
  freeze(): void;
  /** All that there is of the machine, at rest. */
  capture(): SavedMachine;
  /** Lets devices and vCPUs go on; also where it has not come to {@linkcode SavableGuest.freeze}. */
  release(): void;
  /** It is left as it is. */
  stay(): void;
}

export interface SaveProgress {
  phase: "copying" | "digesting" | "syncing";
  doneBytes: number;
  totalBytes: number;
}

export interface SaveHost {
  progress(progress: SaveProgress): void;
  /** The instant has been: disks are as they belong to the snapshot until {@linkcode Save.go}. */
  held(): void;
  /** The directory has its name, or `error` says why not. */
  done(error?: Error): void;
}

type Phase = "pausing" | "copying" | "holding" | "saving" | "appeared" | "over";

export class Save {
  readonly #guest: SavableGuest;
  readonly #loop: EventLoop;
  readonly #host: SaveHost;
  readonly #snapshot: NewSnapshot;
  readonly #stays: boolean;
  #phase: Phase = "pausing";
  #mayGo: boolean;
  #taken: Omit<SavedGuest, "memory"> | undefined;
  #told = 0;
  #cancelTimeout: () => void;

  /** Throws where there can be no such directory, and then nothing has been done. */
  constructor(
    guest: SavableGuest,
    options: SaveOptions & { loop: EventLoop; host: SaveHost },
  ) {
    this.#guest = guest;
    this.#loop = options.loop;
    this.#host = options.host;
    this.#snapshot = new NewSnapshot(options.directory, guest.ram.bytes.length);
    this.#stays = options.stay ?? false;
    this.#mayGo = !(options.hold ?? false);
    guest.hold();
    this.#cancelTimeout = this.#loop.after(PAUSE_TIMEOUT_MS, () => {
      if (this.#phase === "pausing") this.#fail(new Error("Cannot save: the vCPUs do not pause"));
    });
    // Not before the caller has what it waits on.
    this.#later(() => this.look());
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
    this.#cancelTimeout();
    this.#attempt(() => this.#take());
  }

  /** Lets a guest that is held go on, as soon as its RAM is copied. */
  go(): void {
    this.#mayGo = true;
    if (this.#phase === "holding") this.#attempt(() => this.#finish());
  }

  /** Gives it up; the guest goes on. Once the directory has its name, it is too late for that. */
  cancel(reason: string): void {
    if (!this.isOver && this.#phase !== "appeared") this.#fail(new Error(`Cannot save: ${reason}`));
  }

  #later(action: () => void): void {
    this.#loop.after(0, () => {
      if (!this.isOver) this.#attempt(action);
    });
  }

  #attempt(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  #fail(error: Error): void {
    const isHeld = this.isHolding || this.#stays;
    this.#phase = "over";
    this.#cancelTimeout();
    let left = "";
    try {
      this.#snapshot.abandon();
    } catch (cause) {
      left = `; what was written is left: ${(cause as Error).message}`;
    }
    if (isHeld) this.#guest.release();
    this.#host.done(left === "" ? error : new Error(error.message + left, { cause: error }));
  }

  /** Whoever hears it may have gone, and then this is over when it returns. */
  #tell(phase: SaveProgress["phase"], doneBytes: number, totalBytes: number): void {
    const now = performance.now();
    if (now - this.#told < PROGRESS_MS && doneBytes < totalBytes) return;
    this.#told = now;
    this.#host.progress({ phase, doneBytes, totalBytes });
  }

  /** The instant: from the first device at rest to the last register taken, nothing else happens. */
  #take(): void {
    this.#phase = "copying";
    this.#guest.freeze();
    const { config, plugged, settings, ram } = this.#guest;
    const machine = this.#guest.capture();
    this.#taken = { config, plugged, settings, machine, takenAt: Date.now() };
    const writer = new MemoryWriter(ram, this.#snapshot.memoryFd);
    if (!this.#mayGo) this.#host.held();
    this.#later(() => this.#copy(writer));
  }

  #copy(writer: MemoryWriter): void {
    const isDone = writer.step(STEP_BYTES);
    this.#tell("copying", writer.doneBytes, writer.totalBytes);
    if (this.isOver) return;
    if (!isDone) return this.#later(() => this.#copy(writer));
    this.#phase = "holding";
    if (this.#mayGo) this.#finish();
  }

  #finish(): void {
    this.#phase = "saving";
    if (this.#stays) this.#guest.stay();
    else this.#guest.release();
    const { memoryFd } = this.#snapshot;
    const length = this.#guest.ram.bytes.length;
    this.#later(() => this.#digest(new MemoryDigest(memoryFd, length), length));
  }

  #digest(digest: MemoryDigest, length: number): void {
    const isDone = digest.step();
    this.#tell("digesting", digest.doneBytes, length);
    if (this.isOver) return;
    if (!isDone) return this.#later(() => this.#digest(digest, length));
    const snapshot = this.#snapshot;
    const memory = { length, digest: digest.value };
    const saved = { ...this.#taken!, memory };
    const state = snapshot.writeState(encodeGuest(saved));
    this.#taken = undefined;
    const directory = snapshot.openDirectory();
    this.#sync([snapshot.memoryFd, ...state, directory], () => {
      close(directory);
      const parent = snapshot.appear();
      this.#phase = "appeared";
      this.#sync([parent], () => {
        close(parent);
        this.#phase = "over";
        this.#host.done();
      });
    });
  }

  #sync(fds: readonly number[], then: () => void): void {
    this.#tell("syncing", 0, 0);
    if (this.isOver) return;
    syncInBackground(fds, {
      loop: this.#loop,
      done: (error) => {
        if (this.isOver) return;
        this.#attempt(() => {
          if (error !== undefined) throw error;
          then();
        });
      },
    });
  }
}
