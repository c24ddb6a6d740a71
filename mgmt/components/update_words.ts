/**
 * Updates of the host in words.
 *
 * @module
 */
import type { HostUpdateView } from "../../hypervisor/supervisor/api/schemas.ts";

type Last = NonNullable<HostUpdateView["last"]>;
type Job = NonNullable<HostUpdateView["job"]>;

/** How the last update ended. */
export function lastWords({ from, to, outcome, why }: Last): string {
  const [old, next] = [from ?? "the version before", to ?? "another version"];
  const because = why === null ? "" : `: ${why}`;
  switch (outcome) {
    case "kept":
      return `Updated from ${old} to ${next}${because}`;
    case "fell back":
      return `The update to ${next} fell back to ${old}${because}`;
    case "undone":
      return `Went back from ${old} to ${next}${because}`;
  }
}

const PHASES: Record<Job["phase"], string> = {
  staging: "Taking the file in",
  verifying: "Checking its signature",
  writing: "Writing it to the disk",
  ready: "Ready",
};

export function phaseWords({ job, pull }: Pick<HostUpdateView, "job" | "pull">): string {
  if (job !== null && !job.isOver) return PHASES[job.phase];
  return pull !== null && !pull.isOver ? "Fetching its signature" : "Beginning";
}

/** Whether something is being taken in. */
export function isUnderWay({ job, pull }: Pick<HostUpdateView, "job" | "pull">): boolean {
  return (job !== null && !job.isOver) || (pull !== null && !pull.isOver);
}

/** Why what was taken in last failed; null where it did not. */
export function failureOf(told: Pick<HostUpdateView, "job" | "pull">): string | null {
  return isUnderWay(told) ? null : told.job?.error ?? told.pull?.error ?? null;
}

export const SYSTEM_WORDS = { image: "The image", a: "Slot A", b: "Slot B" } as const;
