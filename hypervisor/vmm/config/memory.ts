/**
 * Memory in a configuration: where it comes from, what can be added or taken back, and what is near
 * what.
 *
 * @module
 */
import { blockBytesFor } from "../../machine/hotplug.ts";
import { MAX_HOST_CPUS } from "../../sys/affinity.ts";
import { MAX_NODES } from "../../sys/memory_advice.ts";
import type { BalloonConfig, GuestConfig, MemoryConfig, NumaNodeConfig } from "../control.ts";
import { flag, list, oneOf, record, refuse, whole } from "./fields.ts";

const MiB = 2 ** 20;
/** What Linux adds at a time. */
const HOTPLUG_STEP_MIB = 128;
const MAX_HOTPLUG_MIB = 2 ** 19;
const MAX_GUEST_NODES = 8;
const MIN_NODE_MIB = 32;
/** ACPI 6.5, section 5.2.17: 10 is a node from itself, 255 is out of reach. */
const NEAR = 10;
const FAR = 254;

/** The fields of a configuration that are parsed here. */
export const MEMORY_FIELDS = ["memory", "balloon", "cpuAffinity", "numaNodes"] as const;

type MemoryFields = Pick<GuestConfig, typeof MEMORY_FIELDS[number]>;

/** Takes all fields that concern memory and where the guest runs; absent ones stay absent. */
export function memoryFields(
  c: Record<string, unknown>,
  guest: { memoryMiB: number; cpus: number; pinned?: boolean },
): MemoryFields {
  const fields: MemoryFields = {};
  if (c.memory !== undefined) fields.memory = memory(c.memory, guest);
  if (c.balloon !== undefined) fields.balloon = balloon(c.balloon, guest);
  if (c.cpuAffinity !== undefined) fields.cpuAffinity = cpuAffinity(c.cpuAffinity, guest.cpus);
  if (c.numaNodes !== undefined) fields.numaNodes = numaNodes(c.numaNodes, guest);
  if (fields.balloon && isPool(fields.memory)) {
    refuse("a balloon with huge pages of", fields.memory?.hugePages, "pages of a pool stay whole");
  }
  if (fields.balloon && guest.pinned) {
    refuse("a balloon with a disk's pinMemory", true, "what is pinned cannot be given back");
  }
  if (fields.memory?.hostNodes && fields.numaNodes?.some((node) => node.hostNodes)) {
    refuse("the memory's hostNodes", fields.memory.hostNodes, "the guest's nodes have their own");
  }
  return fields;
}

function isPool(memory: MemoryConfig | undefined): boolean {
  return memory?.hugePages === "2M" || memory?.hugePages === "1G";
}

function memory(value: unknown, guest: { memoryMiB: number }): MemoryConfig {
  const m = record(value, "the memory", [
    "hugePages",
    "mergeable",
    "hotplugMiB",
    "requestedMiB",
    "hostNodes",
    "hostNodePolicy",
  ]);
  const config: MemoryConfig = {};
  const hugePages = oneOf(m.hugePages, "the huge pages", ["transparent", "2M", "1G", "none"]);
  if (hugePages !== undefined) config.hugePages = hugePages;
  const mergeable = flag(m.mergeable, "the memory's mergeable");
  if (mergeable !== undefined) config.mergeable = mergeable;
  if (m.hotplugMiB !== undefined) {
    config.hotplugMiB = whole(m.hotplugMiB, "the memory's hotplugMiB", {
      min: 0,
      max: MAX_HOTPLUG_MIB,
    });
    if (config.hotplugMiB % HOTPLUG_STEP_MIB !== 0) {
      refuse(
        "the memory's hotplugMiB",
        m.hotplugMiB,
        `it must be a multiple of ${HOTPLUG_STEP_MIB}`,
      );
    }
  }
  if (m.requestedMiB !== undefined) {
    config.requestedMiB = requested(m.requestedMiB, config.hotplugMiB ?? 0);
  }
  if (m.hostNodes !== undefined) config.hostNodes = hostNodes(m.hostNodes);
  const policy = oneOf(m.hostNodePolicy, "the hostNodePolicy", ["bind", "preferred", "interleave"]);
  if (policy !== undefined) config.hostNodePolicy = policy;
  refuseCombinations(config, guest);
  return config;
}

function requested(value: unknown, hotplugMiB: number): number {
  const requested = whole(value, "the memory's requestedMiB", { min: 0, max: hotplugMiB });
  const block = blockBytesFor(hotplugMiB * MiB) / MiB;
  if (requested % block !== 0) {
    refuse("the memory's requestedMiB", value, `it must be a multiple of ${block}`);
  }
  return requested;
}

