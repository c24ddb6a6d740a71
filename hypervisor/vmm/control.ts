/**
 * The control protocol between the supervisor and one VMM process, over a unix stream socket on
 * which the VMM listens: one JSON text per line. A connection carries one {@linkcode Request}; the
 * VMM answers with one {@linkcode Response} line. After the response to `events` the connection
 * carries {@linkcode Event} lines until either side closes it; after the response to `serial` it
 * carries the raw bytes of the guest's serial port both ways, beginning with the last
 * {@linkcode SERIAL_REPLAY_BYTES} that the guest wrote. After the response to `save` it carries
 * {@linkcode SaveMessage} lines, the last of which says how that ended; so it is with `fork` and
 * {@linkcode ForkMessage}.
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
  /** A bzImage, or an ELF vmlinux with a PVH entry (CONFIG_PVH). */
  kernel: string;
  /**
   * A folder where bzImages are kept unpacked, so that a guest does not unpack its kernel at every
   * boot; made if it is missing. Without it, which is the default, a bzImage unpacks itself.
   */
  kernelCache?: string;
  initrd?: string;
  cmdline: string;
  /** MiB, 128 to 1048576. */
  memoryMiB: number;
  /** 1 to 8. */
  cpus: number;
  /** What the CPUs are; the host's, each a core of its own, without. */
  cpu?: CpuConfig;
  disks: DiskConfig[];
  nets: NetConfig[];
  memory?: MemoryConfig;
  /** Present, even if empty: the guest has a balloon, device "balloon0". */
  balloon?: BalloonConfig;
  /** For each vCPU, the host's CPUs that it may run on; an empty list leaves it free. */
  cpuAffinity?: number[][];
  /** 1 to 8 nodes that the guest sees: together all its CPUs and memory. Without, it sees none. */
  numaNodes?: NumaNodeConfig[];
  /**
   * How many disks and network cards can be plugged in while the guest runs: 0 to 8, 0 without. Each
   * port costs the guest a little time at its start.
   */
  hotplugPorts?: number;
  /** /dev/hvc0 in the guest; none without. */
  console?: ConsoleConfig;
  /** /dev/virtio-ports/NAME in the guest, at most 6. */
  ports?: PortConfig[];
  /** Stream sockets between programs of the guest and of the host; none without. */
  vsock?: VsockConfig;
}

export interface ConsoleConfig {
  /** A unix socket that the VMM listens on, for one client at a time. */
  socket: string;
  /** 1 to 1000, 80 without. */
  columns?: number;
  /** 1 to 1000, 25 without. */
  rows?: number;
}

export interface PortConfig {
  /** At most 64 letters, digits and _.:+-; "org.qemu.guest_agent.0" without. */
  name?: string;
  /** A unix socket that the VMM listens on, for one client at a time. */
  socket: string;
}

export interface VsockConfig {
  /** The guest's address, 3 to 4294967294; 3 without. */
  cid?: number;
  /**
   * "user", which is the default: the VMM serves the device, and on the host each end is a unix
   * socket. "vhost": the host's kernel serves it, and on the host each end is an AF_VSOCK socket.
   */
  backend?: "user" | "vhost";
  /**
   * For "user" only: a unix socket that the VMM listens on, at most 96 bytes. Whoever connects says
   * "CONNECT <port>\n" and hears "OK <number>\n" once the guest has accepted. Who listens at this path
   * with "_<port>" behind it is reached by programs of the guest under that port of the host (CID 2).
   */
  socket?: string;
}

/** A device that is plugged into a running guest. */
export type PlugConfig = { disk: DiskConfig } | { net: NetConfig };

