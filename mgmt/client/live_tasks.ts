/**
 * Long work that is under way on the host, and what ended lately, as the event stream tells it.
 *
 * @module
 */
import { type Signal, signal } from "@preact/signals";
import type { Task, TaskPoint } from "../../hypervisor/supervisor/api/schemas.ts";
import { mergePoints } from "../components/task_points.ts";
import { endWords, nounWords } from "../components/task_words.ts";
import { call } from "./api.ts";
import { useHydrated } from "./hydrated.ts";
import { useOnceLive } from "./once_live.ts";
import { toast } from "./toasts.ts";

/** Null until the stream has told. */
const told: Signal<ReadonlyMap<string, Task> | null> = signal(null);
const points: Signal<ReadonlyMap<string, TaskPoint[]>> = signal(new Map());
/** Those that were seen under way, and whose end is to be told. */
const running = new Map<string, Task>();
/** Those that ended while somebody looked, and were not closed since. */
const endings: Signal<ReadonlySet<string>> = signal(new Set<string>());
const waiting = new Map<string, (task: Task | null) => void>();

/** All tasks at once, as the stream tells them when it begins. */
export function takeTasks(list: Task[]): void {
  const all = new Map(list.map((it) => [it.id, it]));
  told.value = all;
  points.value = new Map([...points.peek()].filter(([id]) => all.has(id)));
  for (const [id, task] of [...running]) {
    if (all.has(id)) continue;
    running.delete(id);
    toast("problem", `${nounWords(task)} was broken off: the host's supervisor started anew`);
    waiting.get(id)?.(null);
  }
  for (const task of list) follow(task);
}

export function takeTask(task: Task): void {
  told.value = new Map(told.peek()).set(task.id, task);
  follow(task);
}

/** Takes over a task that was just begun, unless its events were quicker and know more. */
export function addTask(task: Task): void {
  if (told.peek()?.has(task.id) === false) takeTask(task);
}

export function takePoint({ task, ...point }: TaskPoint & { task: string }): void {
  const all = mergePoints(points.peek().get(task) ?? [], [point]);
  points.value = new Map(points.peek()).set(task, all);
}

/** Says once how a task that was seen under way has ended. */
function follow(task: Task): void {
  if (task.state === "running") {
    running.set(task.id, task);
    return;
  }
  if (!running.delete(task.id)) return;
  endings.value = new Set(endings.peek()).add(task.id);
  toast(task.state === "failed" ? "problem" : "done", endWords(task)!);
  waiting.get(task.id)?.(task);
}

/** Newest first: the page's own at first, then what the stream tells. */
export function useTasks(seed: Task[] = []): Task[] {
  const isHydrated = useHydrated();
  const all = isHydrated ? told.value : null;
  if (all === null) return seed;
  return [...all.values()].sort((a, b) => a.id < b.id ? 1 : -1);
}

/** What is under way with a guest, or ended while somebody looked and was not closed since. */
export function useShownTask(tasks: readonly Task[], guest: string): Task | undefined {
  const isHydrated = useHydrated();
  const ended = isHydrated ? endings.value : null;
  return tasks.find((it) => it.guest === guest && (it.state === "running" || ended?.has(it.id)));
}

/** What is under way with a guest. */
export function taskOf(tasks: readonly Task[], guest: string): Task | undefined {
  return tasks.find((it) => it.guest === guest && it.state === "running");
}

/** Shows an ended task no more. */
export function closeTask(id: string): void {
  const next = new Set(endings.peek());
  next.delete(id);
  endings.value = next;
}

/** A task's points so far, oldest first. */
export function useTaskPoints(id: string): TaskPoint[] {
  const isHydrated = useHydrated();
  useOnceLive(id, async () => {
    const before = await call("getTaskPoints", { params: { id } });
    const all = mergePoints(before, points.peek().get(id) ?? []);
    points.value = new Map(points.peek()).set(id, all);
  });
  return (isHydrated ? points.value.get(id) : undefined) ?? [];
}

/** The task once it has ended; null where nobody knows how. */
export async function whenEnded({ id }: Task): Promise<Task | null> {
  const now = told.peek()?.get(id);
  if (now !== undefined && now.state !== "running") return now;
  const { promise, resolve } = Promise.withResolvers<Task | null>();
  waiting.set(id, resolve);
  try {
    return await promise;
  } finally {
    waiting.delete(id);
  }
}
