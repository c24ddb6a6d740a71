/**
 * From a configuration to the guest's memory: what is to be mapped, and what the guest is told of it.
 *
 * @module
 */
import type { BalloonOptions } from "../devices/virtio/balloon.ts";
import type { MemOptions } from "../devices/virtio/mem.ts";
import { ramRegions } from "../machine/memory.ts";
import { maxRam, mmio64 } from "../machine/address_map.ts";
import { numaNodes, type NumaTopology } from "../machine/numa.ts";
import {
  hotplugSpec,
  type MemorySpec,
  openRam,
  openSavedRam,
  type RamBinding,
  type RamOptions,
} from "../machine/ram.ts";
import { threadCpus } from "../sys/affinity.ts";
import { ConfigError } from "./config/fields.ts";
import type { GuestConfig } from "./control.ts";

const MiB = 2 ** 20;

/** The memory's devices of a guest: a balloon, and what adds memory. */
export type MemoryDeviceSpec =
  | { kind: "balloon"; options: BalloonOptions }
  | { kind: "mem"; options: MemOptions };

export function memoryDevices(config: GuestConfig): MemoryDeviceSpec[] {
  const { memoryMiB, balloon } = config;
  const { hotplugMiB = 0, requestedMiB } = config.memory ?? {};
  const devices: MemoryDeviceSpec[] = [];
  if (balloon !== undefined) {
    devices.push({ kind: "balloon", options: { name: "balloon0", memoryMiB, ...balloon } });
  }
  if (hotplugMiB > 0) {
    const region = hotplugSpec(memoryMiB * MiB, hotplugMiB * MiB);
    const node = hotplugNode(config);
    devices.push({ kind: "mem", options: { name: "mem0", region, requestedMiB, node } });
  }
  return devices;
}

/** What is added belongs to the last node. */
function hotplugNode(config: GuestConfig): number {
  return Math.max(0, (config.numaNodes?.length ?? 1) - 1);
}

export interface GuestRamOptions {
  physicalBits: number;
  log: (line: string) => void;
  /** A file of whose content it is to be a copy. */
  savedFd?: number;
  /** A file that it is to be, with whoever has that too. */
  sharedFd?: number;
}

/** Maps the guest's RAM; throws a {@linkcode ConfigError} where this host has not what it needs. */
export function openGuestRam(config: GuestConfig, options: GuestRamOptions): MemorySpec {
  const { physicalBits, log } = options;
  const ram = ramOptions(config);
  const { length, hotplugLength } = ram;
  if (length > maxRam(physicalBits)) {
    throw new ConfigError(
      `Cannot give "${config.name}" ${config.memoryMiB} MiB of memory: this CPU has ${physicalBits} ` +
        `address bits, with room for ${Math.floor(maxRam(physicalBits) / MiB)} MiB`,
    );
  }
  const { guest } = hotplugSpec(length, hotplugLength);
  const room = mmio64(physicalBits).start - guest;
  if (hotplugLength > room) {
    throw new ConfigError(
      `Cannot add ${
        hotplugLength / MiB
      } MiB of memory to "${config.name}": this CPU has ${physicalBits} ` +
        `address bits, with room for ${Math.max(0, Math.floor(room / MiB))} MiB above its memory`,
    );
  }
  try {
    const { savedFd, sharedFd } = options;
    if (savedFd !== undefined) return openSavedRam(savedFd, ram, log);
    return openRam({ ...ram, fd: sharedFd }, log);
  } catch (cause) {
    throw new ConfigError((cause as Error).message, { cause });
  }
}

/** What the kernel is to be told of the guest's RAM. */
export function ramOptions(config: GuestConfig): RamOptions & { hotplugLength: number } {
  const { hugePages, mergeable, hotplugMiB = 0 } = config.memory ?? {};
  return {
    ...{ length: config.memoryMiB * MiB, hotplugLength: hotplugMiB * MiB, hugePages, mergeable },
    bindings: ramBindings(config),
  };
}

function ramBindings(config: GuestConfig): RamBinding[] {
  const { hostNodes: nodes, hostNodePolicy: policy = "bind" } = config.memory ?? {};
  if (nodes) return [{ offset: 0, length: config.memoryMiB * MiB, nodes, policy }];
  let offset = 0;
  return (config.numaNodes ?? []).flatMap(({ memoryMiB, hostNodes }) => {
    const at = offset;
    offset += memoryMiB * MiB;
    return hostNodes ? [{ offset: at, length: memoryMiB * MiB, nodes: hostNodes, policy }] : [];
  });
}

/** What the guest is told of its nodes; undefined where there is nothing to tell. */
export function numaTopology(config: GuestConfig): NumaTopology | undefined {
  const { cpus, memoryMiB } = config;
  const { hotplugMiB = 0 } = config.memory ?? {};
  if (config.numaNodes === undefined && hotplugMiB === 0) return undefined;
  const length = memoryMiB * MiB;
  const nodes = config.numaNodes ??
    [{ cpus: Array.from({ length: cpus }, (_, id) => id), memoryMiB, distances: undefined }];
  const region = hotplugSpec(length, hotplugMiB * MiB);
  return {
    nodes: numaNodes(
      ramRegions(length),
      nodes.map((node) => ({ cpus: node.cpus, length: node.memoryMiB * MiB })),
    ),
    distances: nodes.every((node) => node.distances !== undefined)
      ? nodes.map((node) => node.distances!)
      : undefined,
    hotplug: hotplugMiB === 0
      ? undefined
      : { start: region.guest, length: region.length, node: hotplugNode(config) },
  };
}

/** Refuses a guest whose vCPUs are to run where they cannot. */
export function checkAffinity(config: GuestConfig): void {
  const allowed = config.cpuAffinity === undefined ? [] : threadCpus();
  config.cpuAffinity?.forEach((cpus, id) => {
    const missing = cpus.find((cpu) => !allowed.includes(cpu));
    if (missing !== undefined) {
      throw new ConfigError(
        `Cannot run vCPU ${id} of "${config.name}" on the host's CPU ${missing}: ` +
          `this process has CPUs ${allowed.join(", ")}`,
      );
    }
  });
}
