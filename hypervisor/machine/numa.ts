/**
 * The NUMA nodes that a guest sees: which CPUs and which memory are near each other.
 *
 * @module
 */
import type { RamRegion } from "./memory.ts";

export interface NumaNode {
  /** Processor numbers; in ACPI's tables, their APIC ids. */
  cpus: readonly number[];
  /** Ranges of guest physical memory. */
  memory: readonly { start: number; length: number }[];
}

export interface NumaTopology {
  nodes: readonly NumaNode[];
  /** How far from node to node, row by row; 10 is a node from itself. */
  distances?: readonly (readonly number[])[];
  /** Where memory may be added, and to which node. */
  hotplug?: { start: number; length: number; node: number };
}

/** Shares RAM out to nodes in order: the guest's first bytes are the first node's. */
export function numaNodes(
  regions: readonly RamRegion[],
  nodes: readonly { cpus: readonly number[]; length: number }[],
): NumaNode[] {
  let offset = 0;
  return nodes.map(({ cpus, length }) => {
    const [from, to] = [offset, offset += length];
    const memory = regions.flatMap((region) => {
      const start = Math.max(from, region.offset);
      const end = Math.min(to, region.offset + region.length);
      if (end <= start) return [];
      return [{ start: region.guest + start - region.offset, length: end - start }];
    });
    return { cpus, memory };
  });
}
