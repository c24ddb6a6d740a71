/**
 * A guest as one host describes it to another: what is kept of it, and what it runs with just now.
 *
 * @module
 */
import * as z from "zod";
import {
  AtShutdown,
  CloudInit,
  Cpus,
  CpuSettings,
  DiskSettings,
  machineIssues,
  MemoryMiB,
  MemorySettings,
  MOST_DISKS,
  MOST_NETS,
  MOST_PORTS,
  NetSettings,
  StartOrder,
} from "../api/schemas.ts";
import { Cmdline, DiskName, GuestName, Id, ImageName, MacAddress } from "../api/names.ts";
import type { PlugConfig } from "../../vmm/control.ts";
import { type RunDevice, RunFile, seedName } from "../lives/run.ts";
import { diskConfig, guestConfig, netConfig, type Places } from "../lives/vm_config.ts";
import { TOKEN } from "../shared/token.ts";
import type { DiskRecord, GuestRecord, NetRecord } from "../store/guests.ts";

const DiskParcel = DiskSettings.extend({
  id: Id,
  name: DiskName,
  /** It is put into the guest's directory by this name. */
  file: z.string().regex(/^([0-9A-HJKMNP-TV-Z]{26}|disk)\.img$/, "must be a disk's file"),
  sizeMiB: z.int().min(1).max(64 * 1024 * 1024),
  image: ImageName.nullable(),
  /** What the guest knows it by. */
  serial: z.string().regex(/^[\x20-\x7e]{0,20}$/, "must be a serial number"),
  /** The token of the storage on which it stays, and which both hosts see; absent where it does not. */
  store: z.string().regex(TOKEN, "must be a store's token").optional(),
});

const NetParcel = NetSettings.extend({ id: Id, mac: MacAddress });

export type RecordParcel = z.output<typeof RecordParcel>;
export const RecordParcel = z.strictObject({
  id: Id,
  name: GuestName,
  cpus: Cpus,
  memoryMiB: MemoryMiB,
  cpu: CpuSettings,
  memory: MemorySettings,
  kernel: ImageName,
  initrd: ImageName.nullable(),
  cmdline: Cmdline,
  disks: z.array(DiskParcel).max(MOST_DISKS),
  nets: z.array(NetParcel).max(MOST_NETS),
  hotplugPorts: z.int().min(0).max(MOST_PORTS),
  agent: z.boolean(),
  /** Not there where there is none: hosts of before know nothing of it, and take such a guest. */
  cloudInit: CloudInit.optional(),
  autostart: z.boolean(),
  /** Not there where it has no choice of its own, for the same reason. */
  atShutdown: AtShutdown.optional(),
  startOrder: StartOrder.optional(),
  createdAt: z.iso.datetime(),
});

export const RunParcel = RunFile.extend({
  started: RunFile.shape.started.extend({
    cpus: Cpus,
    memoryMiB: MemoryMiB,
    kernel: ImageName,
    initrd: ImageName.nullable(),
    cmdline: Cmdline,
    hotplugPorts: z.int().min(0).max(MOST_PORTS),
  }),
});

/** The VMM's names of what a guest has at most. */
const DEVICE_NAME = /^(block|net)([0-9]{1,2})$/;

/** What is wrong with a guest and what it runs with, where it does. */
export function parcelIssues(
  { record, run }: {
    record: z.output<typeof RecordParcel>;
    run: z.output<typeof RunParcel> | null;
  },
): { path: string; message: string }[] {
  const issues: { path: string; message: string }[] = [];
  const wrong = (path: string, message: string) => issues.push({ path, message });
  for (const { path, message } of machineIssues(record)) wrong(`record.${path}`, message);
  const { disks, nets } = record;
  for (const key of ["id", "name", "file"] as const) {
    if (!isUnique(disks.map((disk) => disk[key]))) wrong("record.disks", `share a ${key}`);
  }
  for (const key of ["id", "mac"] as const) {
    if (!isUnique(nets.map((net) => net[key]))) wrong("record.nets", `share a ${key}`);
  }
  if (run === null) return issues;
  for (const { path, message } of machineIssues(run.started)) wrong(`run.started.${path}`, message);
  const devices = Object.entries(run.devices);
  if (!isUnique(devices.map(([, { id }]) => id))) wrong("run.devices", "share an id");
  if (devices.some(([name]) => name === seedName(run))) wrong("run.devices", "are not the guest's");
  for (const [name, { kind, id }] of devices) {
    const kindOfName = DEVICE_NAME.exec(name)?.[1] === "block" ? "disk" : "net";
    const owned: readonly { id: string }[] = kind === "disk" ? disks : nets;
    if (!DEVICE_NAME.test(name) || kind !== kindOfName || !owned.some((it) => it.id === id)) {
      wrong(`run.devices.${name.slice(0, 20)}`, "is no device of the guest");
    }
  }
  return issues;
}