export interface CpuConfig {
  /**
   * "host", the default: all that this host's CPU and KVM offer. Or a name under which a CPU is the
   * same on every host of its vendor that can offer it, so that a guest may move: x86-64-v2,
   * x86-64-v3, x86-64-v4, Skylake-Server, Icelake-Server, EPYC, EPYC-Milan.
   */
  model?: string;
  /** By their names in /proc/cpuinfo: true adds one to the model, false takes it away. */
  features?: Record<string, boolean>;
  /** Their product is the number of CPUs. By default one socket of cores with one thread each. */
  topology?: CpuTopologyConfig;
  /** Offers Hyper-V's interface beside KVM's, which makes Windows a better guest; default false. */
  hyperv?: boolean;
  /** Lets the guest run guests of its own (VMX or SVM); default false. */
  nested?: boolean;
}

export interface CpuTopologyConfig {
  /** 1 to 8. */
  sockets: number;
  /** In each socket, 1 to 8. */
  cores: number;
  /** In each core, 1 to 8. */
  threads: number;
}

export interface DiskConfig {
  /** A raw image or a block device; its length must be a multiple of 512 bytes. */
  path: string;
  readonly?: boolean;
  /** VIRTIO_BLK_T_GET_ID, at most 20 ASCII characters. */
  serial?: string;
  /**
   * `cached` (without) keeps what guests read and write in the host's page cache too; `direct` goes past
   * it where the file system can, so that guests do not compete for it.
   */
  cache?: "cached" | "direct";
  /**
   * Whether a write may wait in the host until the guest flushes; true without. The guest's driver can
   * turn it on and off. False makes each write stable before it is answered.
   */
  writeCache?: boolean;
  /** Whether the guest can give blocks back (discard) and zero them; true without. */
  discard?: boolean;
  /** 1 to 16; as many as the guest has CPUs without. */
  queues?: number;
  /** The guest's sectors, in bytes: 512 or 4096; 512 without. */
  blockSizeBytes?: number;
  rateLimit?: RateLimitConfig;
  /**
   * Pins all of the guest's memory so that requests with `cache: "direct"` cost the kernel less; false
   * without. The balloon cannot give such memory back. Without effect where the host's limit on locked
   * memory forbids it.
   */
  pinMemory?: boolean;
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
  /** The name of a tap that exists; one that is to have several queues was made with `multi_queue`. */
  tap: string;
  /** "52:54:00:12:34:56"; unicast. */
  mac: string;
  /**
   * Pairs of queues, 1 to 8. Without: as many as the guest has CPUs, at most 4, and 1 where the tap has
   * no more.
   */
  queues?: number;
  /** Entries of each queue, a power of two from 64 to 1024; 256 without. */
  queueSize?: number;
  /** Bytes of the largest packet, 68 to 65521, for guest and tap; the tap's own without. */
  mtu?: number;
  /** False for a card whose cable is not plugged in yet; true without. */
  linkUp?: boolean;
  /** Frames to the guest; one that stands for several segments counts once. Unlimited without. */
  receiveLimit?: RateLimitConfig;
  /** Frames from the guest, counted likewise. Unlimited without. */
  sendLimit?: RateLimitConfig;
}

/** Where the guest's memory comes from, and what can be added. */
export interface MemoryConfig {
  /**
   * "transparent": pages of 2 MiB where the host finds some and its settings allow it. "2M", "1G": all of
   * it from the host's pool of such pages, of which memoryMiB must be a multiple. "none": of 4 KiB.
   * Default: "transparent", but "none" where it is mergeable; only who asks for it is told where the
   * host's settings do not allow it.
   */
  hugePages?: "transparent" | "2M" | "1G" | "none";
  /**
   * The host may keep one copy of pages with the same content (KSM). No file backs such memory, so it
   * can be neither added to nor handed to another process. Default: false.
   */
  mergeable?: boolean;
  /** How much can be added while the guest runs (device "mem0"), MiB, a multiple of 128. Default: 0. */
  hotplugMiB?: number;
  /** How much of that the guest is to have from the start, MiB. Default: 0. */
  requestedMiB?: number;
  /** The host's NUMA nodes that memory is taken from. Default: wherever a vCPU runs. */
  hostNodes?: number[];
  /** "bind": from hostNodes alone; "preferred": if there is some; "interleave": in turn. Default: bind. */
  hostNodePolicy?: "bind" | "preferred" | "interleave";
}

