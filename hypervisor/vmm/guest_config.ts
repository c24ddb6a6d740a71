/**
 * What a VMM is told to run: the types, for whoever says so. What is wrong with one is found in `config/`.
 *
 * @module
 */

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
   * How many disks and network cards can be plugged in at a time: 0 to 8, 0 without. Each port costs the
   * guest a little time at its start.
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

/**
 * What a guest is to start with: also what is in its hot-plug ports as it does, the first in the first port. By
 * their names: "block" or "net", and a number that no device of `disks` or `nets` has by its place there.
 */
export type StartConfig = GuestConfig & { plugged?: Record<string, PlugConfig> };

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
