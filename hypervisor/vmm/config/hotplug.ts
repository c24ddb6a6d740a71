/** Hot-plug ports, and what is plugged into them. @module */
import { MAX_HOTPLUG_PORTS } from "../../machine/address_map.ts";
import type { GuestConfig, PlugConfig } from "../control.ts";
import type { PluggedDevice } from "../hotplug.ts";
import { disk } from "./disk.ts";
import { record, refuse, whole } from "./fields.ts";
import { net } from "./net.ts";

const NAME = /^(block|net)(?:0|[1-9][0-9]?)$/;

export function hotplugPorts(value: unknown): { hotplugPorts?: number } {
  if (value === undefined) return {};
  const range = { min: 0, max: MAX_HOTPLUG_PORTS };
  return { hotplugPorts: whole(value, "the number of hot-plug ports", range) };
}

/** A device to plug in: one disk or one network card. */
export function plugged(value: unknown): PlugConfig {
  const d = record(value, "the device", ["disk", "net"]);
  if ((d.disk === undefined) === (d.net === undefined)) {
    refuse("the device", value, "it must have either a disk or a net");
  }
  return d.disk !== undefined ? { disk: disk(d.disk) } : { net: net(d.net) };
}

/**
 * What is in ports from the guest's start: devices by their names, the first in the first port. Names are as
 * the VMM gives them, and none that a device beside the ports has.
 */
export function pluggedAtStart(
  value: unknown,
  { disks, nets, hotplugPorts = 0 }: Pick<GuestConfig, "disks" | "nets" | "hotplugPorts">,
): PluggedDevice[] {
  if (value === undefined) return [];
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    refuse("what is plugged in", value, "it must be an object");
  }
  const entries = Object.entries(value);
  if (entries.length > hotplugPorts) {
    refuse("devices in hot-plug ports", entries.length, `the guest has ${hotplugPorts} ports`);
  }
  const taken = [...disks.map((_, i) => `block${i}`), ...nets.map((_, i) => `net${i}`)];
  return entries.map(([name, it], slot) => {
    const device = plugged(it);
    const kind = "disk" in device ? "block" : "net";
    if (NAME.exec(name)?.[1] !== kind || taken.includes(name)) {
      refuse("the name", name.slice(0, 20), `it must be "${kind}" and a number that is free`);
    }
    return { name, slot, device };
  });
}