export interface BalloonConfig {
  /** How much of its memory the guest is asked to give back, MiB, 0 to memoryMiB. Default: 0. */
  targetMiB?: number;
  /** The guest takes memory back rather than kill a process for want of it. Default: true. */
  deflateOnOom?: boolean;
  /** The guest gives back free memory as it becomes free. Default: true. */
  freePageReporting?: boolean;
}

export interface NumaNodeConfig {
  /** vCPU numbers. */
  cpus: number[];
  /** MiB, 32 or more; nodes have the guest's memory in order. */
  memoryMiB: number;
  /** The host's NUMA nodes that it is taken from. */
  hostNodes?: number[];
  /** How far it is to each node: 10 to itself, 11 to 254 to others. All nodes have them, or none. */
  distances?: number[];
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

/**
 * To a VMM that was started with `--wait`: what it is to run. So it has started before, which is what
 * takes a start longest. The response comes once the guest runs, or says why it cannot; then the VMM
 * ends. A guest goes on from a snapshot's directory with `restore`; `identity` and `config` are then as
 * with `main.ts --restore`.
 */
export type RunRequest =
  & {
    op: "run";
    /** Where the control socket's folder has been moved to meanwhile, an absolute path. */
    folder?: string;
  }
  & (
    | { config: GuestConfig; restore?: undefined; fork?: undefined }
    | { config?: GuestConfig; restore: string; identity?: "new" | "same"; fork?: undefined }
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
    }
  );

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
   * Saves the guest to a directory, which does not exist yet: `main.ts --restore` starts another VMM
   * from it. RAM and all state are as at one instant, from which on the guest stands still until its
   * RAM is copied; disks are not copied. One save at a time. Closing the connection before the last
   * line gives it up, and then, as after an error, the guest goes on as before and nothing is left.
   */
  | {
    op: "save";
    /** An absolute path in a directory that exists. */
    directory: string;
    /**
     * With the line `{"held":true}` the instant has been, and the guest stands still, with nothing of
     * its disks in flight, until the client says `{"op":"go"}` on the same connection: time to copy the
     * disks that belong to the snapshot. Default: false.
     */
    hold?: boolean;
    /** The guest stays paused afterwards, until `resume`. Default: false. */
    stay?: boolean;
  }
  /**
   * Makes what other guests can go on from (see {@linkcode RunRequest}), out of this one as it is at an
   * instant. Its RAM is shared from then on, a page at a time until somebody writes to it; it is copied
   * only where this guest itself goes on from a fork or a snapshot. With `hold` as in `save`. Closing the
   * connection before the last line gives it up, and then, as after an error, the guest goes on as
   * before. Nobody who goes on from there depends on this VMM, nor it on them.
   */
  | { op: "fork"; hold?: boolean }
  /** Gives the guest a new VM generation id, on which it reseeds its random numbers. */
  | { op: "new_generation" }
  | RunRequest;

export interface Status {
  version: number;
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
}

export type Response =
  | { ok: true; status: Status }
  /** To `devices`: by their names. */
  | { ok: true; devices: Record<string, Record<string, unknown>> }
  /** To `plug`: the device's name. */
  | { ok: true; plugged: string }
  | { ok: false; error: string };

/** What follows the response to `save`. */
export type SaveMessage =
  | {
    saving: { phase: "copying" | "digesting" | "syncing"; doneBytes: number; totalBytes: number };
  }
  | { held: true }
  /** The directory is there and will be after a power cut. */
  | { saved: string }
  | { error: string };

/** What follows the response to `fork`. */
export type ForkMessage =
  | { held: true }
  /** The guest goes on. With this line come two descriptors: its state, and its RAM's content. */
  | { forked: { pausedMs: number; copiedBytes: number } }
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
