/**
 * The API's bodies. Requests are checked with these schemas, the OpenAPI document is generated from
 * them, and the console and the command line take their types from here.
 *
 * @module
 */
import * as z from "zod";
import { GUEST_STATES } from "./actions.ts";

export const Id = z.string().regex(/^[0-9A-HJKMNP-TV-Z]{26}$/, "must be a ULID");

export const GuestName = z.string()
  .regex(
    /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/,
    "must be 1 to 63 of a-z, 0-9 and '-', and begin and end with a letter or digit",
  );

/** An image's name within its kind; it is a file name on the data partition. */
export const ImageName = z.string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/,
    "must be 1 to 100 of A-Z, a-z, 0-9, '.', '_' and '-', and begin with a letter or digit",
  );

export const MacAddress = z.string().regex(
  /^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/,
  "must be a unicast MAC address",
);

/** The kernel's command line: one line that the boot protocol can carry. */
export const Cmdline = z.string().max(2047)
  .regex(/^[\t\x20-\x7e]*$/, "must be one line of printable ASCII");

export const GuestCreate = z.strictObject({
  name: GuestName,
  cpus: z.int().min(1).max(8).default(1),
  memoryMiB: z.int().min(64).max(1024 * 1024).default(512),
  /** Names of images of the kinds kernel and initrd. */
  kernel: ImageName,
  initrd: ImageName.nullable().default(null),
  cmdline: Cmdline.default("console=ttyS0 root=/dev/vda rw"),
  /** The guest's own disk: a copy (reflink) of a disk image, or an empty one; grown to sizeMiB. */
  disk: z.strictObject({
    image: ImageName.nullable().default(null),
    sizeMiB: z.int().min(1).max(64 * 1024 * 1024).nullable().default(null),
  }).refine((disk) => disk.image !== null || disk.sizeMiB !== null, {
    message: "must name an image, or give sizeMiB for an empty disk",
  }).nullable().default(null),
  /** Whether it has a NIC on the host's bridge. */
  network: z.boolean().default(true),
  autostart: z.boolean().default(false),
});

/** Takes what `GuestCreate` takes, each field optional, less those fixed at creation. */
export const GuestUpdate = z.strictObject({
  name: GuestName.optional(),
  cpus: z.int().min(1).max(8).optional(),
  memoryMiB: z.int().min(64).max(1024 * 1024).optional(),
  kernel: ImageName.optional(),
  initrd: ImageName.nullable().optional(),
  cmdline: Cmdline.optional(),
  network: z.boolean().optional(),
  autostart: z.boolean().optional(),
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
  kernel: ImageName,
  initrd: ImageName.nullable(),
  cmdline: z.string(),
  diskMiB: z.int().nullable(),
  /** The disk image it was made from. */
  diskImage: ImageName.nullable(),
  network: z.boolean(),
  mac: MacAddress,
  autostart: z.boolean(),
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
  /** Why no guest can run here, for a person; null where they can. */
  kvmProblem: z.string().nullable(),
  addresses: z.array(z.string()),
  startedAt: z.string(),
});

/** Asks every guest to stop; for the host's power-off, so only over the local socket. */
export const HostShutdown = z.strictObject({
  /** How long guests may take after their power buttons were pressed; then they are ended. */
  limitSeconds: z.int().min(0).max(3600).default(60),
});
/** One line of the answer to a `HostShutdown`, sent on every change; `done` on the last. */
export const HostShutdownProgress = z.strictObject({
  done: z.boolean(),
  /** Names of guests that still run. */
  running: z.array(z.string()),
  /** Names of guests that had to be ended. */
  forced: z.array(z.string()),
});

/**
 * `guest.json` of a folder that the supervisor imports at its start: a guest and the files, beside
 * it, from which the images that it names are made.
 */
export const SeedGuest = GuestCreate.extend({
  /** What the kernel's image is to be called; else it takes the file's name. */
  kernel: ImageName.optional(),
  files: z.strictObject({
    kernel: ImageName,
    initrd: ImageName.nullable().default(null),
    disk: ImageName.nullable().default(null),
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
  snapshot: z.strictObject({ host: Host, guests: z.array(Guest) }),
  guest: Guest,
  guest_deleted: z.strictObject({ id: Id }),
  host: Host,
} as const;

export type GuestCreate = z.input<typeof GuestCreate>;
export type GuestUpdate = z.input<typeof GuestUpdate>;
export type Guest = z.output<typeof Guest>;
export type Image = z.output<typeof Image>;
export type ImageKind = z.output<typeof ImageKind>;
export type HostShutdownProgress = z.output<typeof HostShutdownProgress>;
export type Host = z.output<typeof Host>;
export type SessionInfo = z.output<typeof SessionInfo>;
export type Problem = z.output<typeof Problem>;
