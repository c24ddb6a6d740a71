import { assert, assertEquals, assertThrows } from "@std/assert";
import type { Task } from "../api/schemas.ts";
import { EventHub } from "../events.ts";
import { ApiProblem } from "../problem.ts";
import { Tasks, type Work } from "./tasks.ts";

const GUEST = { id: "01ARZ3NDEKTSV4RRFFQ69G5FAV", name: "web" };
const START = { kind: "fork", guest: GUEST, detail: "two" } as const;

/** Tasks, with what was told of them. */
function stage(everyMs = 0) {
  const events = new EventHub();
  const told: Task[] = [];
  const points: string[] = [];
  events.subscribe(({ name, data }) => {
    if (name === "task") told.push(data);
    if (name === "task_point") points.push(data.task);
  });
  return { tasks: new Tasks({ events, log: () => {}, everyMs }), told, points };
}

/** Work that goes on until it is told how it ends. */
function controlled() {
  const end = Promise.withResolvers<void>();
  let work!: Work;
  return {
    end,
    get work() {
      return work;
    },
    run: (given: Work) => {
      work = given;
      return end.promise;
    },
  };
}

function refused(act: () => unknown, code: string, message: string) {
  assertEquals(assertThrows(act, ApiProblem, message).code, code);
}

Deno.test("a task tells how far it is, and is done when its work is", async () => {
  const { tasks, told, points } = stage();
  const { run, end } = controlled();
  const begun = tasks.begin(START, run);
  assertEquals([begun.state, begun.canCancel, begun.guestName], ["running", true, "web"]);
  end.resolve();
  await tasks.settled();
  assertEquals(told.map(({ state }) => state), ["running", "done"]);
  assertEquals(points, []);
});

Deno.test("phase, progress, points, pause and what was made are in the task and its events", async () => {
  const { tasks, told, points } = stage();
  const control = controlled();
  const { id } = tasks.begin({ ...START, unit: "steps" }, control.run);
  const { work } = control;
  work.phase("Copying");
  work.progress(1, 2);
  work.point({ remainingBytes: 5, bytesPerSecond: 6, changedBytesPerSecond: 7 });
  work.stoodStill(12);
  assertEquals(tasks.get(id).sent, null);
  work.sent(9, 4);
  work.made("A");
  work.made("B");
  work.phase("Ending", { final: true });
  const { phase, doneAmount, totalAmount, pauseMs, made, canCancel, unit, sent } = tasks.get(id);
  assertEquals(sent, { memoryBytes: 9, wireBytes: 4 });
  assertEquals({ phase, doneAmount, totalAmount, pauseMs, made, canCancel, unit }, {
    ...{ phase: "Ending", doneAmount: 1, totalAmount: 2, pauseMs: 12 },
    ...{ made: ["A", "B"], canCancel: false, unit: "steps" },
  });
  assertEquals(points, [id]);
  assertEquals(tasks.points(id).map(({ remainingBytes }) => remainingBytes), [5]);
  refused(() => tasks.cancel(id), "wrong_state", "it is too late for that");
  control.end.resolve();
  await tasks.settled();
  assertEquals(told.at(-1), tasks.get(id));
  assert(tasks.get(id).endedAt !== null);
  refused(() => tasks.cancel(id), "wrong_state", "it is done");
});

Deno.test("a guest has one task at a time, and others theirs beside it", async () => {
  const { tasks } = stage();
  const control = controlled();
  const first = tasks.begin(START, control.run);
  assertEquals(tasks.of(GUEST.id), first);
  refused(() => tasks.begin(START, () => Promise.resolve()), "busy", "a fork is under way");
  tasks.begin({ ...START, guest: { id: "other", name: "db" } }, () => Promise.resolve());
  control.end.resolve();
  await tasks.settled();
  assertEquals(tasks.of(GUEST.id), undefined);
  tasks.begin(START, () => Promise.resolve());
  await tasks.settled();
  assertEquals(tasks.list().map(({ guestName }) => guestName), ["web", "db", "web"]);
});

Deno.test("what fails says why; what fails once it is given up is cancelled", async () => {
  const { tasks } = stage();
  const failed = tasks.begin(START, () => Promise.reject(new Error("no room")));
  await tasks.settled();
  assertEquals([tasks.get(failed.id).state, tasks.get(failed.id).error], ["failed", "no room"]);
  const given = tasks.begin(START, async ({ signal }) => {
    await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  });
  tasks.cancel(given.id);
  await tasks.settled();
  assertEquals([tasks.get(given.id).state, tasks.get(given.id).error], ["cancelled", null]);
  // It was done all the same.
  const late = controlled();
  const { id } = tasks.begin(START, late.run);
  tasks.giveUp("The supervisor stops");
  assert(late.work.signal.aborted);
  late.end.resolve();
  await tasks.settled();
  assertEquals(tasks.get(id).state, "done");
});

Deno.test("progress is told so often and no more, and the last of it with the end", async () => {
  const { tasks, told } = stage(1_000_000);
  const { id } = tasks.begin(START, (work) => {
    for (let i = 1; i <= 1000; i++) work.progress(i, 1000);
    return Promise.resolve();
  });
  await tasks.settled();
  assertEquals(told.length, 2);
  assertEquals(tasks.get(id).doneAmount, 1000);
});

Deno.test("a long task's points stay few, and span all of it", async () => {
  const { tasks } = stage();
  const { id } = tasks.begin(START, (work) => {
    for (let i = 0; i < 5000; i++) {
      work.point({ remainingBytes: i, bytesPerSecond: 0, changedBytesPerSecond: 0 });
    }
    return Promise.resolve();
  });
  await tasks.settled();
  const points = tasks.points(id);
  assert(points.length <= 600, `${points.length}`);
  assertEquals([points[0].remainingBytes, points.at(-1)!.remainingBytes], [0, 4999]);
});

Deno.test("the last hundred that ended are remembered, and all that are under way", async () => {
  const { tasks } = stage();
  const control = controlled();
  const running = tasks.begin(START, control.run);
  for (let i = 0; i < 150; i++) {
    tasks.begin({ ...START, guest: { id: `${i}`, name: "db" } }, () => Promise.resolve());
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  assertEquals(tasks.list().length, 100);
  assertEquals(tasks.get(running.id).state, "running");
  refused(() => tasks.get("gone"), "not_found", "gone");
  control.end.resolve();
  await tasks.settled();
});
