/**
 * Follows a task until it ends, with a line that tells how far it is.
 *
 * @module
 */
import { factorOf } from "../api/limits.ts";
import type { Task } from "../api/schemas.ts";
import type { Context } from "./command.ts";

const LOOK_MS = 200;
const MIB = 1024 * 1024;

/** How far a task is, in a line. */
export function progressText({ phase, doneAmount, totalAmount, unit }: Task): string {
  if (totalAmount === 0) return phase;
  const share = `${Math.min(100, Math.floor(doneAmount * 100 / totalAmount))} %`;
  if (unit === "steps") return `${phase}: ${doneAmount} of ${totalAmount}`;
  const [done, total] = [doneAmount, totalAmount].map((bytes) => Math.round(bytes / MIB));
  return `${phase}: ${share}, ${done} of ${total} MiB`;
}

/** How a task ended, in a line. */
export function endText({ kind, guestName, state, pauseMs, sent, made }: Task): string {
  const factor = factorOf(sent);
  const notes = [
    ...(made.length === 0 ? [] : [`${made.length} new guest${made.length === 1 ? "" : "s"}`]),
    ...(pauseMs === null ? [] : [`the guest stood still for ${Math.round(pauseMs)} ms`]),
    ...(factor === null ? [] : [`its memory was compressed ${factor.toFixed(1)} to 1`]),
  ];
  return `The ${kind} of ${guestName ?? "this host"} is ${state}` +
    (notes.length === 0 ? "" : `: ${notes.join(", ")}`);
}

/**
 * Resolves when the task has ended; throws where it has not done what it was for. Without `wait` it only
 * tells that it has begun.
 */
export async function follow(
  context: Context,
  begun: Task,
  options: { wait: boolean; isTerminal?: boolean },
): Promise<void> {
  const { api: { client }, json, out } = context;
  const { isTerminal = Deno.stdout.isTerminal() } = options;
  if (!options.wait) {
    await out(json ? JSON.stringify(begun, null, 2) + "\n" : `${begun.id}\n`);
    return;
  }
  let task = begun;
  let told = "";
  while (task.state === "running") {
    const text = isTerminal ? progressText(task) : task.phase;
    if (!json && text !== told && text !== "") {
      await out(isTerminal ? `\r\x1b[K${text}` : `${text}\n`);
      told = text;
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    task = await client.call("getTask", { params: { id: task.id } });
  }
  if (!json && isTerminal && told !== "") await out("\r\x1b[K");
  if (json) await out(JSON.stringify(task, null, 2) + "\n");
  if (task.state !== "done") throw new Error(task.error ?? endText(task));
  if (!json) await out(endText(task) + "\n");
}
