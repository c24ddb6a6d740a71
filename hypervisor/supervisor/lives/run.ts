/**
 * What a guest runs with, as opposed to what it is to have: the settings of its start, less what was
 * changed since, and which of the VMM's devices is which of the guest's. It is kept in `run.json`
 * beside the VMM's configuration, so that a supervisor that is started later knows it too.
 *
 * @module
 */
import { basename, join } from "@std/path";
import { isDeepStrictEqual } from "node:util";
import * as z from "zod";
import {
  type Attachment,
  CpuSettings,
  DiskSettings,
  MemorySettings,
  NetSettings,
} from "../api/schemas.ts";
import type { GuestConfig } from "../../vmm/control.ts";
import { writeFileDurably } from "../durable.ts";
import type { DiskRecord, GuestRecord, NetRecord } from "../store/guests.ts";
import { readMessage } from "./wire.ts";

/** Settings of a guest that its VMM was started with. */
const Started = z.object({
  cpus: z.int(),
  memoryMiB: z.int(),
  cpu: CpuSettings,
  memory: MemorySettings,
  kernel: z.string(),
  initrd: z.string().nullable(),
  cmdline: z.string(),
  hotplugPorts: z.int(),
  agent: z.boolean(),
});
type Started = z.output<typeof Started>;

const at = z.enum(["boot", "port"]);
const Device = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("disk"), id: z.string(), at, settings: DiskSettings }),
  z.object({
    kind: z.literal("net"),
    id: z.string(),
    at,
    settings: NetSettings.extend({ mac: z.string() }),
  }),
]);
/** A disk or a card that the VMM has, with the settings that it has there. */
export type RunDevice = z.output<typeof Device>;

/** A run as data: devices by the names that the VMM gives them. */
export const RunFile = z.object({
  started: Started,
  devices: z.record(z.string(), Device),
  /** Whether its file systems are frozen, or may be: whatever goes on with it is to have them thawed. */
  frozen: z.boolean().default(false),
});
export type RunFile = z.output<typeof RunFile>;

/** `run.json`: what concerns this VMM alone, besides. */
const OwnFile = RunFile.extend({
  /** The snapshot since which the VMM keeps track of what memory changes. */
  base: z.string().nullable().default(null),
});
type OwnFile = z.output<typeof OwnFile>;

/** A run as it was kept; what a version before this one did not know of has its default. */
export function readRun(kept: unknown): RunFile {
  return RunFile.parse(kept);
}

/** What a guest runs with now; throws where it does not run any more. */
export function runningRun(process: { run: Run } | null): Run {
  if (process === null) throw new Error("the guest has ended");
  return process.run;
}

/** What `guest` is about to be started with: its cards are in ports where they are to be and there are some. */
export function firstRun(guest: GuestRecord): RunFile {
  const { disks, nets, hotplugPorts } = guest;
  const inPorts = nets.filter(({ inPort }) => inPort).slice(0, hotplugPorts);
  const fixed = nets.filter((net) => !inPorts.includes(net));
  const devices = Object.fromEntries([
    ...disks.map((disk, i) => [`block${i}`, diskDevice(disk, "boot")] as const),
    ...fixed.map((net, i) => [`net${i}`, netDevice(net, "boot")] as const),
    ...inPorts.map((net, i) => [`net${fixed.length + i}`, netDevice(net, "port")] as const),
  ]);
  return { started: Started.parse(guest), devices, frozen: false };
}

const FIELDS = Object.keys(Started.shape) as (keyof Started)[];

/** One run of a guest. */
export class Run {
  readonly #path: string;
  readonly #started: Started;
  /** By the names that the VMM gives them. */
  readonly #devices: Map<string, RunDevice>;
  readonly #leaving = new Set<string>();
  #frozen: boolean;
  #base: string | null;

  private constructor(directory: string, { started, devices, frozen, base }: OwnFile) {
    this.#path = join(directory, "run.json");
    this.#started = started;
    this.#devices = new Map(Object.entries(devices));
    this.#frozen = frozen;
    this.#base = base;
  }

  /** What an earlier supervisor began in `directory`. */
  static find(directory: string): Run {
    const file = readMessage(OwnFile, join(directory, "run.json"));
    return new Run(directory, file ?? { ...beforeRuns(directory), base: null });
  }

  /** What a VMM in `directory` starts with, or goes on with: another run, here or on another host, has come to it. */
  static begin(directory: string, file: RunFile): Run {
    return new Run(directory, { ...structuredClone(file), base: null });
  }

