/**
 * What two hosts that know each other say: each connection begins with one {@linkcode Request}.
 *
 * @module
 */
import * as z from "zod";
import { MOST_DISKS, MOST_NETS } from "../api/schemas.ts";
import { Id, ImageName } from "../api/names.ts";
import { PROBE_NAME, PROBE_NONCE, SIGHTS } from "../shared/probe.ts";
import { TOKEN } from "../shared/token.ts";
import { Parcel } from "./parcel.ts";
import { SnapshotParcel } from "./snapshot_parcel.ts";
import type { PeerChannel } from "./channel.ts";
import { parsed } from "./channel.ts";
import { PeerError } from "./frames.ts";

/** Longer messages are cut: they end up in errors for people. */
const Message = z.string().transform((text) => text.slice(0, 2000));
const Bytes = z.number().int().min(0).max(2 ** 52);
const Sha256 = z.string().regex(/^[0-9a-f]{64}$/);

/** What a host tells of itself. */
export const Facts = z.strictObject({
  name: z.string().min(1).max(255).regex(/^[\x21-\x7e]+$/),
  version: z.string().max(100),
  cpuModel: z.string().max(200),
  memoryFreeMiB: z.int().min(0),
  diskFreeMiB: z.int().min(0),
});
export type Facts = z.output<typeof Facts>;

/** A kernel or an initrd that the guest's next start needs. */
export const ImageOffer = z.strictObject({
  kind: z.enum(["kernel", "initrd"]),
  name: ImageName,
  bytes: Bytes.min(1),
  sha256: Sha256,
});
export type ImageOffer = z.output<typeof ImageOffer>;

/** More than anybody keeps of one guest. */
const MOST_SNAPSHOTS = 1000;
/** Those of the guest, and of its snapshots. */
const MOST_IMAGES = 100;

/** Snapshots that come with a guest. */
export const SnapshotsOffer = z.strictObject({
  count: z.int().min(0).max(MOST_SNAPSHOTS),
  /** The one that the guest comes from. */
  current: Id.nullable(),
  /** What they take where nothing shares its blocks. */
  dataBytes: Bytes,
  /** What they and the guest's disks take together at the least, where copies of a disk share blocks. */
  sharedBytes: Bytes,
});
export type SnapshotsOffer = z.output<typeof SnapshotsOffer>;

/** What a guest's VMM says to the one that is to have it. */
const Versions = z.strictObject({ protocol: z.int().min(1), format: z.int().min(1) });

/** Storage that a host sees, and that it has just written to, for the other to see that, too. */
export const StoreProof = z.strictObject({
  token: z.string().regex(TOKEN),
  probe: z.string().regex(PROBE_NAME),
  nonce: z.string().regex(PROBE_NONCE),
});
export type StoreProof = z.output<typeof StoreProof>;
/** More than a host has. */
const StoreProofs = z.array(StoreProof).max(32);

/** All that a host looks at before it says whether it takes a guest. */
export const MoveOffer = z.strictObject({
  /**
   * What control sockets of VMMs speak there, which is between them and that host alone. Hosts from before
   * `speaks` was said want a 1 here.
   */
  control: z.int().optional(),
  /** 1 of each, which hosts from before do not say, where nothing is said. */
  speaks: Versions.default({ protocol: 1, format: 1 }),
  parcel: Parcel,
  /** Where disks are that stay where they are; absent where none does, as hosts did not always know of it. */
  stores: StoreProofs.min(1).optional(),
  /** In the record's order; those that stay where they are have no data to send. */
  disks: z.array(z.strictObject({ bytes: Bytes, dataBytes: Bytes })).max(MOST_DISKS),
  images: z.array(ImageOffer).max(MOST_IMAGES),
  snapshots: SnapshotsOffer,
  cpu: z.strictObject({
    vendor: z.string().max(100),
    features: z.array(z.string().max(40)).max(200),
  }),
});
export type MoveOffer = z.output<typeof MoveOffer>;
/** As it is said: what a host need not say may be left out. */
export type OfferMade = z.input<typeof MoveOffer>;

export const SettledState = z.enum([
  ...["running", "stopped", "dropped", "undecided", "unknown", "lost", "aside"] as const,
]);
/**
 * What became of a guest at the host that it was sent to. `lost`: it has the guest, as somebody said there
 * that the other host was gone; `aside`: it has what it does not run any more, as somebody said so of it.
 */
export type SettledState = z.output<typeof SettledState>;

