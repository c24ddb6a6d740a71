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
  if (process.run.missing(new Set()).length === 0) return;
  process.devices().then((reports) => {
    for (const name of process.run.missing(new Set(Object.keys(reports)))) tell.gone(name);
  }).catch((error) => tell.failed(messageOf(error)));
}
