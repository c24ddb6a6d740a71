import type { Guest, Task } from "../../hypervisor/supervisor/api/schemas.ts";
import { doingWords, subjectWords } from "../components/task_words.ts";
import { Age } from "./age.tsx";
import { CancelButton, TaskProgress } from "./task_progress.tsx";

interface TaskListProps {
  /** Newest first. */
  tasks: Task[];
  guests: Guest[];
  /** Called when a link is followed. */
  onLeave: () => void;
}

/** What is under way on the host, and what ended lately. */
export function TaskList({ tasks, guests, onLeave }: TaskListProps) {
  if (tasks.length === 0) {
    return (
      <p class="nothing">
        There are none. Snapshots, forks, moves and upgrades are told here while they are under way,
        and for some time after
      </p>
    );
  }
  const underWay = tasks.filter(({ state }) => state === "running");
  const ended = tasks.filter(({ state }) => state !== "running");
  const list = (some: Task[], label: string) =>
    some.length > 0 && (
      <ul class="tasks" aria-label={label}>
        {some.map((task) => (
          <li key={task.id} class={`task task-${task.state}`}>
            <div class="task-head">
              <b>
                {guests.some(({ id }) => id === task.guest)
                  ? <a href={`/guests/${task.guest}`}>{task.guestName}</a>
                  : subjectWords(task)}
              </b>
              <span>{doingWords(task)}</span>
              <Age since={task.endedAt ?? task.startedAt} />
              <CancelButton task={task} />
            </div>
            <TaskProgress task={task} guests={guests} />
          </li>
        ))}
      </ul>
    );
  return (
    <div
      class="stack"
      onClick={(event) => {
        // A link that is gone by the end of its click would not be followed.
        if ((event.target as HTMLElement).closest("a")) setTimeout(onLeave);
      }}
    >
      {list(underWay, "Under way")}
      {ended.length > 0 && <h3>Ended</h3>}
      {list(ended, "Ended")}
    </div>
  );
}
