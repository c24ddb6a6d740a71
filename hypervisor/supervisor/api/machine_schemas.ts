/**
 * Processors and memory of guests. Their limits are the VMM's.
 *
 * @module
 */
import * as z from "zod";
import {
  addedStepMiB,
  CPU_MODELS,
  HOTPLUG_STEP_MIB,
  HUGE_PAGES,
  MOST_CPUS,
  MOST_HOST_CPUS,
  POOLS,
} from "./limits.ts";

export const Cpus = z.int().min(1).max(MOST_CPUS);
export const MemoryMiB = z.int().min(64).max(1024 * 1024);

const Part = z.int().min(1).max(MOST_CPUS);
const HostCpu = z.int().min(0).max(MOST_HOST_CPUS - 1);

const cpu = {
  model: z.enum(CPU_MODELS),
  /** Their product is the number of CPUs; null for one socket of cores with one thread each. */
  topology: z.strictObject({ sockets: Part, cores: Part, threads: Part }).nullable(),
  /** Lets the guest run guests of its own. */
  nested: z.boolean(),
  /** Offers Hyper-V's interface beside KVM's, which makes Windows a better guest. */
  hyperv: z.boolean(),
  /** For each CPU, those of the host that it may run on; an empty list leaves it free. */
  pinning: z.array(
    z.array(HostCpu).max(MOST_HOST_CPUS)
      .refine((list) => new Set(list).size === list.length, "must name each CPU once"),
  ).max(MOST_CPUS),
};

export const CpuSettings = z.strictObject({
  model: cpu.model.default("host"),
  topology: cpu.topology.default(null),
  nested: cpu.nested.default(false),
  hyperv: cpu.hyperv.default(false),
  pinning: cpu.pinning.default([]),
});
export const CpuUpdate = z.strictObject(cpu).partial();

const memory = {
  /**
   * `auto`: large pages where the host finds some. `transparent`: the same, and a start says so where
   * the host's settings do not allow it. `2M` and `1G`: all of it from the host's pool. `none`: 4 KiB.
   */
  hugePages: z.enum(HUGE_PAGES),
  /** The host may keep one copy of pages with the same content. */
  mergeable: z.boolean(),
  /** How much of its memory the guest is asked to give back; changes at once. */
  balloonMiB: z.int().min(0).max(1024 * 1024),
  /** How much can be added while the guest runs, a multiple of 128. */
  hotplugMiB: z.int().min(0).max(512 * 1024)
    .multipleOf(HOTPLUG_STEP_MIB, `must be a multiple of ${HOTPLUG_STEP_MIB}`),
  /** How much of that the guest has now; changes at once. */
  requestedMiB: z.int().min(0).max(512 * 1024),
};

export const MemorySettings = z.strictObject({
  hugePages: memory.hugePages.default("auto"),
  mergeable: memory.mergeable.default(false),
  balloonMiB: memory.balloonMiB.default(0),
  hotplugMiB: memory.hotplugMiB.default(0),
  requestedMiB: memory.requestedMiB.default(0),
});
export const MemoryUpdate = z.strictObject(memory).partial();

export type CpuSettings = z.output<typeof CpuSettings>;
export type MemorySettings = z.output<typeof MemorySettings>;

/** What decides whether processors and memory of a guest fit together. */
export interface Machine {
  cpus: number;
  memoryMiB: number;
  cpu: CpuSettings;
  memory: MemorySettings;
}

/** What does not fit together, by field: what schemas cannot see, as a change has some fields only. */
export function machineIssues(machine: Machine): { path: string; message: string }[] {
  return [...cpuIssues(machine), ...memoryIssues(machine)]
    .map(([path, message]) => ({ path, message }));
}

function* cpuIssues({ cpus, cpu }: Machine): Generator<[path: string, message: string]> {
  const { topology, pinning } = cpu;
  if (topology !== null && topology.sockets * topology.cores * topology.threads !== cpus) {
    yield ["cpu.topology", `sockets, cores and threads must multiply to ${cpus}`];
  }
  if (pinning.length !== 0 && pinning.length !== cpus) {
    yield ["cpu.pinning", `must have a list for each of the ${cpus} CPUs, or none`];
  }
}

function* memoryIssues({ memoryMiB, memory }: Machine): Generator<[path: string, message: string]> {
  const { hugePages, mergeable, balloonMiB, hotplugMiB, requestedMiB } = memory;
  const pool = POOLS[hugePages];
  if (pool !== undefined && memoryMiB % pool !== 0) {
    yield ["memoryMiB", `must be a multiple of ${pool} with huge pages of ${hugePages}`];
  }
  if (mergeable && pool !== undefined) {
    yield ["memory.mergeable", "must be off with pages of a pool: only pages of 4 KiB are merged"];
  }
  if (mergeable && hotplugMiB > 0) {
    yield ["memory.mergeable", "must be off where memory can be added"];
  }
  if (pool !== undefined && hotplugMiB > 0) {
    yield ["memory.hotplugMiB", "must be 0 with pages of a pool, which are taken at the start"];
  }
  if (balloonMiB > memoryMiB) yield ["memory.balloonMiB", `must be at most ${memoryMiB}`];
  if (pool !== undefined && balloonMiB > 0) {
    yield ["memory.balloonMiB", "must be 0 with pages of a pool, which stay whole"];
  }
  const step = addedStepMiB(hotplugMiB);
  if (requestedMiB > hotplugMiB) yield ["memory.requestedMiB", `must be at most ${hotplugMiB}`];
  else if (requestedMiB % step !== 0) {
    yield ["memory.requestedMiB", `must be a multiple of ${step}`];
  }
}
