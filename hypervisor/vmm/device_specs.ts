/**
 * The virtio devices of a guest, as data that every thread makes the same devices from.
 *
 * @module
 */
import { BalloonDevice } from "../devices/virtio/balloon.ts";
import { BlockDevice, type BlockOptions } from "../devices/virtio/block.ts";
import { ConsoleDevice, type ConsoleOptions } from "../devices/virtio/console.ts";
import type { VirtioDevice } from "../devices/virtio/device.ts";
import { closeDisk, takeDisk } from "../devices/virtio/disk.ts";
import { MemDevice } from "../devices/virtio/mem.ts";
import { NetDevice } from "../devices/virtio/net.ts";
import type { NetOptions } from "../devices/virtio/net_options.ts";
import { RngDevice } from "../devices/virtio/rng.ts";
import { VsockDevice, type VsockOptions } from "../devices/virtio/vsock.ts";
import type { Arena } from "../machine/arena.ts";
import { close } from "../sys/files.ts";
import { blockOptions } from "./block_options.ts";
import { ConfigError } from "./config/fields.ts";
import type { DiskConfig, GuestConfig, NetConfig, PlugConfig } from "./control.ts";
import { socketDevices } from "./device_sockets.ts";
import { memoryDevices, type MemoryDeviceSpec } from "./memory_setup.ts";
import type { PluggedDevice } from "./hotplug.ts";
import { openNet } from "./net_resources.ts";
import type { Held } from "./upgrade/held.ts";

export type DeviceSpec =
  | { kind: "block"; options: BlockOptions }
  | { kind: "net"; options: NetOptions }
  | { kind: "rng"; options: { name: string } }
  | { kind: "console"; options: ConsoleOptions }
  | { kind: "vsock"; options: VsockOptions }
  | MemoryDeviceSpec;

/** Where another VMM has what devices stand on. */
export interface OpenOptions {
  /** Disks may still be another VMM's, until {@linkcode takeDisks}. */
  unlocked?: boolean;
  /** What is open already, since another VMM of this host has handed it over. */
  held?: Held;
}

/** Opens what the devices stand on; throws a {@linkcode ConfigError} with what could not be had. */
export function openDevices(config: GuestConfig, options: OpenOptions = {}): DeviceSpec[] {
  const { cpus } = config;
  try {
    return [
      // Their order is that of their PCI slots. Cards come first, as a guest's network is configured by
      // names that may be made from the slot: it is not to be cut off by another disk.
      ...config.nets.map((net, i) => openCard(net, { ...options, name: `net${i}`, cpus })),
      ...config.disks.map((disk, i) => openBlock(disk, { ...options, name: `block${i}`, cpus })),
      { kind: "rng", options: { name: "rng0" } },
      ...memoryDevices(config),
      ...socketDevices(config, options.held),
    ];
  } catch (cause) {
    throw new ConfigError((cause as Error).message, { cause });
  }
}

/** The same of what is in hot-plug ports as a guest starts. */
export function openInPorts(
  plugged: readonly PluggedDevice[],
  { cpus }: { cpus: number },
): (PluggedDevice & { spec: DeviceSpec })[] {
  try {
    const open = ({ name, device }: PluggedDevice) => openPlugged(device, { name, cpus });
    return plugged.map((one) => ({ ...one, spec: open(one) }));
  } catch (cause) {
    throw new ConfigError((cause as Error).message, { cause });
  }
}

/** Takes disks over that were opened without being locked; throws where another has one. */
export function takeDisks(devices: readonly DeviceSpec[]): void {
  for (const spec of devices) if (spec.kind === "block") takeDisk(spec.options.disk);
}

type OpenOne = OpenOptions & { name: string; cpus: number };

function openBlock(disk: DiskConfig, { held, ...options }: OpenOne): DeviceSpec {
  const fds = held?.get(options.name)?.fds;
  return { kind: "block", options: blockOptions(disk, { ...options, held: fds }) };
}

function openCard(net: NetConfig, { held, ...options }: OpenOne): DeviceSpec {
  return { kind: "net", options: openNet(net, { ...options, held: held?.get(options.name) }) };
}

/** Opens what a device that is plugged in stands on. */
export function openPlugged(device: PlugConfig, options: OpenOne): DeviceSpec {
  return "disk" in device ? openBlock(device.disk, options) : openCard(device.net, options);
}

/** Closes what a device stands on, when it is taken out of a running guest. */
export function closeDevice(spec: DeviceSpec): void {
  switch (spec.kind) {
    case "block":
      return closeDisk(spec.options.disk);
    case "net":
      for (const fd of [...spec.options.vhosts, ...spec.options.taps]) close(fd);
      return;
      // The others are there for good.
  }
}

/** The registers that threads share lie in `arena`. */
export function createDevice(spec: DeviceSpec, arena: Arena): VirtioDevice {
  switch (spec.kind) {
    case "block":
      return new BlockDevice(spec.options, { arena });
    case "net":
      return new NetDevice(arena, spec.options);
    case "rng":
      return new RngDevice(spec.options);
    case "console":
      return new ConsoleDevice(arena, spec.options);
    case "vsock":
      return new VsockDevice(spec.options);
    case "balloon":
      return new BalloonDevice(arena, spec.options);
    case "mem":
      return new MemDevice(arena, spec.options);
  }
}
