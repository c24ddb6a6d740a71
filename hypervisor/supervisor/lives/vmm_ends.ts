/**
 * What the end of a VMM means.
 *
 * @module
 */
import type { ChildEnd } from "../../sys/processes.ts";
import { EXIT_CODES, type ExitReason } from "../../vmm/control.ts";
import type { VmmEnd } from "./vmm_process.ts";

const REASON_BY_CODE = new Map(
  Object.entries(EXIT_CODES).map(([reason, code]) => [code as number, reason as ExitReason]),
);

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

/** What is known of an end that the VMM did not tell of; `output` is the last that it printed. */
export function explain(child: ChildEnd | undefined, output: () => string): VmmEnd {
  if (child === undefined) {
    return { reason: "killed", message: "Its VMM ended without saying why" };
  }
  if ("signal" in child) {
    return { reason: "killed", message: `Its VMM was ended by signal ${child.signal}` };
  }
  const reason = REASON_BY_CODE.get(child.code);
  return reason === undefined
    ? { reason: "killed", message: `Its VMM exited with the unknown code ${child.code}` }
    : { reason, message: output().trimEnd().split("\n").at(-1)!.trim() };
}
