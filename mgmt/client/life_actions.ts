/**
 * What is done with a guest as a whole, and goes on by itself once it has begun.
 *
 * @module
 */
import { type GuestAction, phaseOf, whyNot } from "../../hypervisor/supervisor/api/actions.ts";
import type { Guest, Task } from "../../hypervisor/supervisor/api/schemas.ts";
import { nounWords } from "../components/task_words.ts";
import { call, messageOf } from "./api.ts";
import { addTask } from "./live_tasks.ts";
import { toast } from "./toasts.ts";

export type LifeAct = Extract<GuestAction, "snapshot" | "revert" | "fork" | "move" | "upgrade">;

/** Why `act` cannot be done now; null where it can. */
export function reasonAgainstLife(
  guest: Guest,
  act: LifeAct,
  task: Task | undefined,
): string | null {
  return whyNot(act, phaseOf(guest)) ??
    (task ? `${nounWords(task)} is under way: wait for its end or cancel it` : null);
}

/** Moves a guest to a VMM of the version that is installed now. */
export async function upgrade(guest: Guest): Promise<void> {
  try {
    addTask(await call("upgradeGuest", { params: { id: guest.id } }));
  } catch (error) {
    toast("problem", messageOf(error));
  }
}

/** Asks for a task to be given up; that it has ended is told by its events. */
export async function cancelTask(task: Task): Promise<void> {
  try {
    await call("cancelTask", { params: { id: task.id } });
  } catch (error) {
    toast("problem", messageOf(error));
  }
}
