/**
 * From a snapshot's directory to what a guest is restored from.
 *
 * @module
 */
import { parseConfig } from "../config/guest.ts";
import { ConfigError } from "../config/fields.ts";
import { plugged } from "../config/hotplug.ts";
import type { GuestConfig } from "../control.ts";
import type { RestoreOptions } from "../guest.ts";
import { openSnapshot } from "./directory.ts";
import type { SavedGuest } from "./saved_guest.ts";

/** By a configuration's field, what of it may differ; by "", which fields. */
export type MayDiffer = Readonly<Record<string, readonly string[]>>;

/** What a guest's devices stand on, and what else may differ where it goes on. */
export const RESOURCES: MayDiffer = {
  // A kernel has long been started.
  "": ["name", "kernel", "kernelCache", "initrd", "cmdline", "cpuAffinity", "numaNodes"],
  disks: ["path", "cache", "rateLimit", "pinMemory"],
  nets: ["tap", "receiveLimit", "sendLimit", "linkUp"],
  memory: ["hugePages", "mergeable", "hostNodes", "hostNodePolicy", "requestedMiB"],
  balloon: ["targetMiB"],
  console: ["socket", "columns", "rows"],
  ports: ["socket"],
  // Which the guest looks up again.
  vsock: ["cid", "backend", "socket"],
};

/** Reads a snapshot; `config` is what `--config` has, and has other resources. */
export function restoreFrom(
  directory: string,
  options: { config?: unknown; identity: RestoreOptions["identity"] },
): { config: GuestConfig; restore: RestoreOptions } {
  const { config: given, identity } = options;
  let snapshot;
  try {
    snapshot = openSnapshot(directory);
  } catch (cause) {
    throw new ConfigError((cause as Error).message, { cause });
  }
  const { saved } = snapshot;
  const restore = { snapshot, identity };
  if (given === undefined) return { config: saved.config, restore };
  try {
    return { config: otherResources(saved, given), restore };
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new ConfigError(`Cannot restore from "${directory}": ${cause.message}`, { cause });
  }
}

/**
 * The configuration `given` for a guest that was saved, and in `saved` what it has for what was plugged in.
 * Throws a RangeError where it is another machine's.
 */
export function otherResources(
  saved: SavedGuest,
  given: unknown,
  options: { mayDiffer?: MayDiffer } = {},
): GuestConfig {
  const { plugged: others = {}, ...rest } = given as Record<string, unknown>;
  const config = parseConfig(rest);
  const difference = differs(saved.config, config, options);
  if (difference !== undefined) throw new RangeError(`${difference} is another than it was`);
  for (const [name, device] of Object.entries(others as Record<string, unknown>)) {
    const one = saved.plugged.find((it) => it.name === name);
    if (one === undefined) throw new RangeError(`nothing is plugged in as "${name}"`);
    one.device = plugged(device);
  }
  return config;
}

/** The first field in which two configurations are of different machines; undefined where they are not. */
export function differs(
  saved: GuestConfig,
  given: GuestConfig,
  options: { mayDiffer?: MayDiffer } = {},
): string | undefined {
  const { mayDiffer = RESOURCES } = options;
  const [a, b] = [saved, given] as unknown as Record<string, unknown>[];
  const same = (key: string) => {
    const [one, other] = [a, b].map((it) => text(machineOf(it[key], { key, mayDiffer })));
    return one === other;
  };
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...keys].find((key) => !mayDiffer[""].includes(key) && !same(key));
}

/** A field's value without what may differ. */
function machineOf(value: unknown, options: { key: string; mayDiffer: MayDiffer }): unknown {
  const ignored = options.mayDiffer[options.key] ?? [];
  // Memory of which nothing is said is like any other.
  if (options.key === "memory" && value === undefined) value = {};
  if (Array.isArray(value)) return value.map((one) => machineOf(one, options));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).filter(([name, it]) => !ignored.includes(name) && it !== undefined),
  );
}

/** The same for values that are equal but for their order and for what is absent. */
function text(value: unknown): string {
  return JSON.stringify(value, (_, it) => {
    if (typeof it !== "object" || it === null || Array.isArray(it)) return it;
    const entries = Object.entries(it).sort(([x], [y]) => x < y ? -1 : 1);
    return Object.fromEntries(entries);
  }) ?? "";
}
