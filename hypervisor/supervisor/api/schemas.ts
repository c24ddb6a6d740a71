/**
 * The API's bodies. Requests are checked with these schemas, the OpenAPI document is generated from
 * them, and the console and the command line take their types from here.
 *
 * @module
 */
import * as z from "zod";
import { GUEST_STATES } from "./actions.ts";
import { AtShutdown, StartOrder } from "./shutdown_schemas.ts";
import { CloudInitCreate, CloudInitFacts, CloudInitUpdate } from "./cloud_init_schemas.ts";
import { Crash } from "./crash_schemas.ts";
import { Disk, DiskCreate, Net, NetCreate } from "./device_schemas.ts";
import { Figures } from "./figure_schemas.ts";
import { DEFAULT_PORTS, MOST_DISKS, MOST_NETS, MOST_PORTS } from "./limits.ts";
import {
  Cpus,
  CpuSettings,
  CpuUpdate,
  machineIssues,
  MemoryMiB,
  MemorySettings,
  MemoryUpdate,
} from "./machine_schemas.ts";
import { Cmdline, GuestName, Id, ImageName, StoreName } from "./names.ts";
import { Peer, UnsettledMove } from "./move_schemas.ts";
import { SnapshotTree } from "./snapshot_schemas.ts";
import { HostStorage } from "./storage_schemas.ts";
import { Task, TaskPoint } from "./task_schemas.ts";
import { HostUpdateView } from "./update_routes.ts";

export * from "./cloud_init_schemas.ts";
export * from "./crash_schemas.ts";
export * from "./device_schemas.ts";
export * from "./figure_schemas.ts";
export * from "./host_update.ts";
export * from "./health_schemas.ts";
export * from "./limits.ts";
export * from "./log_schemas.ts";
export * from "./machine_schemas.ts";
export * from "./move_schemas.ts";
export * from "./names.ts";
export * from "./network_schemas.ts";
export * from "./shutdown_schemas.ts";
export * from "./snapshot_schemas.ts";
export * from "./ssh_schemas.ts";
export * from "./storage_schemas.ts";
export * from "./task_schemas.ts";
export { HostUpdateView, PullUpdate, RestartHost, UpdatePull } from "./update_routes.ts";

const HotplugPorts = z.int().min(0).max(MOST_PORTS);

const guestFields = z.strictObject({
  name: GuestName,
  cpus: Cpus.default(1),
  memoryMiB: MemoryMiB.default(512),
  cpu: CpuSettings.prefault({}),
  memory: MemorySettings.prefault({}),
  /** Names of images of the kinds kernel and initrd. */
  kernel: ImageName,
  initrd: ImageName.nullable().default(null),
  cmdline: Cmdline.default("console=ttyS0 root=/dev/vda rw"),
  /** The first is /dev/vda. */
  disks: z.array(DiskCreate).max(MOST_DISKS).default([])
    .refine(hasOwnNames, "must have names of their own"),
  nets: z.array(NetCreate).max(MOST_NETS).prefault([{}])
    .refine(hasOwnAddresses, "must have addresses of their own"),
  /** How many disks and network cards can be in hot-plug ports: cards from its start, and what comes later. */
  hotplugPorts: HotplugPorts.default(DEFAULT_PORTS),
  /** Whether it has a channel to a guest agent, which tells addresses and the system's name. */
  agent: z.boolean().default(true),
  /** What a disk with the label `cidata` tells its system, the last at its start; null for no such disk. */
  cloudInit: CloudInitCreate.nullable().default(null),
  autostart: z.boolean().default(false),
  /** What becomes of it when the host ends; null for what the host has for all. */
  atShutdown: AtShutdown.nullable().default(null),
  /** When the host starts it, beside others; null for last, with all that have none. */
  startOrder: StartOrder.nullable().default(null),
});

function hasOwn<T>(list: readonly T[], name: (it: T) => string | undefined): boolean {
  const names = list.map(name).filter((it) => it !== undefined);
  return new Set(names).size === names.length;
}

function hasOwnNames(disks: readonly { name?: string }[]): boolean {
  return hasOwn(disks, ({ name }) => name);
}

