/**
 * From a snapshot's directory to what a guest is restored from.
 *
 * @module
 */
import { parseConfig } from "../config/guest.ts";
import { ConfigError, refuse } from "../config/fields.ts";
import { plugged } from "../config/hotplug.ts";
import type { GuestConfig, PlugConfig } from "../control.ts";
import type { RestoreOptions } from "../guest.ts";
import { openSnapshot } from "./directory.ts";
import type { DeviceSettings, SavedGuest } from "./saved_guest.ts";

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

/** For a copy of a guest: a driver that looks at its card anew, after a reset, finds an address of its own. */
export const COPY_RESOURCES: MayDiffer = { ...RESOURCES, nets: [...RESOURCES.nets, "mac"] };

/**
 * Reads a snapshot; `config` is what `--config` has: a configuration with the same devices on other
 * resources, and in `plugged`, by their names, what the devices stand on that were plugged in. With the
 * identity "new" it may have other MAC addresses, and what it says of a device counts. Without it, all is
 * opened that the snapshot names, which is for one's own.
 */
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
  const isCopy = identity === "new";
  const config = configFor(saved, {
    ...{ given, what: `restore from "${directory}"` },
    mayDiffer: isCopy ? COPY_RESOURCES : RESOURCES,
  });
  if (isCopy && given !== undefined) saved.settings = settingsFor(config, saved);
  return { config, restore: { snapshot, identity } };
}

/**
 * The configuration by which a saved guest goes on: its own, or `given` one of the same machine with other
 * resources, which may also name those of what was plugged in. `mayDiffer` is what these are,
 * {@linkcode RESOURCES} without.
 */
export function configFor(
  saved: Pick<SavedGuest, "config" | "plugged">,
  options: { given?: unknown; what: string; mayDiffer?: MayDiffer },
): GuestConfig {
  const { given, what, mayDiffer } = options;
  if (given === undefined) return saved.config;
  const { plugged: others = {}, ...rest } = record(given, "the configuration");
  const config = parseConfig(rest);
  const difference = differs(saved.config, config, { mayDiffer });
  if (difference !== undefined) {
    throw new ConfigError(`Cannot ${what}: ${difference} is another than it was`);
  }
  putIn(saved, record(others, "what is plugged in"));
  return config;
}

/**
 * What was plugged in stands on what `devices` says, by name. All of it: a snapshot that comes from
 * elsewhere must not say which of this host's files are opened.
 */
function putIn(saved: Pick<SavedGuest, "plugged">, devices: Record<string, unknown>): void {
  for (const one of saved.plugged) {
    if (!Object.hasOwn(devices, one.name)) {
      throw new ConfigError(`Cannot restore "${one.name}": "plugged" does not say what it is now`);
    }
    one.device = plugged(devices[one.name]);
  }
  const unknown = Object.keys(devices).find((name) =>
    !saved.plugged.some((it) => it.name === name)
  );
  if (unknown !== undefined) {
    throw new ConfigError(`Cannot restore "${unknown}": nothing was plugged in by that name`);
  }
}

/** What is said of a device counts, and for all else what was set while the other guest ran. */
export function settingsFor(
  config: GuestConfig,
  { settings, plugged }: Pick<SavedGuest, "settings" | "plugged">,
): DeviceSettings {
  const { disks, nets } = config;
  const said: [name: string, settings: Record<string, unknown>][] = [
    ...disks.map((disk, i) => settingsOf(`block${i}`, { disk })),
    ...nets.map((net, i) => settingsOf(`net${i}`, { net })),
    ...plugged.map(({ name, device }) => settingsOf(name, device)),
  ];
  return Object.fromEntries(
    Object.entries(settings).map(([name, saved]) => {
      const own = said.find((one) => one[0] === name)?.[1] ?? {};
      const values = Object.entries(own).filter(([, value]) => value !== undefined);
      return [name, { ...saved, ...Object.fromEntries(values) }];
    }),
  );
}

function settingsOf(name: string, device: PlugConfig): [string, Record<string, unknown>] {
  if ("disk" in device) return [name, { rateLimit: device.disk.rateLimit }];
  const { linkUp, receiveLimit, sendLimit } = device.net;
  return [name, { linkUp, receiveLimit, sendLimit }];
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

function record(value: unknown, what: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  refuse(what, value, "it must be an object");
}
