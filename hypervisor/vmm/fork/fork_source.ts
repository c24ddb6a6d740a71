/**
 * From what a fork has left to what another guest goes on from.
 *
 * @module
 */
import { close, length } from "../../sys/files.ts";
import { readAt } from "../../sys/positioned_io.ts";
import { isSealed } from "../../sys/seals.ts";
import { ConfigError } from "../config/fields.ts";
import type { GuestConfig, PlugConfig } from "../control.ts";
import type { RestoreOptions } from "../guest.ts";
import type { OpenSnapshot } from "../snapshot/directory.ts";
import { MAX_STATE_BYTES } from "../snapshot/format.ts";
import { configFor, RESOURCES } from "../snapshot/restore.ts";
import { decodeGuest, type DeviceSettings, type SavedGuest } from "../snapshot/saved_guest.ts";

/** A driver that looks at its card anew, after a reset, finds an address of its own. */
const MAY_DIFFER = { ...RESOURCES, nets: [...RESOURCES.nets, "mac"] };

/**
 * Reads what came with a request: the state, which is closed, and memory, which is kept. Others have both
 * too; sealed, they are what they will always be. Throws a {@linkcode ConfigError} that says what is wrong.
 */
export function forkFrom(
  descriptors: readonly number[],
  config: unknown,
): { config: GuestConfig; restore: RestoreOptions & { snapshot: OpenSnapshot } } {
  try {
    const [stateFd, memoryFd] = descriptors;
    if (descriptors.length !== 2) {
      throw new RangeError(`2 descriptors are to come along, and ${descriptors.length} did`);
    }
    const saved = readState(stateFd);
    checkMemory(memoryFd, saved);
    const what = "go on from a fork";
    const own = configFor(saved, { given: config, what, mayDiffer: MAY_DIFFER });
    saved.settings = settingsFor(own, saved);
    close(stateFd);
    return { config: own, restore: { snapshot: { saved, memoryFd }, identity: "new" } };
  } catch (cause) {
    descriptors.forEach(close);
    if (cause instanceof ConfigError) throw cause;
    throw new ConfigError(`Cannot go on from a fork: ${(cause as Error).message}`, { cause });
  }
}

function readState(fd: number): SavedGuest {
  if (!isSealed(fd)) throw new TypeError("its state is no file in memory that is sealed");
  const size = length(fd);
  if (size > MAX_STATE_BYTES) {
    throw new RangeError(`its state has ${size} bytes, and ${MAX_STATE_BYTES} are the most`);
  }
  const bytes = new Uint8Array(size);
  return decodeGuest(bytes.subarray(0, readAt(fd, bytes, 0)));
}

function checkMemory(fd: number, { memory }: SavedGuest): void {
  if (!isSealed(fd)) throw new TypeError("its memory is no file in memory that is sealed");
  const size = length(fd);
  if (size !== memory.length) {
    throw new RangeError(`its memory has ${size} bytes, and should have ${memory.length}`);
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