function hasOwnAddresses(nets: readonly { mac?: string }[]): boolean {
  return hasOwn(nets, ({ mac }) => mac);
}

export const GuestCreate = guestFields.superRefine((guest, context) => {
  for (const { path, message } of machineIssues(guest)) {
    context.addIssue({ code: "custom", path: path.split("."), message });
  }
});

/**
 * Takes what `GuestCreate` takes, each field optional; disks and network cards have routes of their
 * own. What a running guest cannot change applies at its next start, which `pending` tells.
 */
export const GuestUpdate = z.strictObject({
  name: GuestName,
  cpus: Cpus,
  memoryMiB: MemoryMiB,
  cpu: CpuUpdate,
  memory: MemoryUpdate,
  kernel: ImageName,
  initrd: ImageName.nullable(),
  cmdline: Cmdline,
  hotplugPorts: HotplugPorts,
  agent: z.boolean(),
  /** Null takes its disk away. */
  cloudInit: CloudInitUpdate.nullable(),
  autostart: z.boolean(),
  atShutdown: AtShutdown.nullable(),
  startOrder: StartOrder.nullable(),
}).partial();

/** What the agent in a guest tells. */
export const AgentFacts = z.strictObject({
  /** The operating system, such as "Debian GNU/Linux 13 (trixie)". */
  os: z.string().nullable(),
  /** Addresses by which the guest may be reached. */
  addresses: z.array(z.string()),
});

export const Guest = z.strictObject({
  id: Id,
  name: GuestName,
  state: z.enum(GUEST_STATES),
  /** Why it is `failed`, for a person; else null. */
  error: z.string().nullable(),
  /** Why its CPUs wait though it is up, for a person, such as a full disk of the host; else null. */
  pausedFor: z.string().nullable(),
  cpus: z.int(),
  memoryMiB: z.int(),
  cpu: CpuSettings,
  memory: MemorySettings,
  kernel: ImageName,
  initrd: ImageName.nullable(),
  cmdline: z.string(),
  disks: z.array(Disk),
  nets: z.array(Net),
  hotplugPorts: z.int(),
  /** How many of its ports take another device; null while it is not up. */
  freePorts: z.int().nullable(),
  agent: z.boolean(),
  /** Null where no agent answers. */
  agentFacts: AgentFacts.nullable(),
  /** Null where it has no disk for that. */
  cloudInit: CloudInitFacts.nullable(),
  autostart: z.boolean(),
  atShutdown: AtShutdown.nullable(),
  startOrder: StartOrder.nullable(),
  /** The release of the VMM that it runs in; null where it is not up, or its VMM does not say. */
  vmmVersion: z.string().nullable(),
  /** Whether that is another release than the one that is installed. */
  upgradeAvailable: z.boolean(),
  /** The snapshot whose memory its next start goes on from; null where it boots. */
  resumesFrom: Id.nullable(),
  /** When its memory was saved as the host ended, from which its next start goes on; else null. */
  savedAt: z.string().nullable(),
  /** Fields, such as "memory.hugePages", in which it runs with other values than these. */
  pending: z.array(z.string()),
  /** ISO 8601, UTC. */
  createdAt: z.string(),
  startedAt: z.string().nullable(),
});

export const StopGuest = z.strictObject({
  /** false presses the power button; true ends the guest at once. */
  force: z.boolean().default(false),
});

export const IMAGE_KINDS = ["kernel", "initrd", "disk"] as const;
export const ImageKind = z.enum(IMAGE_KINDS);
export const Image = z.strictObject({
  kind: ImageKind,
  name: ImageName,
  sizeBytes: z.int(),
  createdAt: z.string(),
  /** Names of the guests that use it; such an image cannot be deleted. */
  usedBy: z.array(GuestName),
});

/** Storage that other hosts see too, mounted on this one. */
export const HostStore = z.strictObject({
  name: StoreName,
  directory: z.string(),
  /** Why it cannot be used now, for a person; null where it can be. */
  problem: z.string().nullable(),
  /** 0 where it cannot be used. */
  sizeMiB: z.int(),
  freeMiB: z.int(),
});

