/**
 * What of a guest's memory changes while it runs.
 *
 * @module
 */
import { hasBalloon } from "../api/schemas.ts";
import type { GuestRecord } from "../store/guests.ts";
import { vmmProblem } from "./device_ground.ts";
import type { GuestLife } from "./guest_life.ts";
import type { MemoryBudget } from "./memory_budget.ts";
import { ADDED_MEMORY, BALLOON } from "./vm_config.ts";

/** Tells the running guest how much it is to give back and to have besides; the rest waits. */
export async function changeMemory(
  life: GuestLife,
  record: GuestRecord,
  budget: MemoryBudget,
): Promise<void> {
  const process = life.isUp ? life.process : null;
  if (process === null) return;
  const { run } = process;
  const { balloonMiB, hotplugMiB, requestedMiB } = record.memory;
  const change = async (device: string, change: Record<string, number>) => {
    try {
      await process.change(device, change);
    } catch (error) {
      throw vmmProblem(error, record.name);
    }
  };
  if (requestedMiB !== run.memory.requestedMiB && hotplugMiB === run.memory.hotplugMiB) {
    const wanted = run.memoryMiB - run.memory.requestedMiB + requestedMiB;
    budget.refuseUnfit({ ...record, verb: "add memory to" }, wanted);
    await change(ADDED_MEMORY, { requestedMiB });
    run.setMemory({ requestedMiB });
  }
  const fits = hasBalloon(run.memory) && balloonMiB <= run.baseMemoryMiB;
  if (balloonMiB !== run.memory.balloonMiB && fits) {
    await change(BALLOON, { targetMiB: balloonMiB });
    run.setMemory({ balloonMiB });
  }
}
