/**
 * The part of the control protocol (`control.ts`) by which a guest is copied or given away.
 *
 * @module
 */

import type { PauseFigures } from "./snapshot/pause_parts.ts";

/**
 * Saves the guest to a directory, which does not exist yet: `main.ts --restore` starts another VMM from
 * it. All is as at one instant; disks are not copied. RAM is written while the guest runs, in rounds, until
 * what is left fits the pause that is allowed; where changes of RAM cannot be tracked, while it stands
 * still. One save, send or fork at a time. Closing the connection before the last line gives it up, and
 * then, as after an error, the guest goes on as before and nothing is left.
 */
export interface SaveRequest {
  op: "save";
  /** An absolute path in a directory that exists. */
  directory: string;
  /**
   * With the line `{"held":true}` the instant has been, and the guest stands still, with nothing of its
   * disks in flight, until the client says `{"op":"go"}` on the same connection: time to copy the disks
   * that belong to the snapshot. Default: false.
   */
  hold?: boolean;
  /**
   * With the line `{"ready":true}` all of RAM is written that does not fit the pause, and the guest runs on
   * until the client says `{"op":"go"}`: time to have it make itself ready for the instant. What it changes
   * meanwhile makes the pause longer. Default: false.
   */
  ask?: boolean;
  /** The guest stays paused afterwards, until `resume`. Default: false. */
  stay?: boolean;
  /**
   * What writing the last of RAM may take, 0 to 60000; the rest of the pause comes on top. A guest that
   * changes its memory too fast for that is stopped for longer. Default: 50.
   */
  allowedPauseMs?: number;
  /**
   * The directory of the last save of this very run, which was made with `track`. Its RAM is shared where
   * the file system can do that, and only what has changed since is written. Both are complete by
   * themselves. Where it is another, the request is refused.
   */
  base?: string;
  /** Changes go on being tracked, which costs the guest some, so that this can be a base. Default: false. */
  track?: boolean;
}

/**
 * Sends the guest to another VMM, which was told to `receive` it. RAM goes while the guest runs, as with
 * {@linkcode SaveRequest}; then it stops, the rest follows, and exactly one of the two runs it from there
 * on: see vmm/migrate/send.ts. One save, send or fork at a time. Closing the connection gives it up as
 * long as that can be, and then, as after an error, the guest goes on here. After the last line this VMM
 * ends, with the reason "migrated". That the guest is given away is in `handed_over.json` beside the control
 * socket before the other VMM is told: where that file is, the guest is not to be started again here.
 */
export interface SendRequest {
  op: "send";
  /** The unix socket to connect to. What goes through it is up to those between: it is not encrypted. */
  socket: string;
  /**
   * With the line `{"held":true}` the guest stands still, with nothing of its disks in flight, and is given
   * away once the client says `{"op":"go"}`: time to bring the disks over. Default: false.
   */
  hold?: boolean;
  /** As with a save. */
  allowedPauseMs?: number;
  /** While the guest runs, as they go through the socket, 1 to 10^12. As many as there can be without. */
  bytesPerSecond?: number;
  /** By then the guest has stopped, or it is given up; 1 to 10^9. For ever without. */
  timeoutMs?: number;
  /**
   * The vCPUs of a guest that changes its memory as fast as it is sent are slowed down: by 20 percent more
   * after each two rounds that did not get on, up to 95. They run at full speed again however it ends.
   * Default: false.
   */
  slowDown?: boolean;
  /**
   * A guest that changes its memory as fast as it is sent is stopped for longer than allowed; with
   * `slowDown`, where that was not enough. Default: false.
   */
  force?: boolean;
  /**
   * A guest that changes its memory as fast as it is sent is let go there before its memory, which follows it:
   * with `slowDown`, where that was not enough. Then, until the last line, it is lost if either of the two VMMs
   * or what is between them goes away: the other ends it, and here it is paused for good, until `kill`. Where the
   * other VMM cannot have it so, it is sent as without, and given up when it does not get on, which says why.
   * Default: false.
   */
  postCopy?: boolean;
  /**
   * Whether RAM is packed, by zstd, for a VMM that can unpack it; one of an earlier release gets it as it is. With
   * "zstd", all pages that shrink are; with "auto", only while what is behind the socket is what holds the send
   * up, and packing them does not hold it up more. Default: "none".
   */
  compress?: "zstd" | "auto" | "none";
}

/**
 * Makes what other guests can go on from (see {@linkcode RunRequest}), out of this one as it is at an
 * instant. Its RAM is shared from then on, a page at a time until somebody writes to it; it is copied only
 * where this guest itself goes on from a fork or a snapshot. One save, send or fork at a time. Closing the
 * connection before the last line gives it up, and then, as after an error, the guest goes on as before.
 * Nobody who goes on from there depends on this VMM, nor it on them.
 */
