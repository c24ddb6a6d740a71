import type { Guest, Task } from "../../hypervisor/supervisor/api/schemas.ts";
import {
  amountWords,
  compressedWords,
  doingWords,
  endWords,
  shareOf,
  subjectWords,
} from "../components/task_words.ts";
import { cancelTask } from "./life_actions.ts";

/** How far a task is, or how it ended. */
export function TaskProgress({ task, guests }: { task: Task; guests: Guest[] }) {
  const end = endWords(task);
  if (end !== null) {
    return (
      <>
        <p class={task.state === "failed" ? "task-failed" : undefined}>{end}</p>
        <MadeGuests task={task} guests={guests} />
      </>
    );
  }
  const share = shareOf(task);
  const amount = amountWords(task);
  const compressed = compressedWords(task);
  return (
    <>
      <p class="task-phase">
        <span>{task.phase || "Beginning"}</span>
        {amount !== null && <span class="number">{amount}</span>}
      </p>
      <progress
        aria-label={`${doingWords(task)}, ${subjectWords(task)}`}
        {...(share !== null && { value: share, max: 1 })}
      />
      {compressed !== null && <p class="task-phase number">{compressed}</p>}
    </>
  );
}

/** Links to what a task has made; what is deleted since is left out. */
function MadeGuests({ task, guests }: { task: Task; guests: Guest[] }) {
  const made = guests.filter(({ id }) => task.made.includes(id));
  if (made.length === 0) return null;
  return (
    <ul class="task-made" aria-label="New guests">
      {made.map(({ id, name }) => (
        <li key={id}>
          <a href={`/guests/${id}`}>{name}</a>
        </li>
      ))}
    </ul>
  );
}

/** Gives a task up, as long as that is possible. */
export function CancelButton({ task }: { task: Task }) {
  if (task.state !== "running") return null;
  return (
    <button
      type="button"
      class="button small"
      aria-disabled={task.canCancel ? undefined : "true"}
      title={task.canCancel ? undefined : "It is too late to cancel it"}
      onClick={() => {
        if (task.canCancel) void cancelTask(task);
      }}
    >
      Cancel <span class="unseen">the {task.kind} of {subjectWords(task)}</span>
    </button>
  );
}