export const Parcel = z.strictObject({ record: RecordParcel, run: RunParcel })
  .superRefine((parcel, context) => {
    for (const { path, message } of parcelIssues(parcel)) {
      context.addIssue({ code: "custom", path: path.split("."), message });
    }
  });
export type Parcel = z.output<typeof Parcel>;

function isUnique(values: readonly unknown[]): boolean {
  return new Set(values).size === values.length;
}

/** The token of a disk's storage, where both hosts see that; undefined where the disk has to go along. */
export type TokenOf = (disk: Pick<DiskRecord, "store">) => string | undefined;

/** What of a guest goes to another host, as it is said there. */
export function pack(record: GuestRecord, run: RunFile, tokenOf: TokenOf): z.input<typeof Parcel> {
  return { record: packRecord(record, tokenOf), run: packRun(run) };
}

/**
 * What is kept of a guest, as it goes to another host. One from before there was a choice is told of nothing
 * that it would not know, such as cards that are in no port, and disks that are on no store.
 */
export function packRecord(
  record: GuestRecord,
  tokenOf: TokenOf,
): z.input<typeof RecordParcel> {
  const { error: _, cloudInit, atShutdown, startOrder, ...kept } = record;
  const disks = kept.disks.map(({ store, ...disk }) => {
    const token = tokenOf({ store });
    return token === undefined ? disk : { ...disk, store: token };
  });
  const packed = { ...kept, disks, nets: kept.nets.map(packNet) };
  return {
    ...packed,
    ...(cloudInit !== null && { cloudInit }),
    ...(atShutdown !== null && { atShutdown }),
    ...(startOrder !== null && { startOrder }),
  };
}

/** What it runs with, likewise. */
export function packRun(run: RunFile): z.input<typeof RunParcel> {
  const devices = Object.entries(run.devices).map(([name, device]) => [
    name,
    device.kind === "net" ? { ...device, settings: packNet(device.settings) } : device,
  ]);
  return { ...run, devices: Object.fromEntries(devices) };
}

function packNet<T extends { inPort: boolean }>({ inPort, ...net }: T) {
  return inPort ? { ...net, inPort } : net;
}

/** What is kept of a guest that comes from another host, with its disks as this one has them. */
export function unpackRecord(record: RecordParcel, disks: DiskRecord[]): GuestRecord {
  const { cloudInit = null, atShutdown = null, startOrder = null } = record;
  return { ...record, disks, cloudInit, atShutdown, startOrder, error: null };
}

/** The VMM's configuration of a guest that goes on in it, and what is in its ports. */
export interface GoingOn {
  config: ReturnType<typeof guestConfig> & { plugged: Record<string, PlugConfig> };
  record: GuestRecord;
}

/**
 * What the VMM that receives a guest is told: the machine that the guest has now, which the VMMs compare,
 * on what this host has for it.
 */
export function goingOn(
  { record: kept, run }: { record: GuestRecord; run: Parcel["run"] },
  places: Places,
): GoingOn {
  const { disks, nets } = devicesOf(kept, run.devices, "boot");
  const now: GuestRecord = {
    ...{ ...kept, ...run.started },
    disks: disks.map(([, disk]) => disk),
    nets: nets.map(([, net]) => net),
  };
  const inPorts = devicesOf(kept, run.devices, "port");
  const plugged = Object.fromEntries<PlugConfig>([
    ...inPorts.disks.map(([name, disk]) =>
      [name, { disk: diskConfig(disk, places.disk(disk)) }] as const
    ),
    ...inPorts.nets.map(([name, net]) => [name, { net: netConfig(net, places.tap(net)) }] as const),
  ]);
  return { config: { ...guestConfig(now, places), plugged }, record: kept };
}

/** Devices that a run has at boot or in ports, with the settings that they have there, in order. */
function devicesOf(
  { disks, nets }: GuestRecord,
  devices: Readonly<Record<string, RunDevice>>,
  at: RunDevice["at"],
): { disks: [string, DiskRecord][]; nets: [string, NetRecord][] } {
  const found = Object.entries(devices).filter(([, device]) => device.at === at)
    .sort(([a], [b]) => numberOf(a) - numberOf(b));
  return {
    disks: found.flatMap(([name, device]) =>
      device.kind === "disk"
        ? [[name, { ...disks.find(({ id }) => id === device.id)!, ...device.settings }]]
        : []
    ),
    nets: found.flatMap(([name, device]) =>
      device.kind === "net"
        ? [[name, { ...nets.find(({ id }) => id === device.id)!, ...device.settings }]]
        : []
    ),
  };
}

function numberOf(name: string): number {
  return Number(DEVICE_NAME.exec(name)![2]);
}
