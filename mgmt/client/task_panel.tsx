import type { Guest, Task } from "../../hypervisor/supervisor/api/schemas.ts";
import { Chart } from "../components/chart.tsx";
import { formatBytes } from "../components/format.ts";
import { Icon } from "../components/icons.tsx";
import { formatByteRate } from "../components/rates.ts";
import { evenly } from "../components/task_points.ts";
import { doingWords } from "../components/task_words.ts";
import { closeTask, useTaskPoints } from "./live_tasks.ts";
import { CancelButton, TaskProgress } from "./task_progress.tsx";

/** How many points a chart has over its whole width. */
const COLUMNS = 120;

/** What is under way with a guest, or has just ended. */
export function TaskPanel({ task, guests }: { task: Task; guests: Guest[] }) {
  return (
    <section class={`task-panel task-${task.state}`} aria-label="Under way">
      <div class="panel-head">
        <h2>{doingWords(task)}</h2>
        <CancelButton task={task} />
        {task.state !== "running" && (
          <button
            type="button"
            class="button quiet small"
            onClick={() => closeTask(task.id)}
          >
            <Icon name="close" />
            <span class="unseen">Close this</span>
          </button>
        )}
      </div>
      <TaskProgress task={task} guests={guests} />
      <TaskCharts id={task.id} />
    </section>
  );
}

/** What is left to copy over all of the time so far, and how fast that goes. */
function TaskCharts({ id }: { id: string }) {
  const points = useTaskPoints(id);
  if (points.length < 2) return null;
  const last = points.at(-1)!;
  const shown = evenly(points, COLUMNS);
  return (
    <div class="task-charts">
      <Chart
        title="Memory"
        length={COLUMNS}
        lines={[{
          label: "left to copy",
          now: formatBytes(Math.round(last.remainingBytes)),
          values: shown.map((it) => it.remainingBytes),
        }]}
      />
      <Chart
        title="Each second"
        length={COLUMNS}
        lines={[
          {
            label: "copied",
            now: formatByteRate(last.bytesPerSecond),
            values: shown.map((it) => it.bytesPerSecond),
          },
          {
            label: "changed meanwhile",
            now: formatByteRate(last.changedBytesPerSecond),
            values: shown.map((it) => it.changedBytesPerSecond),
          },
        ]}
      />
    </div>
  );
}
