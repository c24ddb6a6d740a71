/**
 * Letting a guest go on whose VMM has it ready, and holds it: none of its instructions has run, and none of
 * its disks was written to.
 *
 * From the moment it goes on, its disks are no longer those that belong to the snapshot's memory. So that
 * memory is given up first, for good; whatever comes between, be it a power cut, this process's end or the
 * VMM's, the guest was either never let go, or boots the next time. A VMM that says it could not do it has
 * not; then, as before that moment, nothing is lost.
 *
 * @module
 */
import type { Status } from "../../vmm/control.ts";
import { VmmRefusal } from "./control_client.ts";
import type { Vmm } from "./life_surroundings.ts";

/** Whose next start goes on from a snapshot's memory. */
export interface Resuming {
  readonly resumesFrom: string | null;
  /** Returns once that is kept. */
  setResumesFrom(snapshot: string | null): void;
}

/** Resolves, with its status by then, once the guest goes on. */
export async function letGo(
  process: Pick<Vmm, "resume">,
  life: Resuming,
  status: Status,
): Promise<Status> {
  const { resumesFrom } = life;
  life.setResumesFrom(null);
  try {
    await process.resume();
  } catch (error) {
    if (error instanceof VmmRefusal) life.setResumesFrom(resumesFrom);
    throw error;
  }
  return { ...status, held: undefined, pausedFor: undefined };
}
