/**
 * Limits and choices that the API's schemas and its clients' pages share; small enough for a page
 * that does not want the schemas.
 *
 * @module
 */

/** How many disks and network cards a guest can have, and how many ports to plug them into. */
export const MOST_DISKS = 16;
export const MOST_NETS = 8;
export const MOST_PORTS = 8;
/** One for the card that a guest starts with, one for a disk and one for another card. */
export const DEFAULT_PORTS = 3;

export const MOST_CPUS = 8;
/** As many CPUs of a host as Linux's sets here have room for. */
export const MOST_HOST_CPUS = 1024;

/**
 * `host` is all that the host's CPU offers; under another name a guest sees the same CPU on every
 * host of the vendor that can offer it.
 */
export const CPU_MODELS = [
  "host",
  "x86-64-v2",
  "x86-64-v3",
  "x86-64-v4",
  "Skylake-Server",
  "Icelake-Server",
  "EPYC",
  "EPYC-Milan",
] as const;

export const HUGE_PAGES = ["auto", "transparent", "2M", "1G", "none"] as const;

/** Pages out of a pool that the host has set aside, and that stay whole: their size in MiB. */
export const POOLS: Partial<Record<string, number>> = { "2M": 2, "1G": 1024 };

/**
 * Whether the running guest has a device, and how:
 *
 * - `boot`: since its start, and until it stops
 * - `port`: in a hot-plug port
 * - `leaving`: in a hot-plug port, and the guest was asked to let go of it
 */
export const ATTACHMENTS = ["boot", "port", "leaving"] as const;
export type Attachment = typeof ATTACHMENTS[number];

/** What Linux adds at a time. */
export const HOTPLUG_STEP_MIB = 128;
const MOST_BLOCKS = 16384;

/** In steps of what memory can be added, MiB. */
export function addedStepMiB(hotplugMiB: number): number {
  let step = 2;
  while (hotplugMiB / step > MOST_BLOCKS) step *= 2;
  return step;
}

/** Whether a guest with such memory has a balloon: pages of a pool cannot be given back. */
export function hasBalloon({ hugePages }: { hugePages: string }): boolean {
  return POOLS[hugePages] === undefined;
}

/** What a guest's cloud-init disk can have at most: bytes of UTF-8, and characters of a key. */
export const CLOUD_INIT_MOST = {
  userDataBytes: 64 * 1024,
  networkConfigBytes: 16 * 1024,
  sshKeys: 16,
  sshKeyCharacters: 4096,
} as const;

/** How many keys may log in to the host by SSH; its server reads no longer lines. */
export const HOST_SSH_MOST = { keys: 64, keyCharacters: 4000 } as const;

/** How many guests can be made at once of one. */
export const MOST_FORKS = 256;

/**
 * What becomes of the network cards of a guest that goes on from another's memory, whose system has the
 * other's addresses:
 *
 * - `replug`: each is taken out and a new one put in, with an address of its own
 * - `down`: their links are down
 * - `up`: they are as the other's, and the system sees to it itself
 */
export const FORK_NETWORKS = ["replug", "down", "up"] as const;
export type ForkNetwork = typeof FORK_NETWORKS[number];

/** What becomes of a guest when the host ends: see shutdown_schemas.ts. */
export const AT_SHUTDOWN = ["save", "shutdown"] as const;

/** Long work: see task_schemas.ts. */
export const TASK_KINDS = [
  ...["snapshot", "revert", "fork", "move", "upgrade", "install"] as const,
  ...["save", "restore"] as const,
] as const;
export const TASK_STATES = ["running", "done", "failed", "cancelled"] as const;

/** Whether a guest's memory is compressed on its way to another host: see move_schemas.ts. */
export const MOVE_COMPRESSION = ["auto", "zstd", "none"] as const;

/** How many bytes of memory went as one; null where that is hardly more than one, or not known. */
export function factorOf(
  sent: { memoryBytes: number; wireBytes: number } | null,
): number | null {
  if (sent === null || sent.wireBytes === 0) return null;
  const factor = sent.memoryBytes / sent.wireBytes;
  return factor < 1.05 ? null : factor;
}

/** Of the places in which guests start with the host. */
export const LAST_PLACE = 999;
/** For which a guest lets those wait that start after it. */
export const MOST_DELAY_SECONDS = 3600;
