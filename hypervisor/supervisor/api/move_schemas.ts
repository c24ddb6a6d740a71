/**
 * Bodies about other hosts, and about guests that move there or to another VMM.
 *
 * @module
 */
import * as z from "zod";
import { MOVE_COMPRESSION } from "./limits.ts";
import { GuestName, HostAddress, Id } from "./names.ts";

/** Another host that guests can move to and come from. */
export const Peer = z.strictObject({
  id: Id,
  /** What it calls itself. */
  name: z.string(),
  /** Where it listens for other hosts. */
  address: HostAddress,
  /** SHA-256 of its certificate, in hex; it must have this one for ever. */
  fingerprint: z.string().regex(/^[0-9a-f]{64}$/),
  /** Whether it answered lately; what is wrong where it did not, for a person. */
  reachable: z.boolean(),
  problem: z.string().nullable(),
  version: z.string().nullable(),
  cpuModel: z.string().nullable(),
  memoryFreeMiB: z.int().nullable(),
  diskFreeMiB: z.int().nullable(),
  pairedAt: z.string(),
});

/** What another host is told, so that it may pair with this one: once, and not for long. */
export const PairingOffer = z.strictObject({
  code: z.string(),
  expiresAt: z.string(),
  /** Where this host may be reached. */
  addresses: z.array(HostAddress),
});

export const PeerAdd = z.strictObject({
  /** Host name or IP address, with the port where it is not the usual one. */
  address: HostAddress,
  /** The other host's pairing code; case and dashes do not matter. */
  code: z.string().min(1).max(200),
});

export const MoveGuest = z.strictObject({
  peer: Id,
  /** At most, bytes a second on the network; null for as many as there can be. */
  bytesPerSecond: z.int().min(1).nullable().default(null),
  /** The guest is stopped for the last of its memory once that fits so long. */
  allowedPauseMs: z.int().min(1).max(60_000).default(300),
  /** Given up, with the guest where it was, unless it has moved by then. */
  withinSeconds: z.int().min(1).max(86_400).default(3600),
  /** What becomes of one that changes its memory faster than it can be sent: its CPUs are slowed, ... */
  slowDown: z.boolean().default(true),
  /** ... and then, where that is not enough, it is stopped for longer than allowed. */
  force: z.boolean().default(false),
  /** Its memory follows page by page after it has moved. It is lost if either host fails meanwhile. */
  postCopy: z.boolean().default(false),
  /**
   * Whether its memory is compressed on the way, where the other host understands that: `auto` while the
   * network is what holds it up, `zstd` all that shrinks, `none` not at all. Its disks go as they are.
   */
  compress: z.enum(MOVE_COMPRESSION).default("auto"),
  /** Its snapshots do not go along: they are deleted here once it has moved. */
  withoutSnapshots: z.boolean().default(false),
});

/** A move of which one host has not heard yet whose the guest is. */
export const UnsettledMove = z.strictObject({
  id: Id,
  guest: Id,
  guestName: z.string(),
  peer: Id,
  /** What the other host calls itself; null where this one has forgotten it. */
  peerName: z.string().nullable(),
  /** Whether the guest was to leave this host, or to come to it. */
  direction: z.enum(["leaving", "coming"]),
  /**
   * - `unknown`: the other host has yet to say whose the guest is, which runs nowhere until then, or there
   * - `said`: somebody has said so in its place; it is told once it answers
   * - `aside`: the other host has the guest, as somebody said there that this one was gone; what is here of
   *   it does not run any more: delete it, or fork it to keep what it has
   */
  state: z.enum(["unknown", "said", "aside"]),
});

export const ResolveMove = z.strictObject({
  /**
   * `here`: the other host is gone for good, and the guest is this host's. `there`: it is the other host's,
   * and what is here of it is deleted.
   */
  runs: z.enum(["here", "there"]),
  /** The guest's name once more: whoever is wrong loses what the guest has done since, or all of it. */
  confirm: GuestName,
});

export type Peer = z.output<typeof Peer>;
export type UnsettledMove = z.output<typeof UnsettledMove>;
export type ResolveMove = z.input<typeof ResolveMove>;
export type PairingOffer = z.output<typeof PairingOffer>;
export type PeerAdd = z.input<typeof PeerAdd>;
export type MoveGuest = z.input<typeof MoveGuest>;
