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
import type { DiskConfig, GuestConfig, PlugConfig } from "./control.ts";
import { socketDevices } from "./device_sockets.ts";
import { memoryDevices, type MemoryDeviceSpec } from "./memory_setup.ts";
import { openNet } from "./net_resources.ts";

export type DeviceSpec =
  | { kind: "block"; options: BlockOptions }
  | { kind: "net"; options: NetOptions }
  | { kind: "rng"; options: { name: string } }
  | { kind: "console"; options: ConsoleOptions }
  | { kind: "vsock"; options: VsockOptions }
  | MemoryDeviceSpec;

/**
 * Opens what the devices stand on; throws a {@linkcode ConfigError} with what could not be had. With
 * `unlocked`, disks may still be another VMM's, until {@linkcode takeDisks}.
 */
export function openDevices(
  config: GuestConfig,
  { unlocked }: { unlocked?: boolean } = {},
): DeviceSpec[] {
  const { cpus } = config;
  try {
    return [
      ...config.disks.map((disk, i) => openBlock(disk, { name: `block${i}`, cpus, unlocked })),
      ...config.nets.map((net, i): DeviceSpec => ({
        kind: "net",
        options: openNet(net, { name: `net${i}`, cpus: config.cpus }),
      })),
      { kind: "rng", options: { name: "rng0" } },
      ...memoryDevices(config),
      ...socketDevices(config),
    ];
  } catch (cause) {
    throw new ConfigError((cause as Error).message, { cause });
  }
}

/** Takes disks over that were opened without being locked; throws where another has one. */
export function takeDisks(devices: readonly DeviceSpec[]): void {
  for (const spec of devices) if (spec.kind === "block") takeDisk(spec.options.disk);
}

function openBlock(
  disk: DiskConfig,
  options: { name: string; cpus: number; unlocked?: boolean },
): DeviceSpec {
  return { kind: "block", options: blockOptions(disk, options) };
}

/** Opens what a device that is plugged in stands on. */
export function openPlugged(
  device: PlugConfig,
  options: { name: string; cpus: number; unlocked?: boolean },
): DeviceSpec {
  if ("disk" in device) return openBlock(device.disk, options);
  return { kind: "net", options: openNet(device.net, options) };
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
