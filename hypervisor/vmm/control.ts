/**
 * The control protocol between the supervisor and one VMM process, over a unix stream socket on
 * which the VMM listens: one JSON text per line. A connection carries one {@linkcode Request}; the
 * VMM answers with one {@linkcode Response} line. After the response to `events` the connection
 * carries {@linkcode Event} lines until either side closes it; after the response to `serial` it
 * carries the raw bytes of the guest's serial port both ways, beginning with the last
 * {@linkcode SERIAL_REPLAY_BYTES} that the guest wrote. After the response to `save` it carries
 * {@linkcode SaveMessage} lines, the last of which says how that ended; so it is with `send` and
 * {@linkcode SendMessage}, with `fork` and {@linkcode ForkMessage}, and with `upgrade` and
 * {@linkcode UpgradeMessage}.
 *
 * This file, with the configuration's types, is all that the supervisor shares with the VMM.
 *
 * @module
 */
import type { GuestConfig, PlugConfig } from "./guest_config.ts";

/** Bumped when a supervisor of one version could misunderstand a VMM of another. */
export const CONTROL_VERSION = 1;

/** How much of the guest's serial output a VMM keeps for those who connect later, in bytes. */
export const SERIAL_REPLAY_BYTES = 256 * 1024;

/** The longest line that either side accepts, in bytes; a longer one closes the connection. */
export const MAX_LINE_BYTES = 64 * 1024;

export type * from "./guest_config.ts";

/** How a VMM ends; the process's exit code tells them apart. */
export const EXIT_CODES = {
  /** The guest powered off, or was told to end. */
  poweroff: 0,
  /** A VMM that could not be started for a reason on the host, such as no /dev/kvm. */
  host: 1,
  /** The configuration was refused before anything ran; also a bad command line. */
  refused: 2,
  /** The guest's CPU reached a state from which it cannot go on (triple fault, KVM internal error). */
  crash: 3,
  /** The guest asked for a reset; whoever started the VMM starts it again. */
  reboot: 4,
  /** The guest was given to another VMM, and is not to be started again here. */
  migrated: 5,
  /** The guest goes on in another VMM of this host, whose the folder is now: this one leaves no word in it. */
  upgraded: 6,
} as const;

export type ExitReason = keyof typeof EXIT_CODES;

export type VmmState = "running" | "stopping";

/**
 * To a VMM that was started with `--wait`: what it is to run. So it has started before, which is what
 * takes a start longest. The response comes once the guest runs, or says why it cannot; then the VMM
 * ends. A guest goes on from a snapshot's directory with `restore`; `identity` and `config` are then as
 * with `main.ts --restore`, and `config` may have, in `plugged`, what the devices stand on that were
 * plugged in. With `receive` the VMM listens on that unix socket for one that sends its guest
 * ({@linkcode SendRequest}), and `identity` is "same" without; with `upgrade` for one of this host
 * ({@linkcode UpgradeRequest}), and once the guest is its own, it moves its control socket to the folder
 * `becomes`, over the other's.
 */
export type RunRequest =
  & {
    op: "run";
    /** Where the control socket's folder has been moved to meanwhile, an absolute path. */
    folder?: string;
  }
  & (
    | {
      config: GuestConfig;
      restore?: undefined;
      receive?: undefined;
      fork?: undefined;
      upgrade?: undefined;
    }
    | {
      config?: GuestConfig & { plugged?: Record<string, PlugConfig> };
      restore: string;
      identity?: "new" | "same";
      /**
       * It stands still and touches none of its disks until `resume`: time to write down that it goes on.
       * `held` in its status tells. Default: false.
       */
      hold?: boolean;
      receive?: undefined;
      fork?: undefined;
      upgrade?: undefined;
    }
    | {
      config?: GuestConfig;
      receive: string;
      identity?: "new" | "same";
      restore?: undefined;
      fork?: undefined;
      upgrade?: undefined;
    }
    /**
     * The guest goes on from where another was forked, whose two descriptors come along (SCM_RIGHTS), as
     * the answer to `fork` brought them; any number of guests may. The configuration is the same but for
     * what is on the host: another name, other disks, taps and sockets, and MAC addresses, which a driver
     * finds after its next reset. It has, by their names, also what the other had plugged in.
     */
    | {
      config: GuestConfig & { plugged?: Record<string, PlugConfig> };
      fork: true;
      restore?: undefined;
      receive?: undefined;
      upgrade?: undefined;
    }
    | {
      config?: undefined;
      upgrade: string;
      becomes?: string;
      restore?: undefined;
      receive?: undefined;
      fork?: undefined;
    }
  );

