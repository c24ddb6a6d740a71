/**
 * The host's facts.
 *
 * @module
 */
import { statfs } from "node:fs/promises";
import { SysError } from "../sys/errno.ts";
import { close, O_RDWR, open } from "../sys/files.ts";
import { readPseudoFile } from "../sys/pseudo_files.ts";
import { type Guest, type Health, type Host, MOST_SHOWN_GUESTS } from "./api/schemas.ts";
import { VERSION } from "./version.ts";

const MIB = 1024 * 1024;

/** The processor's name out of /proc/cpuinfo. */
export function parseCpuModel(cpuinfo: string): string {
  return /^model name\s*:\s*(.*\S)\s*$/m.exec(cpuinfo)?.[1] ?? "unknown";
}

/** Why no guest can run here; null where they can. */
export function findKvmProblem(path = "/dev/kvm"): string | null {
  try {
    close(open(path, O_RDWR));
    return null;
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    return `${error.message}. Turn on virtualization (AMD-V or VT-x) in the firmware's settings, ` +
      "and load the kernel module kvm_amd or kvm_intel";
  }
}

/** The names of network interfaces out of /proc/net/dev. */
export function parseInterfaces(dev: string): string[] {
  return [...dev.matchAll(/^\s*([^:\s]+):/gm)].map(([, name]) => name);
}

/** The host's bridges, by name. */
function findBridges(): string[] {
  return parseInterfaces(readPseudoFile("/proc/net/dev")).filter((name) => {
    try {
      return readPseudoFile(`/sys/class/net/${name}/bridge/bridge_id`) !== "";
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      return false;
    }
  }).sort();
}

/** Memory of the whole host, in MiB. */
export function hostMemoryMiB(): number {
  return Math.floor(Deno.systemMemoryInfo().total / MIB);
}

/** Nobody takes the last of the data partition: the database needs room to write. */
export const RESERVED_BYTES = 64 * MIB;

/** Bytes that an upload or a disk may still take. */
export async function freeBytes(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}

/** Reads the facts as they are now. */
export async function readHost(
  options: Pick<Host, "startedAt" | "stores" | "atShutdown"> & { data: string },
): Promise<Host> {
  const memory = Deno.systemMemoryInfo();
  const { blocks, bavail, bsize } = await statfs(options.data);
  const addresses = Deno.networkInterfaces()
    .map(({ address }) => address)
    .filter((address) => !/^(127\.|::1$|fe80:)/i.test(address));
  return {
    name: Deno.hostname(),
    version: VERSION,
    kernel: Deno.osRelease(),
    cpuModel: parseCpuModel(readPseudoFile("/proc/cpuinfo")),
    cpus: navigator.hardwareConcurrency,
    memoryMiB: Math.floor(memory.total / MIB),
    memoryFreeMiB: Math.floor(memory.available / MIB),
    diskMiB: Math.floor(blocks * bsize / MIB),
    diskFreeMiB: Math.floor(bavail * bsize / MIB),
    bridges: findBridges(),
    kvmProblem: findKvmProblem(),
    addresses: [...new Set(addresses)],
    stores: options.stores,
    atShutdown: options.atShutdown,
    startedAt: options.startedAt,
  };
}

/** What the host's screen shows of the supervisor; `data` lies on the disk that is told of. */
export async function readHealth(
  data: string,
  all: { readonly areBack: boolean; list: () => Guest[] },
): Promise<Health> {
  const guests = all.list();
  const { blocks, bavail, bsize } = await statfs(data);
  const rank = ({ state }: Guest) => state === "failed" ? 0 : state === "stopped" ? 2 : 1;
  const counts: Health["guests"] = {};
  for (const { state } of guests) counts[state] = (counts[state] ?? 0) + 1;
  return {
    diskMiB: Math.floor(blocks * bsize / MIB),
    diskFreeMiB: Math.floor(bavail * bsize / MIB),
    guests: counts,
    guestsBack: all.areBack,
    shown: guests.toSorted((a, b) => rank(a) - rank(b)).slice(0, MOST_SHOWN_GUESTS)
      .map(({ name, state }) => ({ name, state })),
  };
}