function refuseCombinations(config: MemoryConfig, guest: { memoryMiB: number }): void {
  const { hugePages, mergeable, hotplugMiB = 0 } = config;
  if (mergeable && isPool(config)) {
    refuse("mergeable memory with huge pages of", hugePages, "only pages of 4 KiB are merged");
  }
  if (mergeable && hotplugMiB > 0) {
    refuse("mergeable memory with hotplugMiB", hotplugMiB, "what is added must have a file behind");
  }
  if (isPool(config) && hotplugMiB > 0) {
    refuse(
      `huge pages of ${hugePages} with hotplugMiB`,
      hotplugMiB,
      "pages of a pool are taken at the start; transparent ones can be added",
    );
  }
  const pageMiB = hugePages === "1G" ? 1024 : hugePages === "2M" ? 2 : 1;
  if (guest.memoryMiB % pageMiB !== 0) {
    refuse(
      `huge pages of ${hugePages} for memoryMiB`,
      guest.memoryMiB,
      `it must be a multiple of ${pageMiB}`,
    );
  }
}

function hostNodes(value: unknown): number[] {
  return numbers(value, "a host's NUMA node", { max: MAX_NODES });
}

/** A list of different whole numbers below `max`, at least one. */
function numbers(value: unknown, what: string, limits: { max: number; min?: number }): number[] {
  const { max, min = 1 } = limits;
  const all = list(value, `the list of ${what}s`, max).map((it) =>
    whole(it, what, { min: 0, max: max - 1 })
  );
  if (new Set(all).size !== all.length) refuse(`the list of ${what}s`, all, "one is there twice");
  if (all.length < min) refuse(`the list of ${what}s`, all, "it must not be empty");
  return all;
}

function balloon(value: unknown, guest: { memoryMiB: number }): BalloonConfig {
  const b = record(value, "the balloon", ["targetMiB", "deflateOnOom", "freePageReporting"]);
  const config: BalloonConfig = {};
  if (b.targetMiB !== undefined) {
    const range = { min: 0, max: guest.memoryMiB };
    config.targetMiB = whole(b.targetMiB, "the balloon's targetMiB", range);
  }
  const deflateOnOom = flag(b.deflateOnOom, "the balloon's deflateOnOom");
  if (deflateOnOom !== undefined) config.deflateOnOom = deflateOnOom;
  const freePageReporting = flag(b.freePageReporting, "the balloon's freePageReporting");
  if (freePageReporting !== undefined) config.freePageReporting = freePageReporting;
  return config;
}

function cpuAffinity(value: unknown, cpus: number): number[][] {
  const lists = list(value, "the cpuAffinity", cpus);
  if (lists.length !== cpus) {
    refuse("the cpuAffinity", lists.length, `there must be a list for each of the ${cpus} CPUs`);
  }
  return lists.map((it) => numbers(it, "a host's CPU", { max: MAX_HOST_CPUS, min: 0 }));
}

function numaNodes(value: unknown, guest: { memoryMiB: number; cpus: number }): NumaNodeConfig[] {
  const nodes = list(value, "the numaNodes", MAX_GUEST_NODES).map((it) => numaNode(it, guest));
  const cpus = nodes.flatMap((node) => node.cpus);
  if (cpus.length !== guest.cpus || new Set(cpus).size !== guest.cpus) {
    refuse("the CPUs of the numaNodes", cpus, `each of the ${guest.cpus} must be in one`);
  }
  const total = nodes.reduce((sum, node) => sum + node.memoryMiB, 0);
  if (total !== guest.memoryMiB) {
    refuse("the memory of the numaNodes", total, `together they have ${guest.memoryMiB} MiB`);
  }
  checkDistances(nodes);
  return nodes;
}

function numaNode(value: unknown, guest: { memoryMiB: number; cpus: number }): NumaNodeConfig {
  const n = record(value, "a NUMA node", ["cpus", "memoryMiB", "hostNodes", "distances"]);
  const node: NumaNodeConfig = {
    cpus: numbers(n.cpus, "a node's CPU", { max: guest.cpus, min: 0 }),
    memoryMiB: whole(n.memoryMiB, "a node's memory in MiB", {
      min: MIN_NODE_MIB,
      max: guest.memoryMiB,
    }),
  };
  if (n.hostNodes !== undefined) node.hostNodes = hostNodes(n.hostNodes);
  if (n.distances !== undefined) {
    node.distances = list(n.distances, "a node's distances", MAX_GUEST_NODES).map((it) =>
      whole(it, "a distance", { min: NEAR, max: FAR })
    );
  }
  return node;
}

function checkDistances(nodes: readonly NumaNodeConfig[]): void {
  const given = nodes.filter((node) => node.distances !== undefined);
  if (given.length === 0) return;
  const isWhole = given.length === nodes.length &&
    nodes.every(({ distances }, i) =>
      distances!.length === nodes.length && distances!.every((it, j) => (it === NEAR) === (i === j))
    );
  if (!isWhole) {
    refuse(
      "the distances of the numaNodes",
      nodes.map((node) => node.distances ?? null),
      `each has one to each of the ${nodes.length}, ${NEAR} to itself and more to the others`,
    );
  }
}
