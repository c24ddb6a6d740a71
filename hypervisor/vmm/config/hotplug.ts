/** Hot-plug ports, and what is plugged into them. @module */
import { MAX_HOTPLUG_PORTS } from "../../machine/address_map.ts";
import type { PlugConfig } from "../control.ts";
import { disk } from "./disk.ts";
import { record, refuse, whole } from "./fields.ts";
import { net } from "./net.ts";

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
