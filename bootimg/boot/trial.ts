/**
 * A system that was updated to has to prove itself: unless it does in time, the host restarts, and the
 * boot loader starts the one of before. One that stands still altogether is the watchdog's, from before
 * the trial begins.
 *
 * @module
 */
import { power } from "../../hypervisor/sys/reboot.ts";
import { STATE_NAME } from "../disk/names.ts";
import type { BootState, SlotName, SystemName } from "../slots/boot_state.ts";
import { systemOf } from "../slots/places.ts";
import { markGood, readSystems, type SlotDisk } from "../slots/slots.ts";
import type { Disk } from "./data.ts";
import { attempt, log } from "./log.ts";
import type { StatusBoard } from "./status.ts";

/** How long a system has until its console answers, with a large disk to be checked and slow cards. */
export const TRIAL_MS = 10 * 60 * 1000;
/** How much longer ending it may take before that is cut off too. */
export const END_MS = 3 * 60 * 1000;

/** Where the kernel keeps what it does when it has gone wrong: it goes on, where it can. */
const ON_TROUBLE = ["/proc/sys/kernel/panic_on_oops", "/proc/sys/kernel/hardlockup_panic"];

/** What a trial does to the host, and when. */
export interface TrialActions {
  trialMs?: number;
  endMs?: number;
  /** Restarts the host, guests first. */
  restart: () => void;
  /** Restarts the machine, whatever is going on. */
  restartNow: () => void;
}

/** Where a host stands with its systems. */
export interface Standing {
  running: SystemName | null;
  /** The slot that is running for the first time. */
  onTrial: SlotName | null;
  /** The slot that was tried, and did not come up. */
  failed: SlotName | null;
}

/** What the boot loader's notes and the partition that was started from tell. */
export function standingOf(state: BootState, running: SystemName | null): Standing {
  const { tried } = state;
  const isTrial = tried !== null && tried === running && tried !== state.good;
  return { running, onTrial: isTrial ? tried : null, failed: isTrial ? null : tried };
}

/**
 * Finds out whether the running system is on trial, and if so begins to watch it; tells of one that did
 * not come up.
 */
export async function tryOut(
  boot: Disk | undefined,
  options: { bootId: string | null; board: StatusBoard; restart: () => void },
): Promise<Trial | null> {
  const { bootId, board, restart } = options;
  if (!boot?.table.partitions.some((it) => it.name === STATE_NAME)) return null;
  const disk = { path: boot.device.path, sectors: boot.device.sectors };
  const { state } = await readSystems(disk);
  const { onTrial, failed } = standingOf(state, systemOf(boot.table, bootId));
  if (failed !== null) {
    const slot = failed.toUpperCase();
    board.problem("update", `the update in slot ${slot} was tried and did not come up`);
  }
  if (onTrial === null) return null;
  log(`the system in slot ${onTrial} is on trial`);
  for (const path of ON_TROUBLE) attempt(`Cannot write "${path}"`, () => setting(path, "1"));
  return new Trial(disk, onTrial, { restart, restartNow: () => power("reboot") });
}

/** A system that is on trial. */
export class Trial {
  readonly #disk: SlotDisk;
  readonly #slot: SlotName;
  readonly #timers: ReturnType<typeof setTimeout>[];
  #isOver = false;

  constructor(disk: SlotDisk, slot: SlotName, actions: TrialActions) {
    this.#disk = disk;
    this.#slot = slot;
    const { trialMs = TRIAL_MS, endMs = END_MS } = actions;
    this.#timers = [
      setTimeout(() => {
        log(
          `slot ${slot} did not prove itself in time: restarting with the one of before`,
          "error",
        );
        actions.restart();
      }, trialMs),
      setTimeout(actions.restartNow, trialMs + endMs),
    ];
  }

  /** The system works: from now on it is the one to start. */
  async passed(): Promise<void> {
    if (this.#isOver) return;
    await markGood(this.#disk, this.#slot);
    this.#isOver = true;
    for (const timer of this.#timers) clearTimeout(timer);
    for (const path of ON_TROUBLE) attempt(`Cannot write "${path}"`, () => setting(path, "0"));
    log(`the system in slot ${this.#slot} has proved itself`);
  }
}

function setting(path: string, value: string): void {
  Deno.writeTextFileSync(path, value);
}
