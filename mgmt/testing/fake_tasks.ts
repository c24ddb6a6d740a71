/**
 * Long work that is only pretended: it takes some time, or as long as a test wants, and can be given
 * up.
 *
 * @module
 */
import { ulid } from "@std/ulid";
import type { Guest, Task, TaskPoint } from "../../hypervisor/supervisor/api/schemas.ts";
import { problem } from "./fake_problem.ts";

export interface FakeTasksOptions {
  emit: (name: string, data: unknown) => void;
  /** How long each takes. */
  taskMs: number;
}

export interface FakeTaskStart {
  kind: Task["kind"];
  /** Null for what is done to the host. */
  guest: Guest | null;
  detail: string;
  phase: string;
}

const TICK_MS = 250;
/** What memory shrinks to on the way to another host. */
const FACTOR = 2.4;

export class FakeTasks {
  readonly #options: FakeTasksOptions;
  readonly #tasks = new Map<string, Task>();
  readonly #points = new Map<string, TaskPoint[]>();
  readonly #aborts = new Map<string, AbortController>();
  #held: Promise<void> | null = null;

  constructor(options: FakeTasksOptions) {
    this.#options = options;
  }

  /** Newest first. */
  get list(): Task[] {
    return [...this.#tasks.values()].reverse();
  }

  get(id: string): Task {
    const task = this.#tasks.get(id);
    if (!task) throw problem(404, "not_found", `Cannot find a task with the id "${id}"`);
    return task;
  }

  points(id: string): TaskPoint[] {
    return this.#points.get(id) ?? [];
  }

  /** Lets tasks wait at their ends, until what it returns is called. */
  hold(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#held = promise;
    return () => {
      this.#held = null;
      resolve();
    };
  }

  /** Changes a task and tells it. */
  put(id: string, change: Partial<Task>): Task {
    const task = { ...this.get(id), ...change };
    this.#tasks.set(id, task);
    this.#options.emit("task", task);
    return task;
  }

  /** So much of a copy of memory is done. */
  copied(id: string, { share, atMs }: { share: number; atMs: number }): void {
    const { totalAmount, kind } = this.get(id);
    const memoryBytes = share * totalAmount;
    const sent = kind === "move" ? { memoryBytes, wireBytes: memoryBytes / FACTOR } : null;
    this.put(id, { doneAmount: memoryBytes, sent });
    const point: TaskPoint = {
      atMs,
      remainingBytes: (1 - share) * totalAmount,
      bytesPerSecond: 118e6 + 9e6 * Math.sin(9 * share),
      changedBytesPerSecond: 31e6 + 12e6 * Math.cos(7 * share),
    };
    this.#points.set(id, [...this.points(id), point]);
    this.#options.emit("task_point", { task: id, ...point });
  }

  begin(start: FakeTaskStart, finish: (id: string) => Partial<Task>): Task {
    const { kind, guest, detail, phase } = start;
    const busy = this.list.find((it) => it.guest === (guest?.id ?? null) && it.state === "running");
    if (busy) {
      throw problem(503, "busy", `Cannot ${kind} "${guest?.name}": a ${busy.kind} is under way`);
    }
    const task: Task = {
      id: ulid(),
      kind,
      guest: guest?.id ?? null,
      guestName: guest?.name ?? null,
      detail,
      state: "running",
      phase,
      doneAmount: 0,
      totalAmount: (guest?.memoryMiB ?? 64) * 2 ** 20,
      unit: "bytes",
      canCancel: true,
      pauseMs: null,
      sent: null,
      made: [],
      error: null,
      startedAt: new Date().toISOString(),
      endedAt: null,
    };
    this.#tasks.set(task.id, task);
    this.#options.emit("task", task);
    void this.#run(task.id, finish);
    return task;
  }

  cancel(id: string): Task {
    const task = this.get(id);
    if (!task.canCancel) {
      throw problem(409, "wrong_state", `Cannot cancel the ${task.kind}: it is too late for that`);
    }
    this.#aborts.get(id)?.abort();
    return task;
  }

  /** Gives up all that is under way. */
  close(): void {
    for (const abort of this.#aborts.values()) abort.abort();
  }

  async #run(id: string, finish: (id: string) => Partial<Task>): Promise<void> {
    const abort = new AbortController();
    this.#aborts.set(id, abort);
    const { promise: given, resolve } = Promise.withResolvers<void>();
    abort.signal.addEventListener("abort", () => resolve());
    const { taskMs } = this.#options;
    for (let atMs = TICK_MS; atMs < taskMs && !abort.signal.aborted; atMs += TICK_MS) {
      await new Promise((resolve) => setTimeout(resolve, TICK_MS));
      this.copied(id, { share: (atMs / taskMs) ** 0.7, atMs });
    }
    // Whoever asked hears of the task before its end.
    await new Promise((resolve) => setTimeout(resolve, 0));
    if (this.#held) await Promise.race([this.#held, given]);
    this.#aborts.delete(id);
    // A test may have ended it in its own way.
    if (this.get(id).state !== "running") return;
    const end: Partial<Task> = abort.signal.aborted
      ? { state: "cancelled" }
      : { state: "done", ...finish(id) };
    this.put(id, { ...end, canCancel: false, endedAt: new Date().toISOString() });
  }
}
