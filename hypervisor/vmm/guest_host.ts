/**
 * What a guest is told as it begins, whom it tells of what becomes of it, and how it ends.
 *
 * @module
 */
import type { ExitReason } from "./control.ts";
import type { EventLoop } from "./event_loop.ts";
import type { PluggedDevice } from "./hotplug.ts";
import type { RestoreSource } from "./machine_restore.ts";
import type { VcpuThreads } from "./vcpu_threads.ts";

/** How a guest goes on from a snapshot. */
export interface RestoreOptions {
  snapshot: RestoreSource;
  /** It is not let go, and its devices touch nothing, before `Guest.takeOver`. */
  isHeld?: boolean;
  /** The same, before `Guest.resume`. */
  waits?: boolean;
  /**
   * "new", which is what a copy or a step back in time needs: the guest gets another VM generation id.
   * "same": it is the one that was saved, and nobody else goes on from there.
   */
  identity: "same" | "new";
  /** Of one that only goes on in another process: when it started, and why it is to stay paused. */
  startedAt?: number;
  pausedFor?: string;
}

/** What a guest begins with, besides its configuration. */
export interface GuestOptions {
  loop: EventLoop;
  host: GuestHost;
  /** Where they have been started before. */
  threads?: VcpuThreads;
  restore?: RestoreOptions;
  /** What is in hot-plug ports as it starts; one that goes on has what it had. */
  plugged?: readonly PluggedDevice[];
}

export interface GuestEnd {
  reason: ExitReason;
  message: string;
}

export interface GuestHost {
  /** The serial port sent something. */
  serial(bytes: Uint8Array<ArrayBuffer>): void;
  /** Whether it can take more of that now; where it cannot, it calls `Guest.look` once it can. */
  takesSerial(): boolean;
  /** The serial port takes input again. */
  serialRoom(): void;
  /** Something a person should know. */
  log(line: string): void;
  /** A device that was plugged in is gone. */
  unplugged(device: string): void;
  /** The guest does not run, for this reason; null when it runs again. */
  paused(reason: string | null): void;
}

/** Why a guest does not run that was saved and is to stay so. */
export const SAVED = "It was saved";
/** Why a guest does not run that has not been let go yet. */
export const WAITS = "It waits to go on";
