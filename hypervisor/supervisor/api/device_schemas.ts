/**
 * Disks and network cards of guests. Their limits are the VMM's.
 *
 * @module
 */
import * as z from "zod";
import { ATTACHMENTS } from "./limits.ts";
import { DiskName, Id, ImageName, InterfaceName, MacAddress, StoreName } from "./names.ts";

const Rate = z.int().min(1).max(1e12);

/** What a disk or a network card may do; what is left out is unlimited. */
export const RateLimit = z.strictObject({
  operationsPerSecond: Rate.optional(),
  /** How many may pass at once after a pause; a tenth of a second's worth by default. */
  operationsBurst: Rate.optional(),
  bytesPerSecond: Rate.optional(),
  /** How many may pass at once after a pause; a tenth of a second's worth by default. */
  bytesBurst: Rate.optional(),
}).superRefine((limit, context) => {
  for (const kind of ["operations", "bytes"] as const) {
    if (limit[`${kind}Burst`] === undefined || limit[`${kind}PerSecond`] !== undefined) continue;
    context.addIssue({
      code: "custom",
      path: [`${kind}Burst`],
      message: `needs ${kind}PerSecond beside it`,
    });
  }
});

/** What every device of a guest tells beside its settings. */
const standing = {
  /** Null where no running guest has it. */
  attached: z.enum(ATTACHMENTS).nullable(),
  /** The running guest has it with other settings than these, which apply at its next start. */
  restartNeeded: z.boolean(),
};

const sizeMiB = z.int().min(1).max(64 * 1024 * 1024);

const disk = {
  /** The guest can only read it. */
  readonly: z.boolean(),
  /** `direct` goes past the host's page cache. */
  cache: z.enum(["cached", "direct"]),
  /** Whether a write may wait in the host until the guest flushes. */
  writeCache: z.boolean(),
  rateLimit: RateLimit.nullable(),
};

/** What of a disk can be chosen, besides its name, its size and its content. */
export const DiskSettings = z.strictObject({
  readonly: disk.readonly.default(false),
  cache: disk.cache.default("cached"),
  writeCache: disk.writeCache.default(true),
  rateLimit: disk.rateLimit.default(null),
});

/** A disk of a guest's own: a copy (reflink) of a disk image, or an empty one; grown to sizeMiB. */
export const DiskCreate = DiskSettings.extend({
  /** By default "disk", or "disk-2" and so on. */
  name: DiskName.optional(),
  image: ImageName.nullable().default(null),
  sizeMiB: sizeMiB.nullable().default(null),
  /** One of the host's stores, for good; null for its own data partition. */
  store: StoreName.nullable().default(null),
}).refine((disk) => disk.image !== null || disk.sizeMiB !== null, {
  message: "must name an image, or give sizeMiB for an empty disk",
});

/** Size and rate limit of a disk that is in use change at once; the rest at the next start. */
export const DiskUpdate = z.strictObject({
  ...disk,
  name: DiskName,
  /** Disks grow and do not shrink. */
  sizeMiB,
}).partial();

export const Disk = z.strictObject({
  id: Id,
  name: DiskName,
  sizeMiB: z.int(),
  /** The disk image that it was made from. */
  image: ImageName.nullable(),
  /** The store on which it is, by the host's name for it; null for the host's own data partition. */
  store: StoreName.nullable(),
  ...disk,
  ...standing,
});

const net = {
  /** The host's bridge that it is in; null for the host's own choice. */
  bridge: InterfaceName.nullable(),
  /** Whether its cable is plugged in. */
  linkUp: z.boolean(),
  /** Bytes of the largest packet; null for the bridge's usual 1500. */
  mtu: z.int().min(68).max(65521).nullable(),
  /** Pairs of queues; null for one for each CPU, at most 4. */
  queues: z.int().min(1).max(8).nullable(),
  /**
   * Whether it is in a hot-plug port from the guest's start, as far as there are ports: then it can be taken
   * out while the guest runs, and forks have cards of their own. The guest sees it at another place than a
   * card that is in none, and may call it by another name.
   */
  inPort: z.boolean(),
  receiveLimit: RateLimit.nullable(),
  sendLimit: RateLimit.nullable(),
};

/** What of a network card can be chosen, besides its address. */
export const NetSettings = z.strictObject({
  bridge: net.bridge.default(null),
  linkUp: net.linkUp.default(true),
  mtu: net.mtu.default(null),
  queues: net.queues.default(null),
  /** What a guest from before there was a choice has, whose system knows its card by its place. */
  inPort: net.inPort.default(false),
  receiveLimit: net.receiveLimit.default(null),
  sendLimit: net.sendLimit.default(null),
});

export const NetCreate = NetSettings.extend({
  inPort: net.inPort.default(true),
  /** One that no other card here has, made at random by default. */
  mac: MacAddress.optional(),
});

/** Link and limits of a card that is in use change at once; the rest at the next start. */
export const NetUpdate = z.strictObject({ ...net, mac: MacAddress }).partial();

export const Net = z.strictObject({ id: Id, mac: MacAddress, ...net, ...standing });

export const Unplug = z.strictObject({
  /** Takes the device out at once: what the guest has not written to a disk is lost. */
  force: z.boolean().default(false),
});

/** The name that a disk gets which has none: one that is free. */
export function freeDiskName(disks: readonly { name?: string }[]): string {
  const taken = new Set(disks.map(({ name }) => name));
  if (!taken.has("disk")) return "disk";
  for (let n = 2;; n++) if (!taken.has(`disk-${n}`)) return `disk-${n}`;
}

export type RateLimit = z.output<typeof RateLimit>;
export type DiskSettings = z.output<typeof DiskSettings>;
export type DiskCreate = z.input<typeof DiskCreate>;
export type DiskUpdate = z.input<typeof DiskUpdate>;
export type Disk = z.output<typeof Disk>;
export type NetSettings = z.output<typeof NetSettings>;
export type NetCreate = z.input<typeof NetCreate>;
export type NetUpdate = z.input<typeof NetUpdate>;
export type Net = z.output<typeof Net>;
