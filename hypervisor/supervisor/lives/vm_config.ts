/**
 * What a guest's VMM is told to run, made from what is kept of the guest.
 *
 * @module
 */
import type { DiskRecord, GuestRecord, NetRecord } from "../store/guests.ts";
import { seedDisk } from "../cloud_init/seed.ts";
import { hasBalloon } from "../api/schemas.ts";
import type { DiskConfig, GuestConfig, MemoryConfig, NetConfig } from "../../vmm/control.ts";

/** How the VMM calls the devices of which a guest has one. */
export const BALLOON = "balloon0";
export const ADDED_MEMORY = "mem0";

/** The port that guest agents look for. */
const AGENT_PORT = "org.qemu.guest_agent.0";

/** Where on the host the parts of a guest are. */
export interface Places {
  kernel: string;
  initrd: string | null;
  /** Where VMMs keep kernels unpacked. */
  kernelCache: string;
  /** The socket that the guest's agent is behind. */
  agentSocket: string;
  /** Where the disk for cloud-init is put. */
  seed: string;
  disk(disk: DiskRecord): string;
  /** The name of a card's tap. */
  tap(net: NetRecord): string;
}

/** What is left out has the VMM's own default. */
export function guestConfig(guest: GuestRecord, places: Places): GuestConfig {
  const { cpu, memory } = guest;
  const model = cpu.model === "host" ? undefined : cpu.model;
  const own = {
    ...(model !== undefined && { model }),
    ...(cpu.topology !== null && { topology: cpu.topology }),
    ...(cpu.hyperv && { hyperv: true }),
    ...(cpu.nested && { nested: true }),
  };
  const from = memoryConfig(guest);
  return {
    name: guest.name,
    kernel: places.kernel,
    kernelCache: places.kernelCache,
    ...(places.initrd !== null && { initrd: places.initrd }),
    cmdline: guest.cmdline,
    memoryMiB: guest.memoryMiB,
    cpus: guest.cpus,
    ...(Object.keys(own).length > 0 && { cpu: own }),
    disks: [
      ...guest.disks.map((disk) => diskConfig(disk, places.disk(disk))),
      // The last, so that the others are called as without it.
      ...(guest.cloudInit === null ? [] : [seedDisk(places.seed)]),
    ],
    nets: guest.nets.map((net) => netConfig(net, places.tap(net))),
    ...(Object.keys(from).length > 0 && { memory: from }),
    ...(hasBalloon(memory) && { balloon: { targetMiB: memory.balloonMiB } }),
    ...(cpu.pinning.length > 0 && { cpuAffinity: cpu.pinning }),
    ...(guest.hotplugPorts > 0 && { hotplugPorts: guest.hotplugPorts }),
    ...(guest.agent && { ports: [{ name: AGENT_PORT, socket: places.agentSocket }] }),
  };
}

function memoryConfig({ memory }: GuestRecord): MemoryConfig {
  const { hugePages, mergeable, hotplugMiB, requestedMiB } = memory;
  return {
    ...(hugePages !== "auto" && { hugePages }),
    ...(mergeable && { mergeable }),
    ...(hotplugMiB > 0 && { hotplugMiB, requestedMiB }),
  };
}

export function diskConfig(disk: DiskRecord, path: string): DiskConfig {
  const { serial, readonly, cache, writeCache, rateLimit } = disk;
  return {
    path,
    serial,
    ...(readonly && { readonly }),
    ...(cache !== "cached" && { cache }),
    ...(!writeCache && { writeCache }),
    ...(rateLimit !== null && { rateLimit }),
  };
}

export function netConfig(net: NetRecord, tap: string): NetConfig {
  const { mac, linkUp, mtu, queues, receiveLimit, sendLimit } = net;
  return {
    tap,
    mac,
    ...(queues !== null && { queues }),
    ...(mtu !== null && { mtu }),
    ...(!linkUp && { linkUp }),
    ...(receiveLimit !== null && { receiveLimit }),
    ...(sendLimit !== null && { sendLimit }),
  };
}
