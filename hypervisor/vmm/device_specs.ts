/**
 * The virtio devices of a guest, as data that every thread makes the same devices from.
 *
 * @module
 */
import type { Arena } from "../machine/arena.ts";
import type { VirtioDevice } from "../devices/virtio/device.ts";
import type { GuestConfig } from "./control.ts";

export type DeviceSpec = { kind: "none" };

/** Opens what the devices stand on; throws with what could not be had. */
export function openDevices(_config: GuestConfig): DeviceSpec[] {
  return [];
}

export function createDevice(_spec: DeviceSpec, _arena: Arena): VirtioDevice {
  throw new Error("no devices yet");
}
