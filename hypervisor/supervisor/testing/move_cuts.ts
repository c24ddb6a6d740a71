/**
 * Cutting a move off in the middle, and looking what each host has of the guest afterwards.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { basename, join } from "@std/path";
import { isLocked } from "../../sys/flock.ts";
import { killProcess } from "../../sys/processes.ts";
import type { Guest, Task } from "../api/schemas.ts";
import type { TestHost } from "./test_host.ts";
import { TwoHosts, whereabouts } from "./two_hosts.ts";

export const NOWHERE = { state: "none", hasDisks: false, hasRun: false };
export const RUNS = { state: "running", hasDisks: true, hasRun: true };
export const OFF = { state: "stopped", hasDisks: true, hasRun: false };

export const isMoving = ({ phase }: Task) => phase === "Copying memory";
export const isHandingOver = ({ phase, canCancel }: Task) => phase === "Handing over" && canCancel;
export const isDecided = ({ phase, canCancel }: Task) => phase === "Handing over" && !canCancel;

/** Waits until something is so. */
export async function until(is: () => boolean, what: string): Promise<void> {
  for (const deadline = Date.now() + 60_000; !is();) {
    if (Date.now() > deadline) throw new Error(`Cannot wait any longer: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Calls `act` when the task of a host first is as `when` has it, within that very event. */
export function at(host: TestHost, when: (task: Task) => boolean, act: () => void): void {
  let isDone = false;
  host.supervisor.events.subscribe((change) => {
    if (isDone || change.name !== "task" || !when(change.data)) return;
    isDone = true;
    act();
  });
}

/**
 * Moves a guest from `a`, and cuts it off where the task is first as `when` has it: within that very event,
 * or so long after. Resolves when that is done.
 */
export async function cutOff(
  hosts: TwoHosts,
  { id }: Guest,
  { when, afterMs = 0, cut }: {
    when: (task: Task) => boolean;
    afterMs?: number;
    cut: () => void;
  },
): Promise<Task> {
  const done = Promise.withResolvers<void>();
  const act = () => {
    try {
      cut();
      done.resolve();
    } catch (error) {
      done.reject(error);
    }
  };
  at(hosts.a, when, () => afterMs === 0 ? act() : setTimeout(act, afterMs));
  const task = await hosts.move(id);
  await done.promise;
  return task;
}

/** What is left of a supervisor ends, and another takes its place. */
export async function restart(host: TestHost): Promise<void> {
  await host.down();
  await host.up();
}

/** The power of a host fails: its supervisor and its VMMs are gone, and all that is not on its disk. */
export async function cutPower(host: TestHost): Promise<void> {
  const processes = host.names("run/guests").map((id) => host.processOf(id));
  host.supervisor.close();
  for (const process of processes) killProcess(process);
  await host.down();
  host.network.taps.clear();
  Deno.removeSync(host.path("run"), { recursive: true });
  Deno.mkdirSync(host.path("run"));
}

/** Names of a guest's snapshots at a host; what lies there of them is theirs, and nothing else. */
export function snapshotsAt(host: TestHost, guest: string): string[] {
  const { snapshots } = host.supervisor.guests.ground;
  const kept = snapshots.list(guest);
  const there = host.names("data/guests").includes(guest) ? host.names(`data/guests/${guest}`) : [];
  const lie = there.includes("snapshots") ? host.names(`data/guests/${guest}/snapshots`) : [];
  assertEquals(lie, kept.map(({ id }) => id).sort());
  return kept.map(({ name }) => name);
}

/** What is cut off, with a guest that has its disks to itself, and with one of which both hosts see a disk. */
export function cutTest(
  name: string,
  run: (start: () => Promise<TwoHosts>) => Promise<void>,
): void {
  for (const isShared of [false, true]) {
    const what = isShared ? " (and a disk on a store)" : "";
    Deno.test(name + what, () => run(() => TwoHosts.start({ isShared })));
  }
}

/** The guest's disk on the store is there, as are its snapshots' copies; who runs the guest has it locked. */
async function sharedIsThere(
  { a, b, shared }: TwoHosts,
  guest: Guest,
  expected: { a: typeof RUNS; b: typeof RUNS },
): Promise<void> {
  if (shared === null) return;
  const { id } = guest;
  const [at] = [a, b].filter((_, i) => [expected.a, expected.b][i].hasDisks);
  const { snapshots, store } = at.supervisor.guests.ground;
  const copies = snapshots.list(id).map((it) => `${id}/snapshots/${it.id}/shared.img`);
  const disk = shared.disk(guest);
  assertEquals(shared.names(), [`${id}/${basename(disk)}`, ...copies].sort());
  for (const name of shared.names()) {
    assertEquals(Deno.readFileSync(join(shared.path, name)), new Uint8Array(65536).fill(7));
  }
  assertEquals(store.get(id)!.disks.map((it) => it.store), [null, at === a ? "nas" : "fast"]);
  const isRunning = [expected.a, expected.b].some(({ state }) => state === "running");
  await until(() => isLocked(disk) === isRunning, "the lock");
}

/** Sooner or later, each host has of the guest what it should, and with it its snapshots. */
export async function ends(
  hosts: TwoHosts,
  guest: Guest,
  { snapshots = [], ...expected }: { a: typeof RUNS; b: typeof RUNS; snapshots?: string[] },
): Promise<void> {
  const [{ a, b }, { id }] = [hosts, guest];
  const now = () => ({ a: whereabouts(a, id), b: whereabouts(b, id) });
  const isSo = () => JSON.stringify(now()) === JSON.stringify(expected);
  await until(isSo, "whereabouts").catch(() => {});
  assertEquals(now(), expected);
  for (const host of [a, b]) {
    const left = () =>
      host.supervisor.guests.ground.store.list({ arriving: true }).map((it) => it.id).join();
    assertEquals(left(), host.supervisor.guests.list().map((it) => it.id).join());
    await until(() => host.network.taps.size === host.names("run/guests").length, "taps");
    assertEquals(snapshotsAt(host, id), whereabouts(host, id).hasDisks ? snapshots : []);
  }
  await sharedIsThere(hosts, guest, expected);
}
