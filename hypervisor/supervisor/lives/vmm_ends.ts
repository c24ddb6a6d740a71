/**
 * What the end of a VMM means.
 *
 * @module
 */
import type { VmmEnd } from "./vmm_process.ts";

const DEFAULT_MESSAGES: Record<VmmEnd["reason"], string> = {
  poweroff: "It powered off",
  host: "Its VMM could not run on this host",
  refused: "Its VMM refused what it was given",
  crash: "Its processor reached a state from which it cannot go on",
  reboot: "It asked for a reset",
  migrated: "It was given to another host",
  upgraded: "It was given to another VMM, which ended",
  killed: "Its VMM was ended from outside",
};

/** Whether the guest ended as guests do. */
export function isGood(end: VmmEnd): boolean {
  return ["poweroff", "reboot", "migrated"].includes(end.reason);
}

/** Why it ended, in one line. */
export function wordsFor(end: VmmEnd): string {
  // What follows the first line, such as a stack, is for the log.
  const [line] = end.message.trim().split("\n");
  return line || DEFAULT_MESSAGES[end.reason];
}