/** How far a VMM is with a guest that it is to receive: see vmm/migrate/receiver.ts. */
export type ReceivingPhase =
  | "listening"
  | "greeting"
  | "receiving"
  | "building"
  | "ready"
  | "undecided"
  | "taken";

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
  /** While the guest runs, 1 to 10^12. As many as there can be without. */
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

export type Request =
  | { op: "status" }
  /** Presses the ACPI power button. */
  | { op: "power_button" }
  /** Ends the guest at once. */
  | { op: "kill" }
  | { op: "events" }
  | { op: "serial" }
  /** What each device tells of itself. */
  | { op: "devices" }
  /** Changes a device of the running guest, such as "block0"; what can be changed is the device's. */
  | { op: "change"; device: string; change: Record<string, unknown> }
  /** Puts a disk or a network card into a free hot-plug port of the running guest. */
  | { op: "plug"; device: PlugConfig }
  /**
   * Asks the guest to let go of a device that was plugged in; the event `unplugged` tells when it has.
   * With `force` the device is taken out at once, and what the guest has not written to it is lost.
   */
  | { op: "unplug"; device: string; force?: boolean }
  /** Stops the vCPUs between two instructions; devices finish what they have begun. */
  | { op: "pause" }
  | { op: "resume" }
  /**
   * Keeps in mind which parts of the guest's disks change, for whoever copies them while it runs: of all
   * disks, and of those that are plugged in from then on. With `on` once more it begins anew. First `on`,
   * then all of a disk is copied, then what has changed, for as long as that gets less. While `send`
   * or `save` holds the guest nothing of its disks is in flight: what is asked for then is the last.
   */
  | { op: "track_disks"; on: boolean }
  /** Takes what has changed of a disk, such as "block0", since it was last asked for. */
  | { op: "disk_changes"; device: string }
  /** Has ranges count as changed that were taken and could not be copied. */
  | { op: "return_disk_changes"; device: string; ranges: DiskRange[] }
  | SaveRequest
  | SendRequest
  | ForkRequest
  | UpgradeRequest
  /**
   * To a VMM that has a guest ready and lost the sender before it was told whether the guest is its own
   * ("undecided"): it is, for the sender's `handed_over.json` names this hand-over.
   */
  | { op: "take_over"; handOver: string }
  /** Gives the guest a new VM generation id, on which it reseeds its random numbers. */
  | { op: "new_generation" }
  | RunRequest;

export interface Status {
  version: number;
  /** The release of the VMM's program. */
  program: string;
  pid: number;
  name: string;
  /** "waiting": no guest runs yet, see {@linkcode RunRequest}. */
  state: VmmState | "waiting";
  /** When the guest's first instruction ran, milliseconds since the epoch; 0 where none has. */
  startedAt: number;
  cpus: number;
  memoryMiB: number;
  /** Why the vCPUs do not run; absent while they do. */
  pausedFor?: string;
  /** It is to go on from a snapshot, and nothing of it has run yet: see {@linkcode RunRequest}. */
  held?: true;
  /** While a guest is being received. */
  receiving?: { phase: ReceivingPhase; handOver?: string };
}

export type Response =
  | { ok: true; status: Status }
  /** To `devices`: by their names. */
  | { ok: true; devices: Record<string, Record<string, unknown>> }
  /** To `track_disks`, with `on`: by the devices' names. */
  | { ok: true; disks: Record<string, TrackedDisk> }
  /** To `disk_changes`. */
  | { ok: true; changes: ChangedRanges }
  /** To `plug`: the device's name. */
  | { ok: true; plugged: string }
  | { ok: false; error: string };

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
  | { held: true }
  /** The directory is there and will be after a power cut. */
  | {
    saved: string;
    /** How long the guest stood still. */
    pauseMs: number;
    rounds: number;
    /** What was written of RAM. */
    bytes: number;
    /** Why RAM could not be written while the guest ran; absent where it was. */
    stoodStill?: string;
  }
  | { error: string };

/** What follows the response to `send`. */
export type SendMessage =
  | {
    sending: {
      phase: "greeting" | "moving" | "asking" | "holding" | "giving";
      doneBytes: number;
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
    bytes: number;
    stoodStill?: string;
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

export type Event =
  | { event: "state"; state: VmmState }
  /** The vCPUs were stopped, by somebody or because the host cannot serve a device. */
  | { event: "paused"; reason: string }
  | { event: "resumed" }
  /** A device was taken out of its hot-plug port, and nothing of it is open any more. */
  | { event: "unplugged"; device: string }
  /** The last line before the VMM closes its socket and exits. */
  | { event: "exit"; reason: ExitReason; message: string };
