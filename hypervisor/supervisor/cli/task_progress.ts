/**
 * Follows long work to its end, on a terminal or as lines of JSON.
 *
 * @module
 */
import { Task } from "../api/schemas.ts";
import type { Context } from "./command.ts";

const MIB = 1024 * 1024;

/** Begins a task and tells how it goes until it has ended. Throws where it does not do what it should. */
export async function follow(
  { api, json, out }: Context,
  begin: () => Promise<Task>,
): Promise<void> {
  const over = new AbortController();
  try {
    // The stream first, so that nothing of it is missed.
    const events = api.client.events({ signal: over.signal });
    await events.next();
    let task = await begin();
    let said = "";
    const tell = async () => {
      const line = json ? JSON.stringify(task) : wordsFor(task);
      if (line !== said) await out(`${line}\n`);
      said = line;
    };
    await tell();
    while (task.state === "running") {
      const { value: event, done } = await events.next();
      if (done) throw new Error(`Cannot follow the ${task.kind} any longer: it goes on`);
      if (event.name !== "task") continue;
      const told = Task.parse(event.data);
      if (told.id !== task.id) continue;
      task = told;
      await tell();
    }
    if (task.state === "failed") throw new Error(task.error ?? `The ${task.kind} failed`);
    if (task.state === "cancelled") throw new Error(`The ${task.kind} was cancelled`);
  } finally {
    over.abort();
  }
}

function wordsFor({ phase, state, doneAmount, totalAmount, unit, pauseMs }: Task): string {
  const amount = totalAmount === 0
    ? ""
    : unit === "steps"
    ? `: ${doneAmount} of ${totalAmount}`
    : `: ${Math.floor(doneAmount / MIB)} of ${Math.ceil(totalAmount / MIB)} MiB`;
  if (state !== "done") return `${phase || "It begins"}${amount}`;
  return pauseMs === null ? "Done" : `Done; the guest stood still for ${Math.round(pauseMs)} ms`;
}