export const Host = z.strictObject({
  name: z.string(),
  version: z.string(),
  kernel: z.string(),
  cpuModel: z.string(),
  cpus: z.int(),
  memoryMiB: z.int(),
  memoryFreeMiB: z.int(),
  diskMiB: z.int(),
  diskFreeMiB: z.int(),
  /** Network interfaces that cards of guests can be put into. */
  bridges: z.array(z.string()),
  /** Why no guest can run here, for a person; null where they can. */
  kvmProblem: z.string().nullable(),
  addresses: z.array(z.string()),
  /** Where disks can be that stay where they are when their guests move. */
  stores: z.array(HostStore),
  /** What becomes of guests when the host ends that start with it, unless they have a choice of their own. */
  atShutdown: AtShutdown,
  startedAt: z.string(),
});

/**
 * `guest.json` of a folder that the supervisor imports at its start: a guest and the files, beside
 * it, from which the images that it names are made.
 */
export const SeedGuest = guestFields.extend({
  /** What the kernel's image is to be called; else it takes the file's name. */
  kernel: ImageName.optional(),
  files: z.strictObject({
    kernel: ImageName,
    initrd: ImageName.nullable().default(null),
    /** What is on the first disk. */
    disk: ImageName.nullable().default(null),
    /** Texts for cloud-init. */
    userData: ImageName.nullable().default(null),
    networkConfig: ImageName.nullable().default(null),
  }),
});

export const Setup = z.strictObject({
  /** The one-time code on the host's screen; case and dashes do not matter. */
  code: z.string().min(1).max(64),
  /** At least 10 characters. */
  password: z.string().min(10).max(1024),
});
export const Login = z.strictObject({ password: z.string().min(1).max(1024) });
export const SessionInfo = z.strictObject({
  setupNeeded: z.boolean(),
  signedIn: z.boolean(),
  /** Sent back as the header `x-csrf-token` with every request that changes something; null when not signed in. */
  csrfToken: z.string().nullable(),
});

export const Problem = z.strictObject({
  /** Stable, for programs: "not_found", "invalid_body", "name_taken", "wrong_state" ... */
  code: z.string(),
  /** For people: what was being done, with what, and what to do. */
  message: z.string(),
  /** One per wrong field of a body: a path such as "disk.sizeMiB". */
  fields: z.array(z.strictObject({ path: z.string(), message: z.string() })).optional(),
});

/** On the event stream: `event: NAME`, `data: JSON`. First comes one `snapshot`. */
export const Events = {
  snapshot: z.strictObject({
    host: Host,
    guests: z.array(Guest),
    /** Those under way, and those that ended lately. */
    tasks: z.array(Task),
    /** As it was last told; null where the disks are not ours, or nobody has looked yet. */
    storage: HostStorage.nullable(),
  }),
  guest: Guest,
  guest_deleted: z.strictObject({ id: Id }),
  host: Host,
  /** Of each guest that runs, every few seconds. */
  figures: Figures,
  task: Task,
  /** The next of a task's points. */
  task_point: TaskPoint.extend({ task: Id }),
  /** A guest's snapshots are other ones now. */
  snapshots: SnapshotTree,
  peers: z.array(Peer),
  /** What crashed is more, or less, now. */
  crashes: z.array(Crash),
  /** Moves that are not settled are other ones now. */
  moves: z.array(UnsettledMove),
  /** The host's disks or its pool are other ones now, or in another state. */
  storage: HostStorage,
  /** The host's systems are other ones now, or an update has gone on. */
  update: HostUpdateView,
} as const;

export type GuestCreate = z.input<typeof GuestCreate>;
export type GuestUpdate = z.input<typeof GuestUpdate>;
export type Guest = z.output<typeof Guest>;
export type AgentFacts = z.output<typeof AgentFacts>;
export type Image = z.output<typeof Image>;
export type ImageKind = z.output<typeof ImageKind>;
export type Host = z.output<typeof Host>;
export type HostStore = z.output<typeof HostStore>;
export type SessionInfo = z.output<typeof SessionInfo>;
export type Problem = z.output<typeof Problem>;
