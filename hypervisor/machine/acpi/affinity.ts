/**
 * What ACPI says of a guest's NUMA nodes: the SRAT and the SLIT (ACPI 6.5, sections 5.2.16 and 5.2.17).
 *
 * Linux also learns from the SRAT how far memory may ever reach, before it sets up what depends on it.
 *
 * @module
 */
import type { NumaTopology } from "../numa.ts";
import { type Aml, bytes, le } from "./aml.ts";

const ENABLED = 1;
const HOT_PLUGGABLE = 2;

/** Section 5.2.16.1: a processor's domain; APIC ids equal processor numbers. */
function processor(domain: number, id: number): Aml {
  return bytes(0, 16, domain, id, le(ENABLED, 4), 0, 0, 0, 0, le(0, 4));
}

/** Section 5.2.16.2: a range's domain. */
function memory(domain: number, range: { start: number; length: number }, flags: number): Aml {
  return bytes(
    ...[1, 40, le(domain, 4), le(0, 2), le(range.start, 8), le(range.length, 8)],
    ...[le(0, 4), le(flags, 4), le(0, 8)],
  );
}

/** The SRAT's body. */
export function srat(topology: NumaTopology): Aml {
  const { nodes, hotplug } = topology;
  return bytes(
    le(1, 4),
    le(0, 8),
    ...nodes.flatMap(({ cpus }, domain) => cpus.map((id) => processor(domain, id))),
    ...nodes.flatMap((node, domain) => node.memory.map((it) => memory(domain, it, ENABLED))),
    ...(hotplug ? [memory(hotplug.node, hotplug, ENABLED | HOT_PLUGGABLE)] : []),
  );
}

/** The SLIT's body. */
export function slit(distances: readonly (readonly number[])[]): Aml {
  return bytes(le(distances.length, 8), ...distances.flat());
}