export interface ForkRequest {
  op: "fork";
  /** As with a save. Default: false. */
  hold?: boolean;
}

/**
 * Hands the guest over to another VMM of this host, one of another version, which was told to take it
 * (`run` with `upgrade`). RAM is not copied, but for what of it is in no file; TCP connections live on; those
 * who are connected to a socket of the guest's are sent away. One save, send, fork or upgrade at a time. Closing
 * the connection gives it up as long as that can be, and then, as after an error, the guest goes on here: see
 * vmm/upgrade/. After the last line this VMM ends, with the reason "upgraded".
 */
export interface UpgradeRequest {
  op: "upgrade";
  /** The unix socket at which the other listens. */
  socket: string;
}

/** A part of a disk, in bytes. */
export type DiskRange = readonly [offset: number, length: number];

/** A disk whose changes are tracked. */
export interface TrackedDisk {
  path: string;
  /** Nothing of it changes. */
  readonly: boolean;
  sizeBytes: number;
}

/** What has changed of a disk, each range once. */
export interface ChangedRanges {
  /** Written, zeroed, discarded or new; at most as many as fit an answer. */
  ranges: DiskRange[];
  /** How many bytes have changed that these ranges do not have: 0, or there is more to ask for at once. */
  leftBytes: number;
  /** The disk's size now. */
  sizeBytes: number;
}

/** What follows the response to `save`. */
export type SaveMessage =
  | {
    saving: {
      /** "copying": RAM is written, while the guest runs or stands still. Then it runs again. */
      phase: "copying" | "settling" | "syncing";
      /** Bytes of RAM that were written, and how many it will be by what is known. */
      doneBytes: number;
      totalBytes: number;
      /** Passes over RAM that have begun, and what is left of the last of these at most. */
      rounds: number;
      remainingBytes: number;
      /** What goes through now, and what the guest changed during the round before; bytes a second. */
      bytesPerSecond: number;
      changedBytesPerSecond: number;
      /** How much less than all of the time its vCPUs run. */
      slowedPercent: number;
    };
  }
  | { ready: true }
  | { held: true }
  /** The directory is there and will be after a power cut. */
  | {
    saved: string;
    /** How long the guest stood still. */
    pauseMs: number;
    rounds: number;
    /** What was written of RAM. */
    bytes: number;
    /** What the pause went into, in milliseconds. */
    parts?: PauseFigures;
    /** Why RAM could not be written while the guest ran; absent where it was. */
    stoodStill?: string;
  }
  | { error: string };

/** What follows the response to `send`. */
export type SendMessage =
  | {
    sending: {
      /** "post-copying": the guest runs there, and `remainingBytes` of its memory are to follow. */
      phase: "greeting" | "moving" | "asking" | "holding" | "giving" | "post-copying";
      /** Bytes of RAM, and in how many bytes they went through the socket: fewer where they are packed. */
      doneBytes: number;
      wireBytes: number;
      totalBytes: number;
      rounds: number;
      remainingBytes: number;
      bytesPerSecond: number;
      changedBytesPerSecond: number;
      slowedPercent: number;
    };
  }
  | { held: true }
  | {
    /** The hand-over, as the other VMM has it too. */
    sent: string;
    /** Whether the other VMM has said that it runs the guest. Where not, it may have to be told. */
    isHeard: boolean;
    pauseMs: number;
    rounds: number;
    /** As with a save. */
    parts?: PauseFigures;
    /** Of RAM, and in how many they went through the socket. */
    bytes: number;
    wireBytes: number;
    stoodStill?: string;
    /** How much of that followed the guest. */
    followedBytes?: number;
    /**
     * The guest is lost, and runs nowhere: its memory did not all come there, and so many bytes of it at least
     * are only here. With 0 all was sent, and it may run: the other VMM did not say that all came. This VMM has it
     * paused for good, and ends when it is told to.
     */
    missingBytes?: number;
  }
  | { error: string };

/** What follows the response to `fork`. */
export type ForkMessage =
  | { held: true }
  /** The guest goes on. With this line come two descriptors: its state, and its RAM's content. */
  | { forked: { pausedMs: number; copiedBytes: number } }
  | { error: string };

/** What follows the response to `upgrade`. */
export type UpgradeMessage =
  | {
    upgrading: {
      phase: "greeting" | "moving" | "asking" | "giving";
      doneBytes: number;
      totalBytes: number;
    };
  }
  | {
    /** The hand-over, as the other VMM has it too. */
    upgraded: string;
    /** How long the guest stood still, until the other said that it runs it. */
    pauseMs: number;
    rounds: number;
    /** What was copied of RAM. */
    bytes: number;
    stoodStill?: string;
  }
  | { error: string };
