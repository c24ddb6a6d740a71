/**
 * Checks a guest's configuration, whoever wrote it: the one place where it is found to be right.
 *
 * @module
 */
import type { GuestConfig } from "../control.ts";
import type { PluggedDevice } from "../hotplug.ts";
import { MAX_CPUS } from "../lifecycle.ts";
import { cpu } from "./cpu.ts";
import { disk } from "./disk.ts";
import { ConfigError, list, optionalText, record, text, whole } from "./fields.ts";
import { hotplugPorts, pluggedAtStart } from "./hotplug.ts";
import { MEMORY_FIELDS, memoryFields } from "./memory.ts";
import { net } from "./net.ts";
import { SOCKET_FIELDS, socketFields } from "./sockets.ts";

/** Enough for a kernel that is made small; a distribution's needs some 100 MiB to unpack itself. */
export const MIN_MEMORY_MIB = 64;
const MAX_DISKS = 16;
const MAX_NETS = 8;

const FIELDS = [
  ...["name", "kernel", "kernelCache", "initrd", "cmdline", "memoryMiB", "cpus", "cpu"],
  ...["disks", "nets", ...MEMORY_FIELDS, "hotplugPorts", ...SOCKET_FIELDS],
];

/** Returns a configuration that cannot be wrong in itself, or throws a {@linkcode ConfigError}. */
export function parseConfig(value: unknown): GuestConfig {
  const c = record(value, "the configuration", FIELDS);
  const guest = {
    memoryMiB: whole(c.memoryMiB, "the memory in MiB", { min: MIN_MEMORY_MIB, max: 2 ** 20 }),
    cpus: whole(c.cpus, "the number of CPUs", { min: 1, max: MAX_CPUS }),
    ...(c.cpu === undefined ? {} : { cpu: cpu(c.cpu, c.cpus as number) }),
  };
  const disks = list(c.disks, "the disks", MAX_DISKS).map(disk);
  return {
    ...guest,
    ...memoryFields(c, { ...guest, pinned: disks.some((it) => it.pinMemory) }),
    name: text(c.name, "the name"),
    kernel: text(c.kernel, "the kernel"),
    kernelCache: optionalText(c.kernelCache, "the folder for unpacked kernels"),
    initrd: optionalText(c.initrd, "the initrd"),
    cmdline: c.cmdline === "" ? "" : text(c.cmdline, "the command line"),
    disks,
    nets: list(c.nets, "the network cards", MAX_NETS).map(net),
    ...hotplugPorts(c.hotplugPorts),
    ...socketFields(c),
  };
}

/** The same of a guest that is to start, which may have devices in hot-plug ports, in `plugged`. */
export function parseStart(value: unknown): { config: GuestConfig; plugged: PluggedDevice[] } {
  const { plugged, ...rest } = record(value, "the configuration", [...FIELDS, "plugged"]);
  const config = parseConfig(rest);
  return { config, plugged: pluggedAtStart(plugged, config) };
}

/** Refuses a guest that this host has not the memory for. */
export function checkHostMemory(config: GuestConfig, meminfo: string): void {
  const total = Number(/^MemTotal:\s+(\d+) kB$/m.exec(meminfo)?.[1] ?? NaN) / 1024;
  if (config.memoryMiB > total) {
    throw new ConfigError(
      `Cannot give "${config.name}" ${config.memoryMiB} MiB of memory: the host has ${
        Math.floor(total)
      } MiB`,
    );
  }
}
