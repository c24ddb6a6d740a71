/**
 * What a guest's life has to do with: its VMM, and the world around it.
 *
 * @module
 */
import type { EndedVmm } from "../crashes/vmm_crashes.ts";
import type { Log } from "../log.ts";
import type { GuestRecord } from "../store/guests.ts";
import type { GuestLife } from "./guest_life.ts";
import type { Source } from "./source.ts";
import type { VmmEnd, VmmListener, VmmProcess } from "./vmm_process.ts";

/** What a life does with its VMM. */
export type Vmm = Pick<
  VmmProcess,
  "devices" | "follow" | "kill" | "logTail" | "pause" | "pressPowerButton" | "resume" | "run"
>;
export type { VmmEnd, VmmListener };

/** What a life needs of the world around it. */
export interface LifeSurroundings<V extends Vmm> {
  log: Log;
  /** Throws the problem for which the guest cannot start now. */
  check(record: GuestRecord): void;
  /** Starts the guest's VMM; on an error nothing is left of it. Without a source it boots. */
  launch(record: GuestRecord, source?: Source): Promise<V>;
  /** What a guest goes on from that resumes from the snapshot. */
  sourceOf(id: string, snapshot: string): Source;
  /** Keeps across power cuts which snapshot's memory the next start goes on from. */
  keepResumesFrom(id: string, snapshot: string | null): void;
  /** Removes what is left of a VMM that has ended. */
  cleanUp(record: GuestRecord, process: V): Promise<void>;
  /** Keeps the error across restarts; null takes it back. */
  keepError(id: string, error: string | null): void;
  changed(life: GuestLife<V>): void;
  /** A VMM of it is no more. */
  ended(vmm: EndedVmm): void;
  /** The running guest has the network card `id` no more. */
  cardGone(id: string): void;
  /** Aborts when nobody is to look after the guest's VMM any more, which runs on. */
  released: AbortSignal;
  /** Whether a guest that wants to reboot may. */
  mayRestart(): boolean;
  /** Waits; tests do not. */
  pause?: (milliseconds: number) => Promise<void>;
}
