/**
 * Copies a guest's disks alone, as they are at one instant.
 *
 * @module
 */
import { whileFrozen } from "../agent/client.ts";
import type { AgentWatch } from "../agent/watch.ts";
import { type Log, messageOf } from "../log.ts";
import type { GuestLife } from "./guest_life.ts";

/** How long an agent may take to freeze, and to thaw. */
const FREEZE_MS = 10_000;

export interface StillOptions {
  copy: () => Promise<void>;
  agents: AgentWatch;
  /** The agent's, where the guest has a channel and file systems are to be frozen; else null. */
  agentSocket: string | null;
  log: Log;
}

/** Copies while the guest's CPUs stand still; for how long that was, null where they did before. */
export async function copyStandingStill(
  life: GuestLife,
  options: StillOptions,
): Promise<number | null> {
  const { agentSocket, agents, copy, log } = options;
  const { process } = life;
  if (process === null || !life.isUp || life.phase === "paused") {
    await copy();
    return null;
  }
  let pauseMs: number | null = null;
  let isBegun = false;
  const act = async () => {
    isBegun = true;
    const began = performance.now();
    await process.standingStill(copy);
    pauseMs = performance.now() - began;
  };
  if (agentSocket !== null && process.run.hasAgent) {
    try {
      const limits = { limitMs: FREEZE_MS };
      await agents.inTurn(life.record.id, () => whileFrozen(agentSocket, limits, act));
    } catch (error) {
      // One that does not answer, or does not allow it, is as none.
      if (isBegun) throw error;
      log("info", "file systems were not frozen", {
        guest: life.record.name,
        error: messageOf(error),
      });
    }
  }
  if (!isBegun) await act();
  return pauseMs;
}