export const Request = z.discriminatedUnion("op", [
  z.strictObject({ op: z.literal("facts") }),
  z.strictObject({ op: z.literal("forget") }),
  /** What the other host sees of storage; asked where there is any. A host of before does not know of it. */
  z.strictObject({ op: z.literal("stores"), stores: StoreProofs }),
  /** Begins a move; {@linkcode MoveRequest}s and frames of files follow. */
  z.strictObject({ op: z.literal("move"), move: Id, offer: MoveOffer }),
  /** Raw bytes follow: this connection is the one between the two VMMs. */
  z.strictObject({ op: z.literal("memory"), move: Id }),
  /** Whose the guest is, said by the host that it comes from; null where that does not know. */
  z.strictObject({
    op: z.literal("settle"),
    move: Id,
    owner: z.enum(["sender", "receiver"]).nullable(),
    /** Somebody said that the sender has it, and that whoever hears this was gone. */
    isSaid: z.boolean(),
  }),
  /** The sender knows how it ended, and will not ask again. */
  z.strictObject({ op: z.literal("heard"), move: Id }),
]);
export type Request = z.output<typeof Request>;

/**
 * What is asked on the connection of a move, in turn. Files are numbered: disks, then images, then those of
 * the snapshot that comes just now.
 */
export const MoveRequest = z.discriminatedUnion("op", [
  z.strictObject({ op: z.literal("ping") }),
  /**
   * All images have come; the files of a snapshot follow. Copies of disks that the one before it has may
   * begin as that: the answer says which do.
   */
  z.strictObject({ op: z.literal("snapshot"), snapshot: SnapshotParcel }),
  /** All of it has come; what its files' contents are, in order. */
  z.strictObject({ op: z.literal("snapshot_end"), sha256: z.array(Sha256).max(100) }),
  /** The guest's disks may begin as they are in the snapshot that it comes from; the answer says which do. */
  z.strictObject({ op: z.literal("disks") }),
  /** All images and snapshots have come; a VMM is to wait for the guest. */
  z.strictObject({ op: z.literal("await") }),
  /** All of the disks has come, and the guest is to be kept, but not yet as this host's. */
  z.strictObject({ op: z.literal("seal") }),
]);
export type MoveRequest = z.output<typeof MoveRequest>;

/** Which files, by their numbers, begin as copies of others: only what differs is to come. */
export const SharedAnswer = z.strictObject({ shared: z.array(z.int().min(0)).max(100) });

/** What is seen of each storage, in the order in which it was asked. */
export const StoresAnswer = z.strictObject({ seen: z.array(z.enum(SIGHTS)).max(32) });

export const Done = z.strictObject({});
/** The numbers of those files that are images and are wanted. */
export const MoveAnswer = z.strictObject({ wanted: z.array(z.int().min(0)).max(MOST_IMAGES) });
export const SettleAnswer = z.strictObject({ state: SettledState });

export const MOST_CARDS = MOST_NETS;

/** The other host understood what it was asked and does not do it. */
export class PeerRefusal extends Error {
  override readonly name = "PeerRefusal";
}

/** Asks, and gets what is answered. Throws a {@linkcode PeerRefusal} where the other does not do it. */
export async function ask<T>(
  channel: PeerChannel,
  request: z.input<typeof Request> | z.input<typeof MoveRequest>,
  { answer, withinMs }: { answer: z.ZodType<T>; withinMs: number },
): Promise<T> {
  await channel.say(request);
  return await answered(channel, { answer, withinMs });
}

/** The answer to what was asked last. */
export async function answered<T>(
  channel: PeerChannel,
  { answer, withinMs }: { answer: z.ZodType<T>; withinMs: number },
): Promise<T> {
  const said = await channel.hear(z.union([Ok, Refused]), withinMs);
  if ("refused" in said) throw new PeerRefusal(said.refused);
  return parsed(answer, said.ok);
}

const Ok = z.strictObject({ ok: z.unknown() });
const Refused = z.strictObject({ refused: Message });

/** Does what was asked, and tells what came of it; an error is told and thrown. */
export async function answer(channel: PeerChannel, act: () => unknown): Promise<void> {
  let ok: unknown;
  try {
    ok = await act() ?? {};
  } catch (error) {
    if (!(error instanceof PeerError)) {
      const message = error instanceof Error ? error.message : String(error);
      await channel.say({ refused: message.slice(0, 2000) });
      await channel.end();
    }
    throw error;
  }
  await channel.say({ ok });
}