  /** All of it as it is now, for whoever goes on with it. */
  file(): RunFile {
    const devices = Object.fromEntries(this.#devices);
    return structuredClone({ started: this.#started, devices, frozen: this.#frozen });
  }

  /** Writes it down; the directory exists. */
  save(): void {
    writeFileDurably(this.#path, JSON.stringify({ ...this.file(), base: this.#base }));
  }

  /** Writes a change down; a run that is over has no directory any more, and needs none. */
  #note(): void {
    try {
      this.save();
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }

  /** What it has from its start, in MiB. */
  get baseMemoryMiB(): number {
    return this.#started.memoryMiB;
  }

  /** With what was added since. */
  get memoryMiB(): number {
    return this.#started.memoryMiB + this.#started.memory.requestedMiB;
  }

  get cpus(): number {
    return this.#started.cpus;
  }

  get hasAgent(): boolean {
    return this.#started.agent;
  }

  get memory(): MemorySettings {
    return this.#started.memory;
  }

  /** Takes note of a change of the running guest's memory. */
  setMemory(change: Partial<MemorySettings>): void {
    Object.assign(this.#started.memory, change);
    this.#note();
  }

  /** See {@linkcode RunFile}. */
  get isFrozen(): boolean {
    return this.#frozen;
  }

  /** Takes note of it: before they are frozen, and once they are thawed. */
  setFrozen(is: boolean): void {
    if (this.#frozen === is) return;
    this.#frozen = is;
    this.#note();
  }

  /** The snapshot since which changes of memory are tracked, if the VMM has not ended that by itself. */
  get base(): string | null {
    return this.#base;
  }

  setBase(snapshot: string | null): void {
    if (this.#base === snapshot) return;
    this.#base = snapshot;
    this.#note();
  }

  get freePorts(): number {
    const used = [...this.#devices.values()].filter((device) => device.at === "port").length;
    return Math.max(0, this.#started.hotplugPorts - used);
  }

  get netIds(): string[] {
    return [...this.#devices.values()].filter(({ kind }) => kind === "net").map(({ id }) => id);
  }

  /** The VMM's name for a disk or a card, with what it has; undefined where it has none. */
  find(id: string): { name: string; device: RunDevice } | undefined {
    for (const [name, device] of this.#devices) if (device.id === id) return { name, device };
    return undefined;
  }

  device(name: string): RunDevice | undefined {
    return this.#devices.get(name);
  }

  attachment(id: string): Attachment | null {
    const found = this.find(id);
    if (found === undefined) return null;
    return this.#leaving.has(found.name) ? "leaving" : found.device.at;
  }

  /** Takes note of a device's new settings. */
  change(id: string, settings: Partial<RunDevice["settings"]>): void {
    Object.assign(this.find(id)!.device.settings, settings);
    this.#note();
  }

  /** The name that the VMM gives to the next device of a kind that is plugged in. */
  nextName(kind: RunDevice["kind"]): string {
    const prefix = kind === "disk" ? "block" : "net";
    for (let n = 0;; n++) if (!this.#devices.has(`${prefix}${n}`)) return `${prefix}${n}`;
  }

  /** Takes note of a device that is in a port, or is about to be. */
  plugged(name: string, device: RunDevice): void {
    this.#devices.set(name, device);
    this.#note();
  }

  /** Whether the guest was asked to let go of a device, and has not done so. */
  setLeaving(name: string, is: boolean): void {
    if (is) this.#leaving.add(name);
    else this.#leaving.delete(name);
  }

  /** Whether the guest is about to let go of this one. */
  leaves(name: string): boolean {
    return this.#leaving.has(name);
  }

  /** Whether the guest is about to let go of something. */
  get isLeaving(): boolean {
    return this.#leaving.size > 0;
  }

  /** Takes note that the VMM has no device of this name any more; what it was. */
  gone(name: string): RunDevice | undefined {
    const device = this.#devices.get(name);
    if (device === undefined) return undefined;
    this.#devices.delete(name);
    this.#leaving.delete(name);
    this.#note();
    return device;
  }

  /** Names of devices in ports that are not among `there`. */
  missing(there: ReadonlySet<string>): string[] {
    return [...this.#devices].filter(([name, { at }]) => at === "port" && !there.has(name))
      .map(([name]) => name);
  }

  /** Fields of `guest` that have other values here, such as "cpus" and "memory.hugePages". */
  pending(guest: GuestRecord): string[] {
    return FIELDS.flatMap((field) => {
      const [is, was] = [guest[field], this.#started[field]];
      if (isDeepStrictEqual(is, was)) return [];
      if (typeof is !== "object" || is === null) return [field];
      return Object.keys(is)
        .filter((key) => !isDeepStrictEqual(Reflect.get(is, key), Reflect.get(was as object, key)))
        .map((key) => `${field}.${key}`);
    });
  }

  /** Whether a disk or a card that is in use has other settings than those it is to have. */
  isPending(of: DiskRecord | NetRecord): boolean {
    const device = this.find(of.id)?.device;
    if (device === undefined) return false;
    const wanted = "mac" in of ? netDevice(of, device.at) : diskDevice(of, device.at);
    return !isDeepStrictEqual(wanted.settings, device.settings);
  }
}

export function diskDevice(disk: DiskRecord, at: RunDevice["at"]): RunDevice {
  return { kind: "disk", id: disk.id, at, settings: DiskSettings.strip().parse(disk) };
}

export function netDevice(net: NetRecord, at: RunDevice["at"]): RunDevice {
  const settings = NetSettings.extend({ mac: z.string() }).strip().parse(net);
  return { kind: "net", id: net.id, at, settings };
}

/**
 * What a supervisor from before there were runs had begun: its guests had at most one disk and one card,
 * which now have the guest's own id.
 */
function beforeRuns(directory: string): RunFile {
  const id = basename(directory);
  const config: GuestConfig = JSON.parse(Deno.readTextFileSync(join(directory, "config.json")));
  const [net] = config.nets;
  return {
    frozen: false,
    started: {
      cpus: config.cpus,
      memoryMiB: config.memoryMiB,
      cpu: CpuSettings.parse({}),
      memory: MemorySettings.parse({}),
      kernel: basename(config.kernel),
      initrd: config.initrd === undefined ? null : basename(config.initrd),
      cmdline: config.cmdline,
      hotplugPorts: 0,
      agent: false,
    },
    devices: {
      ...(config.disks.length > 0 && {
        block0: { kind: "disk", id, at: "boot", settings: DiskSettings.parse({}) },
      }),
      ...(net !== undefined && {
        net0: { kind: "net", id, at: "boot", settings: { ...NetSettings.parse({}), mac: net.mac } },
      }),
    },
  };
}
