/**
 * Long work in words.
 *
 * @module
 */
import { factorOf } from "../../hypervisor/supervisor/api/limits.ts";
import type { Task } from "../../hypervisor/supervisor/api/schemas.ts";
import { formatBytes } from "./format.ts";

/** Whom a task is about. */
export function subjectWords({ guestName }: Pick<Task, "guestName">): string {
  return guestName ?? "this host";
}

/** What a task does, without the guest: "Moving to basement-2". */
export function doingWords({ kind, detail }: Pick<Task, "kind" | "detail">): string {
  switch (kind) {
    case "snapshot":
      return `Taking the snapshot “${detail}”`;
    case "revert":
      return `Reverting to “${detail}”`;
    case "fork":
      return detail === "" ? "Forking" : `Forking: ${detail}`;
    case "move":
      return `Moving to ${detail}`;
    case "upgrade":
      return "Moving to a new VMM";
    case "install":
      return `Installing on ${detail}`;
    case "save":
      return "Saving, as the host ends";
    case "restore":
      return "Going on from where the host ended";
  }
}

const NOUNS: Record<Task["kind"], string> = {
  snapshot: "snapshot",
  revert: "revert",
  fork: "fork",
  move: "move",
  upgrade: "upgrade",
  install: "installation",
  save: "save",
  restore: "return",
};

/** "The move of web-1". */
export function nounWords(task: Pick<Task, "kind" | "guestName">): string {
  return `The ${NOUNS[task.kind]} of ${subjectWords(task)}`;
}

/** How a task ended, as a sentence of its own; null while it is under way. */
export function endWords(task: Task): string | null {
  switch (task.state) {
    case "running":
      return null;
    case "cancelled":
      return `${nounWords(task)} was cancelled`;
    case "failed":
      return `${nounWords(task)} failed: ${task.error ?? "nobody knows why"}`;
    case "done":
      return doneWords(task);
  }
}

function doneWords(task: Task): string {
  const { kind, guestName, detail, made, pauseMs } = task;
  const still = pauseMs === null ? "" : `; it stood still for ${formatPause(pauseMs)}`;
  switch (kind) {
    case "snapshot":
      return `Took the snapshot “${detail}” of ${guestName}${still}`;
    case "revert":
      return `Reverted ${guestName} to “${detail}”`;
    case "fork":
      return `Made ${made.length === 1 ? "a guest" : `${made.length} guests`} out of ${guestName}` +
        still;
    case "move":
      return [`Moved ${guestName} to ${detail}${still}`, compressedWords(task)]
        .filter((it) => it !== null).join(". ");
    case "upgrade":
      return `${guestName} has a new VMM${still}`;
    case "install":
      return `Installed on ${detail}. It is started from when this host starts next without the stick`;
    case "save":
      return `Saved ${guestName}: it goes on when the host starts next`;
    case "restore":
      return `${guestName} went on from where the host ended`;
  }
}

/** From 0 to 1; null while nobody knows. */
export function shareOf({ doneAmount, totalAmount, state }: Task): number | null {
  if (state === "done") return 1;
  return totalAmount > 0 ? Math.min(1, doneAmount / totalAmount) : null;
}

/** "1.5 GiB of 4 GiB", "3 of 10"; null while nobody knows. */
export function amountWords({ doneAmount, totalAmount, unit }: Task): string | null {
  if (totalAmount <= 0) return null;
  const words = unit === "bytes" ? formatBytes : String;
  return `${words(Math.round(doneAmount))} of ${words(Math.round(totalAmount))}`;
}

/** How much less went to another host: "1.5 GiB of memory, compressed to 640 MiB: 2.4 to 1"; null where it did not. */
export function compressedWords({ sent }: Pick<Task, "sent">): string | null {
  const factor = factorOf(sent);
  if (sent === null || factor === null) return null;
  const [memory, wire] = [sent.memoryBytes, sent.wireBytes].map((it) =>
    formatBytes(Math.round(it))
  );
  return `${memory} of memory, compressed to ${wire}: ${Number(factor.toFixed(1))} to 1`;
}

/** A task in very few words, for where there is little room: "Moving web-1, 43 %". */
export function shortWords(tasks: readonly Task[]): string {
  if (tasks.length !== 1) return `${tasks.length} tasks under way`;
  const [task] = tasks;
  const share = shareOf(task);
  const verbs = {
    ...{ snapshot: "Saving", revert: "Reverting", fork: "Forking", move: "Moving" },
    ...{ upgrade: "Upgrading", install: "Installing", save: "Saving", restore: "Restoring" },
  };
  const far = share === null ? "" : `, ${Math.floor(100 * share)} %`;
  return `${verbs[task.kind]} ${subjectWords(task)}${far}`;
}

/** How long a guest stood still: "0.8 ms", "42 ms", "1.3 s". */
export function formatPause(ms: number): string {
  if (ms < 10) return `${Number(ms.toFixed(1))} ms`;
  return ms < 1000 ? `${Math.round(ms)} ms` : `${Number((ms / 1000).toFixed(1))} s`;
}
