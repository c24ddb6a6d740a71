/**
 * The host's disks, and the pool that its data lie on.
 *
 * @module
 */
import * as z from "zod";

/** More than a host of this kind has; what is beyond is not told. */
export const MOST_HOST_DISKS = 64;
export const MOST_PARTITIONS = 128;

export const DISK_BUSES = ["nvme", "sata", "sas", "usb", "virtio", "mmc", "other"] as const;

/** What a person types to name a disk: its serial number, or what stands for it. */
const DiskWord = z.string().min(1).max(128);

export const StoragePartition = z.strictObject({
  number: z.int(),
  /** As the partition table has it. */
  name: z.string(),
  firstByte: z.number(),
  bytes: z.number(),
  /** What is on it, for a person, such as "ext4 file system “home”"; null where nothing is known. */
  content: z.string().nullable(),
  /** What uses it now, for a person; else null. */
  use: z.string().nullable(),
});

export const Smart = z.strictObject({
  /** ISO 8601, UTC. */
  at: z.string(),
  /** The disk's own word: null where it gives none. */
  passed: z.boolean().nullable(),
  temperatureCelsius: z.number().nullable(),
  powerOnHours: z.number().nullable(),
  /** Of flash, how much of its life is used up; may be over 100. */
  wearPercent: z.number().nullable(),
  /** Sectors that were exchanged for spare ones, and those that wait to be. */
  reallocatedSectors: z.number().nullable(),
  pendingSectors: z.number().nullable(),
  mediaErrors: z.number().nullable(),
  /** What is wrong, for a person. */
  warnings: z.array(z.string()),
});

export const StorageDisk = z.strictObject({
  /** "sda": another one after each start, perhaps. */
  name: z.string(),
  model: z.string().nullable(),
  serial: z.string().nullable(),
  /** The World Wide Name, EUI-64 or UUID that the disk gives itself. */
  wwn: z.string().nullable(),
  /** What is typed to confirm that this disk is meant: its serial number where it has one. */
  confirm: DiskWord,
  bytes: z.number(),
  sectorBytes: z.int(),
  bus: z.enum(DISK_BUSES),
  rotational: z.boolean(),
  removable: z.boolean(),
  readonly: z.boolean(),
  /** Whether the system was started from it, and whether the pool is on it. */
  isBoot: z.boolean(),
  isData: z.boolean(),
  /** Changes with what is on the disk, so that nothing is done to another than was looked at. */
  revision: z.string(),
  /** What is on the disk as a whole, without partitions, for a person; else null. */
  content: z.string().nullable(),
  /** Nothing at all is on it. */
  isBlank: z.boolean(),
  partitions: z.array(StoragePartition),
  /** Why it cannot be written over; null where it can. */
  inUse: z.string().nullable(),
  /** As it told last; null where it tells nothing, or has not been asked yet. */
  smart: Smart.nullable(),
});

export const MEMBER_STATES = ["in-sync", "rebuilding", "failed", "missing"] as const;

export const PoolMember = z.strictObject({
  /** The disk's name now; null for one that is missing. */
  disk: z.string().nullable(),
  state: z.enum(MEMBER_STATES),
});

export const POOL_KINDS = ["none", "plain", "mirror"] as const;

export const Scrub = z.strictObject({
  schedule: z.enum(["monthly", "off"]),
  /** The last that came to its end; null where none has. */
  last: z.strictObject({
    at: z.string(),
    /** Sectors of 512 bytes that were not the same on both disks. */
    mismatchedSectors: z.number(),
  }).nullable(),
  /** When the next is due, on the host's clock; null where none is. */
  nextAt: z.string().nullable(),
});

export const Pool = z.strictObject({
  /** `none`: data are in memory; `plain`: a file system without what a mirror needs. */
  kind: z.enum(POOL_KINDS),
  bytes: z.number(),
  /** One of a pool on one disk, two of a mirror. */
  members: z.array(PoolMember),
  /** What is going on between the disks. */
  sync: z.strictObject({
    kind: z.enum(["rebuild", "scrub", "repair"]),
    doneBytes: z.number(),
    totalBytes: z.number(),
    bytesPerSecond: z.number(),
    secondsLeft: z.number().nullable(),
  }).nullable(),
  scrub: Scrub,
  /** Why no disk can be added; null where one can. */
  refusal: z.string().nullable(),
  /** What a disk must have for data at least to be added. */
  neededBytes: z.number(),
});

export const Installation = z.strictObject({
  state: z.enum(["running", "done", "failed", "cancelled"]),
  /** The disk's name and what it is confirmed by. */
  disk: z.string(),
  confirm: DiskWord,
  phase: z.string(),
  doneBytes: z.number(),
  totalBytes: z.number(),
  canCancel: z.boolean(),
  error: z.string().nullable(),
});

export const HostStorage = z.strictObject({
  disks: z.array(StorageDisk),
  pool: Pool,
  /** What somebody has to see to, for a person. */
  alarms: z.array(z.string()),
  installation: Installation.nullable(),
});

/** The disk that is to be written over. */
export const DiskTarget = z.strictObject({
  /** Its name, what confirms it and its revision, as it was listed. */
  disk: z.string().regex(/^[a-z0-9]{1,32}$/, "must be a disk's name such as sda"),
  confirm: DiskWord,
  revision: z.string().min(1).max(64),
});

/** The disk that is to leave the mirror; both null for one that is missing already. */
export const RemoveMember = z.strictObject({
  disk: DiskTarget.shape.disk.nullable(),
  confirm: DiskWord.nullable(),
});

export const StorageSettings = z.strictObject({
  scrub: Scrub.shape.schedule,
});

export type StoragePartition = z.output<typeof StoragePartition>;
export type Smart = z.output<typeof Smart>;
export type StorageDisk = z.output<typeof StorageDisk>;
export type DiskBus = typeof DISK_BUSES[number];
export type PoolMember = z.output<typeof PoolMember>;
export type Pool = z.output<typeof Pool>;
export type Scrub = z.output<typeof Scrub>;
export type Installation = z.output<typeof Installation>;
export type HostStorage = z.output<typeof HostStorage>;
export type DiskTarget = z.output<typeof DiskTarget>;
export type RemoveMember = z.output<typeof RemoveMember>;
export type StorageSettings = z.output<typeof StorageSettings>;
