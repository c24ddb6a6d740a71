/**
 * The control protocol between the supervisor and one VMM process, over a unix stream socket on
 * which the VMM listens: one JSON text per line. A connection carries one {@linkcode Request}; the
 * VMM answers with one {@linkcode Response} line. After the response to `events` the connection
 * carries {@linkcode Event} lines until either side closes it; after the response to `serial` it
 * carries the raw bytes of the guest's serial port both ways, beginning with the last
 * {@linkcode SERIAL_REPLAY_BYTES} that the guest wrote.
 *
 * This file is all that the supervisor shares with the VMM.
 *
 * @module
 */

/** Bumped when a supervisor of one version could misunderstand a VMM of another. */
export const CONTROL_VERSION = 1;

/** How much of the guest's serial output a VMM keeps for those who connect later, in bytes. */
export const SERIAL_REPLAY_BYTES = 256 * 1024;

/** The longest line that either side accepts, in bytes; a longer one closes the connection. */
export const MAX_LINE_BYTES = 64 * 1024;

/** What to run: the same for the command line and for the supervisor. Paths are absolute. */
export interface GuestConfig {
  /** Shown in errors and as the process's title. */
  name: string;
  /** bzImage. */
  kernel: string;
  initrd?: string;
  cmdline: string;
  /** MiB, 128 to 1048576. */
  memoryMiB: number;
  /** 1 to 8. */
  cpus: number;
  disks: DiskConfig[];
  nets: NetConfig[];
}

export interface DiskConfig {
  /** A raw image or a block device; its length must be a multiple of 512 bytes. */
  path: string;
  readonly?: boolean;
  /** VIRTIO_BLK_T_GET_ID, at most 20 ASCII characters. */
  serial?: string;
}

/** What a disk or a network card may do; what is absent is unlimited. */
export interface RateLimitConfig {
  /** 1 to 10^12. */
  operationsPerSecond?: number;
  /** How many may pass at once after a pause, 1 to 10^12; a tenth of a second's worth without. */
  operationsBurst?: number;
  /** 1 to 10^12. */
  bytesPerSecond?: number;
  /** How many may pass at once after a pause, 1 to 10^12; a tenth of a second's worth without. */
  bytesBurst?: number;
}

export interface NetConfig {
  /** The name of a tap that exists. */
  tap: string;
  /** "52:54:00:12:34:56"; unicast. */
  mac: string;
}

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
} as const;

export type ExitReason = keyof typeof EXIT_CODES;

export type VmmState = "running" | "stopping";

export type Request =
  | { op: "status" }
  /** Presses the ACPI power button. */
  | { op: "power_button" }
  /** Ends the guest at once. */
  | { op: "kill" }
  | { op: "events" }
  | { op: "serial" };

export interface Status {
  version: number;
  pid: number;
  name: string;
  state: VmmState;
  /** When the guest's first instruction ran, milliseconds since the epoch. */
  startedAt: number;
  cpus: number;
  memoryMiB: number;
}

export type Response =
  | { ok: true; status: Status }
  | { ok: false; error: string };

export type Event =
  | { event: "state"; state: VmmState }
  /** The last line before the VMM closes its socket and exits. */
  | { event: "exit"; reason: ExitReason; message: string };
