/**
 * Ends of VMMs that nobody wanted, as crashes.
 *
 * @module
 */
import { isGood, wordsFor } from "../lives/vmm_ends.ts";
import type { VmmEnd } from "../lives/vmm_process.ts";
import { type Log, messageOf } from "../log.ts";
import { VERSION } from "../version.ts";
import type { Crashes, NewCrash } from "./crashes.ts";

export interface EndedVmm {
  /** The guest's name. */
  guest: string;
  end: VmmEnd;
  /** Whether somebody had asked for the guest's end. */
  isWanted: boolean;
  /** The release of the VMM; null if it never said. */
  version: string | null;
  /** The last that it printed. */
  output: string;
}

/** Tells an end in the log, and keeps it where it was a crash. */
export function keepEnd(vmm: EndedVmm, { log, crashes }: { log: Log; crashes: Crashes }): void {
  const { guest, end, output } = vmm;
  const wasGood = isGood(end);
  log(wasGood ? "info" : "warn", "a guest's VMM ended", {
    ...{ guest, reason: end.reason, detail: end.message },
    output: wasGood ? undefined : output,
  });
  const crash = crashOf(vmm);
  if (crash === null) return;
  try {
    crashes.add(crash);
  } catch (error) {
    // A full disk must not keep the guest's end from being seen to.
    log("error", "cannot keep a VMM's crash", { guest, error: messageOf(error) });
  }
}

/** The crash that an end was; null where it was none. */
export function crashOf({ guest, end, isWanted, version, output }: EndedVmm): NewCrash | null {
  if (isWanted || isGood(end) || end.reason === "refused" || end.reason === "upgraded") return null;
  const text = [
    `guest    ${guest}`,
    `reason   ${end.reason}`,
    `release  ${version ?? `unknown; this host has ${VERSION}`}`,
    "",
    end.message.trim(),
    "",
    "The last that its VMM printed:",
    output.trimEnd() || "(nothing)",
    "",
  ].join("\n");
  const time = new Date().toISOString();
  return { kind: "vmm", time, guest, title: wordsFor(end), text };
}
