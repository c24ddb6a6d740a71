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
 * This file, with the types and versions that it has from others, is all that the supervisor shares with the VMM.
 *
 * @module
 */
import type {
  ChangedRanges,
  DiskRange,
  ForkRequest,
  SaveRequest,
  SendRequest,
  TrackedDisk,
  UpgradeRequest,
} from "./control_copies.ts";
import type { GuestConfig, PlugConfig, StartConfig } from "./guest_config.ts";
import type { Spoken } from "./spoken_versions.ts";

/** Bumped when a supervisor of one version could misunderstand a VMM of another. */
export const CONTROL_VERSION = 1;

/** How much of the guest's serial output a VMM keeps for those who connect later, in bytes. */
export const SERIAL_REPLAY_BYTES = 256 * 1024;

/** The longest line that either side accepts, in bytes; a longer one closes the connection. */
export const MAX_LINE_BYTES = 64 * 1024;

export * from "./spoken_versions.ts";
export type * from "./control_copies.ts";
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
 * ends. In `plugged`, a configuration may have what is in hot-plug ports from the guest's start, by the
 * names that the VMM is to give them, the first in the first port. A guest goes on from a snapshot's directory with `restore`; `identity` and `config` are then as
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
      config: StartConfig;
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
  /** What it says to a VMM that its guest is sent to; 1 of each where one of before there was a choice says nothing. */
  speaks?: Spoken;
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

export type Event =
  | { event: "state"; state: VmmState }
  /** The vCPUs were stopped, by somebody or because the host cannot serve a device. */
  | { event: "paused"; reason: string }
  | { event: "resumed" }
  /** A device was taken out of its hot-plug port, and nothing of it is open any more. */
  | { event: "unplugged"; device: string }
  /** The last line before the VMM closes its socket and exits. */
  | { event: "exit"; reason: ExitReason; message: string };
