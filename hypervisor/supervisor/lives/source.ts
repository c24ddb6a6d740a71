/**
 * Where a guest goes on from, instead of booting: a snapshot's memory, or another guest's that was forked.
 *
 * @module
 */
import type { GuestConfig, PlugConfig, RunRequest, StartConfig } from "../../vmm/control.ts";
import type { DiskRecord, GuestRecord, NetRecord } from "../store/guests.ts";
import type { RunDevice, RunFile } from "./run.ts";
import { diskConfig, guestConfig, netConfig, type Places } from "./vm_config.ts";

export type Source =
  & {
    /** What the guest ran with at that instant; ids are those of the guest that goes on. */
    run: RunFile;
  }
  & (
    | {
      kind: "snapshot";
      /** The VMM's own directory of it. */
      directory: string;
      /** Whether nothing of the guest runs before it is written down that it does. */
      hold: boolean;
      /** Whether it is who it was: only one that goes on from there once is. Default: "new". */
      identity?: "new" | "same";
    }
    | {
      kind: "fork";
      /** The guest's state, and its memory's content: the caller's, who closes them. */
      descriptors: readonly number[];
    }
  );

/** What a VMM that waits is told. */
export function orderOf(source: Source | undefined, config: GuestConfig): RunRequest {
  switch (source?.kind) {
    case undefined:
      return { op: "run", config };
    case "fork":
      return { op: "run", config, fork: true };
    case "snapshot": {
      // Also a guest that goes back in time needs random numbers that it has not used before.
      const { directory, hold, identity = "new" } = source;
      return { op: "run", config, restore: directory, identity, hold };
    }
  }
}

const numberOf = (name: string) => Number(/\d+$/.exec(name)?.[0]);

/** Devices of one kind that the run has at `at`, in the VMM's order. */
function devicesOf({ devices }: RunFile, at: RunDevice["at"], kind: RunDevice["kind"]) {
  return Object.entries(devices).filter(([, device]) => device.at === at && device.kind === kind)
    .sort(([a], [b]) => numberOf(a) - numberOf(b));
}

/** The one of `all` with the device's id, with the settings that it has in the run. */
function withSettings<T extends DiskRecord | NetRecord>(all: readonly T[], device: RunDevice): T {
  const found = all.find(({ id }) => id === device.id);
  if (found === undefined) throw new Error(`Cannot go on: the guest has no device "${device.id}"`);
  return { ...found, ...device.settings };
}

/** The guest as the run has it: what was changed since its start, and waits for the next, is left out. */
export function guestOf(guest: GuestRecord, run: RunFile): GuestRecord {
  return {
    ...guest,
    ...run.started,
    disks: devicesOf(run, "boot", "disk").map(([, it]) => withSettings(guest.disks, it)),
    nets: devicesOf(run, "boot", "net").map(([, it]) => withSettings(guest.nets, it)),
  };
}

/** What is in ports, on what it stands now, by the VMM's names. */
export function pluggedOf(
  guest: GuestRecord,
  run: RunFile,
  places: Pick<Places, "disk" | "tap">,
): Record<string, PlugConfig> {
  const disks = devicesOf(run, "port", "disk").map(([name, device]) => {
    const disk = withSettings(guest.disks, device);
    return [name, { disk: diskConfig(disk, places.disk(disk)) }] as const;
  });
  const nets = devicesOf(run, "port", "net").map(([name, device]) => {
    const net = withSettings(guest.nets, device);
    return [name, { net: netConfig(net, places.tap(net)) }] as const;
  });
  return Object.fromEntries([...disks, ...nets]);
}

/** What the VMM is told that has the guest start, or go on, with `run`. */
export function configOf(guest: GuestRecord, run: RunFile, places: Places): StartConfig {
  const plugged = pluggedOf(guest, run, places);
  return { ...guestConfig(guestOf(guest, run), places), plugged };
}

/** All cards that the run has. */
export function netsOf(guest: GuestRecord, run: RunFile): NetRecord[] {
  return Object.values(run.devices).filter(({ kind }) => kind === "net")
    .map((device) => withSettings(guest.nets, device));
}
