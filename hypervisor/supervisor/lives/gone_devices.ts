/**
 * A device that a guest let go of while nobody listened was told of to nobody.
 *
 * @module
 */
import { messageOf } from "../log.ts";
import type { Vmm } from "./life_surroundings.ts";

/** Asks a VMM which of the devices that were plugged in it has no more. */
export function lookForGone(
  process: Pick<Vmm, "devices" | "run">,
  tell: { gone(name: string): void; failed(error: string): void },
): void {
  const { run } = process;
  const asked = run.missing(new Set()).map((name) => {
    return { name, device: run.device(name), wasLeaving: run.leaves(name) };
  });
  if (asked.length === 0) return;
  process.devices().then((reports) => {
    for (const { name, device, wasLeaving } of asked) {
      // What was asked to leave since is told of as it goes, and another may have its name by now.
      const isSame = run.device(name) === device && (wasLeaving || !run.leaves(name));
      if (isSame && !Object.hasOwn(reports, name)) tell.gone(name);
    }
  }).catch((error) => tell.failed(messageOf(error)));
}
