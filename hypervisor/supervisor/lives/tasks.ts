/**
 * Long work on guests: one task at a time for each guest, which goes on when whoever asked has left,
 * tells how far it is, and can be given up.
 *
 * They are not written down: with the supervisor, the connections end over which VMMs are told what to
 * do, and with these what was under way. What has to be known after that is the work's own to keep.
 *
 * @module
 */
import { ulid } from "@std/ulid";
import type { Task, TaskPoint } from "../api/schemas.ts";
import type { EventHub } from "../events.ts";
import { type Log, messageOf } from "../log.ts";
import { problem } from "../problem.ts";

export interface TaskStart {
  kind: Task["kind"];
  /** Null for what is done to the host itself. */
  guest: { id: string; name: string } | null;
  detail: string;
  unit?: Task["unit"];
}

/** How the code of a task tells how it goes. */
export interface Work {
  /** Aborts when the task is to be given up. */
  readonly signal: AbortSignal;
  /** Another phase begins; `final` where the task can no longer be given up. */
  phase(text: string, options?: { final?: boolean }): void;
  progress(done: number, total: number): void;
  point(point: Omit<TaskPoint, "atMs">): void;
  /** The guest has stood still for so many milliseconds. */
  stoodStill(ms: number): void;
  /** So much of its memory has gone, in so many bytes. */
  sent(memoryBytes: number, wireBytes: number): void;
  made(guest: string): void;
}

export interface TasksOptions {
  events: EventHub;
  log: Log;
  /** Milliseconds between two events of one task's progress. */
  everyMs?: number;
}

/** How many ended tasks are remembered, and how many points of each. */
const REMEMBERED = 100;
const MOST_POINTS = 600;
const EVERY_MS = 250;

interface Entry {
  task: Task;
  points: TaskPoint[];
  readonly began: number;
  readonly abort: AbortController;
  toldAt: number;
  /** Resolves when it has ended, however. */
  over: Promise<void>;
}

export class Tasks {
  readonly #options: TasksOptions;
  /** Oldest first. */
  readonly #entries = new Map<string, Entry>();

  constructor(options: TasksOptions) {
    this.#options = options;
  }

  /** Newest first. */
  list(): Task[] {
    return [...this.#entries.values()].map(({ task }) => task).reverse();
  }

  get(id: string): Task {
    return this.#entry(id).task;
  }

  points(id: string): TaskPoint[] {
    return this.#entry(id).points;
  }

  /** What is under way with a guest, or with the host itself. */
  of(guest: string | null): Task | undefined {
    return this.list().find((task) => task.guest === guest && task.state === "running");
  }

  /** Throws where something is under way with a guest; `doing` begins the message: `Cannot fork "a"`. */
  refuseBusy(guest: TaskStart["guest"], doing: string): void {
    const task = this.of(guest?.id ?? null);
    if (task === undefined) return;
    throw problem(
      "busy",
      `${doing} ${guest === null ? "this host" : `"${guest.name}"`}: ${
        task.kind === "upgrade" || task.kind === "install" ? "an" : "a"
      } ${task.kind} is under way. Wait or cancel it`,
    );
  }

  /** Begins a task. What `run` throws is why it failed; once aborted, that it was cancelled. */
  begin(start: TaskStart, run: (work: Work) => Promise<void>): Task {
    this.refuseBusy(start.guest, `Cannot begin a ${start.kind} of`);
    const { kind, guest, detail, unit = "bytes" } = start;
    const entry: Entry = {
      task: {
        ...{ id: ulid(), kind, detail, unit },
        ...{ guest: guest?.id ?? null, guestName: guest?.name ?? null },
        ...{ state: "running", phase: "", doneAmount: 0, totalAmount: 0, canCancel: true },
        ...{ pauseMs: null, sent: null, made: [], error: null, endedAt: null },
        startedAt: new Date().toISOString(),
      },
      points: [],
      began: performance.now(),
      abort: new AbortController(),
      toldAt: -Infinity,
      over: Promise.resolve(),
    };
    this.#entries.set(entry.task.id, entry);
    this.#forgetOld();
    this.#change(entry, {}, { now: true });
    entry.over = this.#run(entry, run);
    return entry.task;
  }

  /** Asks for a task to be given up; it may take a moment, and may be too late. */
  cancel(id: string): Task {
    const entry = this.#entry(id);
    const { task } = entry;
    if (task.state !== "running") {
      throw problem("wrong_state", `Cannot cancel the ${task.kind}: it is ${task.state}`);
    }
    if (!task.canCancel) {
      throw problem("wrong_state", `Cannot cancel the ${task.kind}: it is too late for that`);
    }
    entry.abort.abort(new Error("It was cancelled"));
    return task;
  }

  /** Asks for all to be given up. */
  giveUp(reason: string): void {
    for (const { task, abort } of this.#entries.values()) {
      if (task.state === "running") abort.abort(new Error(reason));
    }
  }

  /** Resolves when all that are under way have ended. */
  async settled(): Promise<void> {
    await Promise.all([...this.#entries.values()].map(({ over }) => over));
  }

  #entry(id: string): Entry {
    const entry = this.#entries.get(id);
    if (entry === undefined) throw problem("not_found", `Cannot find a task with the id "${id}"`);
    return entry;
  }

  #forgetOld() {
    for (const [id, { task }] of this.#entries) {
      if (this.#entries.size <= REMEMBERED) return;
      if (task.state !== "running") this.#entries.delete(id);
    }
  }

  async #run(entry: Entry, run: (work: Work) => Promise<void>) {
    let end: Partial<Task>;
    try {
      await run(this.#work(entry));
      end = { state: "done" };
    } catch (error) {
      const cancelled = entry.abort.signal.aborted;
      end = cancelled ? { state: "cancelled" } : { state: "failed", error: messageOf(error) };
    }
    const endedAt = new Date().toISOString();
    this.#change(entry, { ...end, endedAt, canCancel: false }, { now: true });
    const { kind, guestName, state, error } = entry.task;
    this.#options.log(state === "failed" ? "warn" : "info", "a task ended", {
      ...{ kind, state },
      guest: guestName ?? undefined,
      error: error ?? undefined,
    });
  }

  #work(entry: Entry): Work {
    return {
      signal: entry.abort.signal,
      phase: (phase, { final = false } = {}) =>
        this.#change(entry, { phase, canCancel: !final }, { now: true }),
      progress: (doneAmount, totalAmount) => this.#change(entry, { doneAmount, totalAmount }),
      point: (told) => {
        const point = { atMs: Math.round(performance.now() - entry.began), ...told };
        if (entry.points.length >= MOST_POINTS) {
          // Those that are left still show the whole of it.
          entry.points = entry.points.filter((_, i) => i % 2 === 0);
        }
        entry.points.push(point);
        this.#options.events.publish({
          name: "task_point",
          data: { task: entry.task.id, ...point },
        });
      },
      stoodStill: (pauseMs) => this.#change(entry, { pauseMs }, { now: true }),
      sent: (memoryBytes, wireBytes) => this.#change(entry, { sent: { memoryBytes, wireBytes } }),
      made: (guest) => this.#change(entry, { made: [...entry.task.made, guest] }, { now: true }),
    };
  }

  #change(entry: Entry, change: Partial<Task>, { now = false } = {}) {
    entry.task = { ...entry.task, ...change };
    const at = performance.now();
    if (!now && at - entry.toldAt < (this.#options.everyMs ?? EVERY_MS)) return;
    entry.toldAt = at;
    this.#options.events.publish({ name: "task", data: entry.task });
  }
}
