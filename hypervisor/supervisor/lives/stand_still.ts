/**
 * Copies a guest's disks alone, as they are at one instant.
 *
 * @module
 */
import { type Log, messageOf } from "../log.ts";
import { type FreezeGround, Freezing } from "./freezing.ts";
import type { GuestLife } from "./guest_life.ts";

export interface StillOptions extends FreezeGround {
  copy: () => Promise<void>;
  /** Whether file systems are frozen for it: "try" where the guest has an agent that does. */
  freeze: "must" | "try" | "no";
  log: Log;
}

/** How it was copied. */
export interface StoodStill {
  /** For how long the guest's CPUs stood still; null where they did before. */
  pauseMs: number | null;
  frozen: boolean;
}

/** Copies while the guest's CPUs stand still, and its file systems are frozen if that is wanted. */
export async function copyStandingStill(
  life: GuestLife,
  options: StillOptions,
): Promise<StoodStill> {
  const { copy, freeze, log } = options;
  const { process } = life;
  if (process === null || !life.isUp || life.phase === "paused") {
    await copy();
    return { pauseMs: null, frozen: false };
  }
  const act = async (frozen: boolean): Promise<StoodStill> => {
    const began = performance.now();
    await process.standingStill(copy);
    return { pauseMs: performance.now() - began, frozen };
  };
  if (freeze === "no" || (freeze === "try" && !process.run.hasAgent)) return await act(false);
  const freezing = new Freezing(life, options);
  try {
    await freezing.frozen;
  } catch (error) {
    await freezing.end().catch(() => {});
    if (freeze === "must") throw error;
    // One that does not answer, or does not allow it, is as none.
    log("info", "file systems were not frozen", {
      guest: life.record.name,
      error: messageOf(error),
    });
    return await act(false);
  }
  try {
    return await act(true);
  } finally {
    await freezing.end();
  }
}
