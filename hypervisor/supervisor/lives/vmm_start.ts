/**
 * The start of a VMM's process in a directory of its own, with `process.json`, `log` and `control.sock`. One
 * that waits to be told what to run has most of its start behind it, so the pool has some.
 *
 * @module
 */
import { join } from "@std/path";
import { createCgroup, hasCgroups, moveToCgroup } from "../../sys/cgroup.ts";
import { type ProcessId, spawnDetached } from "../../sys/processes.ts";
import { writeFileDurably } from "../durable.ts";
import type { VmmPool } from "./vmm_pool.ts";
import type { VmmCommand } from "./vmm_process.ts";

/** A new VMM in `directory`, which exists: it waits, unless `how` has it do something else. */
export function spawnVmm(
  directory: string,
  { program, args, env }: VmmCommand,
  how: readonly string[] = ["--wait"],
): ProcessId {
  const control = join(directory, "control.sock");
  const id = spawnDetached(program, [...args, ...how, "--control", control], {
    env,
    log: join(directory, "log"),
  });
  writeFileDurably(join(directory, "process.json"), JSON.stringify(id));
  return id;
}

export interface VmmStart {
  command: VmmCommand;
  pool: VmmPool;
  /** The control group that it is to be in, which comes to be. */
  cgroup: string;
  /** Writes what is to lie in the directory before a new process is there. */
  prepare?(): void;
  /** How a new one is started, where it is not to wait. */
  how?: readonly string[];
}

/** One of the pool's in what is now `directory`, which is empty or does not exist, or else a new one. */
export function startVmm(
  directory: string,
  { command, pool, cgroup, prepare, how }: VmmStart,
): { id: ProcessId; waits: boolean } {
  const waiting = pool.take(directory);
  if (waiting === null) Deno.mkdirSync(directory, { recursive: true, mode: 0o700 });
  prepare?.();
  const id = waiting ?? spawnVmm(directory, command, how);
  if (hasCgroups()) {
    createCgroup(cgroup);
    moveToCgroup(cgroup, id.pid);
  }
  return { id, waits: waiting !== null || how === undefined };
}
