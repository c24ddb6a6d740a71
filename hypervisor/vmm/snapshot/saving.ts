/**
 * What a save needs of a guest, is told, and tells.
 *
 * @module
 */
import type { PauseFigures } from "./pause_parts.ts";
import type { MemorySpec } from "../../machine/ram.ts";
import type { GuestConfig } from "../control.ts";
import type { PluggedDevice } from "../hotplug.ts";
import type { SaveHistory } from "./history.ts";
import type { DeviceSettings, SavedMachine } from "./saved_guest.ts";

/** What the last round may take where nobody says otherwise, in milliseconds. */
export const ALLOWED_PAUSE_MS = 50;
/** A guest that changes its memory as fast as it is written is stopped after so many rounds in a row. */
export const MAX_STALLED_ROUNDS = 3;
/** Where it may be slowed down, it is by so many percent more ... */
export const SLOW_STEP = 20;
/** ... after so many such rounds in a row, ... */
export const STALLS_PER_STEP = 2;
/** ... up to so many. */
export const MAX_SLOWED = 95;
/** And one with which it goes this way and that, after so many in all. */
export const MAX_ROUNDS = 30;

export interface SaveOptions {
  /** An absolute path that does not exist, in a directory that does. */
  directory: string;
  /** The guest stands still until `Save.go`. */
  hold?: boolean;
  /** It is not stopped for the instant before `Save.go`. */
  ask?: boolean;
  /** It stands still when all is done. */
  stay?: boolean;
  /** What the last round of RAM may take, in milliseconds; {@linkcode ALLOWED_PAUSE_MS} without. */
  allowedPauseMs?: number;
  /** The directory of the save before, which was made with `track`: only what has changed is written. */
  base?: string;
  /** Changes go on being tracked, so that this save can be a base. */
  track?: boolean;
}

/** The guest as this needs it. */
export interface SavableGuest {
  readonly config: GuestConfig;
  /** Whether every vCPU is out of the guest, with no access half done. */
  readonly isParked: boolean;
  readonly plugged: PluggedDevice[];
  readonly settings: DeviceSettings;
  readonly memory: MemorySpec;
  readonly history: SaveHistory;
  /** Has the vCPUs run for so many percent less of the time. */
  slow(percent: number): void;
  /** Asks the vCPUs out of the guest. */
  hold(): void;
  /** Brings devices to rest, so that nothing touches RAM; throws where one cannot. */
  freeze(): void;
  /**
   * Does as {@linkcode SavableGuest.capture} while the guest runs, without asking KVM: what comes of it is
   * worth nothing, but code is compiled when it first runs.
   */
  rehearse(): SavedMachine;
  /** All that there is of the machine, at rest; `untouched` is called when this writes to no memory any more. */
  capture(untouched?: () => void): SavedMachine;
  /** Lets devices and vCPUs go on; also where it has not come to {@linkcode SavableGuest.freeze}. */
  release(): void;
  /** It is left as it is. */
  stay(): void;
}

/** How far RAM is. */
export interface CopyProgress {
  /** Bytes that were copied, and those that will be by what is known. */
  doneBytes: number;
  totalBytes: number;
  /** Passes over RAM that have begun. */
  rounds: number;
  /** Bytes at most that are left of this round. */
  remainingBytes: number;
  /** Bytes a second that go through just now. */
  bytesPerSecond: number;
  /** Bytes a second of memory that the guest changed during the round before; 0 while that is not known. */
  changedBytesPerSecond: number;
  /** How much less than all of the time its vCPUs run, in percent. */
  slowedPercent: number;
}

export interface SaveProgress extends CopyProgress {
  /** "copying": RAM is written, while the guest runs or stands still. */
  phase: "copying" | "settling" | "syncing";
}

/** What became of it, in figures. */
export interface CopyFigures {
  /** How long the guest stood still for it, in milliseconds. */
  pauseMs: number;
  rounds: number;
  /** What was copied of RAM. */
  bytes: number;
  /** What the pause went into; absent where there was none. */
  parts?: PauseFigures;
  /** Why RAM could not be copied while the guest ran. */
  stoodStill?: string;
}

export interface SaveHost {
  progress(progress: SaveProgress): void;
  /** The guest can be stopped for the instant, and is at the next `Save.go`. */
  ready(): void;
  /** The instant has been; the guest stands still until `Save.go`. */
  held(): void;
  /** It is over. Without an error, the directory is there and will be after a power cut. */
  done(error: Error | undefined, figures: CopyFigures): void;
}
