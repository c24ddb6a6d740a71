/**
 * How many tasks (threads and processes) there may be beside process 1, which needs a new thread or program
 * now and then, and cannot go on without. Whoever makes as many as it can is stopped before the kernel's own
 * limit stops everybody.
 *
 * @module
 */
import { createCgroup, moveToCgroup } from "../../hypervisor/sys/cgroup.ts";
import { log, reason } from "./log.ts";
import { read } from "./sysfs.ts";

const ROOT = "/sys/fs/cgroup";

/** Process 1's services with what they start, and the VMMs, which the supervisor puts there. */
export const GROUPS = { services: "services", guests: "denovisor" } as const;

/** What is left for process 1 and the kernel's threads at least. */
export const RESERVED_TASKS = 1024;
/** Far more than the services have, and more than an attack on one of them should get. */
export const MOST_SERVICE_TASKS = 4096;

/** The most tasks of each group, where the kernel has room for `tasks`. */
export function shareTasks(tasks: number): { services: number; guests: number } {
  const reserved = Math.min(RESERVED_TASKS, Math.floor(tasks / 4));
  const services = Math.min(MOST_SERVICE_TASKS, Math.floor((tasks - reserved) / 2));
  return { services, guests: tasks - reserved - services };
}

/** Makes the groups, with their limits. */
export function limitTasks(): void {
  const room = ["threads-max", "pid_max"].map((it) => Number(read(`/proc/sys/kernel/${it}`)));
  const most = shareTasks(Math.min(...room));
  Deno.writeTextFileSync(`${ROOT}/cgroup.subtree_control`, "+pids");
  for (const kind of ["services", "guests"] as const) {
    createCgroup(GROUPS[kind]);
    Deno.writeTextFileSync(`${ROOT}/${GROUPS[kind]}/pids.max`, String(most[kind]));
  }
}

/** Counts a process that was just started, and all that it will start, among the services. */
export function limitService(pid: number): void {
  try {
    moveToCgroup(GROUPS.services, pid);
  } catch (error) {
    // It has ended already, or there are no groups: it is no reason not to run it.
    log(`Cannot limit the tasks of process ${pid}: ${reason(error)}`, "warning");
  }
}
