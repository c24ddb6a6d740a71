/**
 * Where a guest's RAM comes from on the host: which pages, whose node, and what else may be added.
 *
 * @module
 */
import { SysError } from "../sys/errno.ts";
import { bufferAt, map, memfd } from "../sys/mapping.ts";
import { adviseHugePages, adviseMergeable, type MPOL, protect } from "../sys/memory_advice.ts";
import { readAt } from "../sys/positioned_io.ts";
import { readPseudoFile } from "../sys/pseudo_files.ts";
import { dataRanges } from "../sys/sparse.ts";
import type { Arena } from "./arena.ts";
import { blockBytesFor, HOTPLUG_ALIGN, HotplugRegion, type HotplugSpec } from "./hotplug.ts";
import { GuestMemory, HOLE_END, ramRegions } from "./memory.ts";
import { bindRam, finishCopy } from "./ram_copy.ts";

const MiB = 2 ** 20;
const HUGE_PAGE_BYTES = { "2M": 2 * MiB, "1G": 1024 * MiB } as const;
const TRANSPARENT = "/sys/kernel/mm/transparent_hugepage";
/** Read at once; a call takes 2 GiB at most. */
const READ_BYTES = 256 * MiB;
const KSM_RUN = "/sys/kernel/mm/ksm/run";

export interface RamOptions {
  /** Bytes of RAM, a multiple of 4096. */
  length: number;
  /** Bytes that can be added, 0 for none. */
  hotplugLength?: number;
  /**
   * "transparent": of 2 MiB where the host finds them. "2M", "1G": of the host's pool. "none": of 4 KiB.
   * Transparent ones without, and it is no matter whether the host has any; none if mergeable.
   */
  hugePages?: "transparent" | "2M" | "1G" | "none";
  /** The host may keep one copy of pages with the same content, of all guests that allow it. */
  mergeable?: boolean;
  /** The host's NUMA nodes for ranges of RAM; that of RAM's end is also that of what is added. */
  bindings?: readonly RamBinding[];
  /** The file that it is in already, and that others may have mapped as well; a new one without. */
  fd?: number;
}

export interface RamBinding {
  /** Bytes from the beginning of RAM. */
  offset: number;
  length: number;
  nodes: readonly number[];
  policy: keyof typeof MPOL;
}

/** How RAM is mapped, for every thread to make a {@linkcode GuestMemory} of; passes by structured clone. */
export interface MemorySpec {
  address: number;
  length: number;
  viewAddress?: number;
  private?: boolean;
  /** A private copy of the file behind it, of which a page is made when it is first written. */
  copied?: boolean;
  /** Of the host's pool of huge pages. */
  pooled?: boolean;
  hotplug?: HotplugSpec;
  /** The file behind it: for a snapshot, or to hand it on. Private memory has none. */
  fd?: number;
}

/** How long the mapping of RAM is, with what can be added. */
export function mappedLength({ length, hotplug }: Pick<MemorySpec, "length" | "hotplug">): number {
  return hotplug === undefined ? length : hotplug.offset + hotplug.length;
}

/** Where added memory lies: as high as it must to be aligned, above RAM. */
export function hotplugSpec(length: number, hotplugLength: number): HotplugSpec {
  const regions = ramRegions(length);
  const last = regions[regions.length - 1];
  const end = Math.max(last.guest + last.length, HOLE_END);
  const blockBytes = blockBytesFor(hotplugLength);
  return {
    guest: roundUp(end, HOTPLUG_ALIGN),
    offset: roundUp(length, blockBytes),
    length: hotplugLength,
    blockBytes,
  };
}

function roundUp(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}

/**
 * Maps RAM; throws a RangeError or {@linkcode SysError} that says what the host has not. What it has
 * only in part is told to `log`.
 */
export function openRam(options: RamOptions, log: (line: string) => void): MemorySpec {
  const { length, hotplugLength = 0, mergeable = false } = options;
  const { hugePages = mergeable ? "none" : "transparent" } = options;
  const hotplug = hotplugLength > 0 ? hotplugSpec(length, hotplugLength) : undefined;
  const spec = mergeable && options.fd === undefined
    ? openMergeable(length, log)
    : openFile(length, {
      hotplug,
      shared: options.fd,
      pool: hugePages === "2M" || hugePages === "1G" ? hugePages : undefined,
    });
  const all = mappedLength({ length, hotplug });
  for (const address of new Set([spec.address, spec.viewAddress ?? spec.address])) {
    if (hugePages === "transparent") adviseHugePages(address, all);
  }
  if (options.hugePages === "transparent") tellIfRefused(spec, log);
  bindRam(
    spec.address,
    (options.bindings ?? []).map((one) => {
      // What is added later belongs to the end of what there is.
      const isLast = one.offset + one.length === length;
      return isLast ? { ...one, length: all - one.offset } : one;
    }),
  );
  if (hotplug !== undefined) {
    // After the binding, which is remembered for what comes later.
    const at = spec.address + hotplug.offset;
    if (protect(at, hotplug.length, { accessible: false }) < 0) {
      throw new RangeError("Cannot keep the guest from memory that is to be added later");
    }
  }
  return { ...spec, hotplug };
}

/**
 * Maps RAM with what the file `fd` holds. Its pages are read when they are first used, so this takes no
 * longer for more of them. Where that cannot be, all is read now: memory from a pool of huge pages is
 * no copy of a file, and memory to which some can be added is mapped twice, which a private copy
 * cannot be.
 */
export function openSavedRam(
  fd: number,
  options: RamOptions,
  log: (line: string) => void,
): MemorySpec {
  const { length, hotplugLength = 0, hugePages } = options;
  const isPooled = hugePages === "2M" || hugePages === "1G";
  if (isPooled || hotplugLength > 0) {
    const spec = openRam(options, log);
    const view = spec.viewAddress ?? spec.address;
    const bytes = new Uint8Array(bufferAt(view, mappedLength(spec)));
    for (const { start, end } of dataRanges(fd, bytes.length)) {
      for (let at = start; at < end; at += READ_BYTES) {
        readAt(fd, bytes.subarray(at, Math.min(end, at + READ_BYTES)), at);
      }
    }
    return spec;
  }
  const { address } = map(length, { fd, private: true, align: HUGE_PAGE_BYTES["2M"] });
  finishCopy(address, length, { ...options, fd });
  return { address, length, copied: true, fd };
}

function openFile(
  length: number,
  options: { hotplug?: HotplugSpec; pool?: keyof typeof HUGE_PAGE_BYTES; shared?: number },
): MemorySpec {
  const { hotplug, pool, shared } = options;
  const all = mappedLength({ length, hotplug });
  if (pool === undefined) {
    const fd = shared ?? memfd("guest-ram", all);
    const align = HUGE_PAGE_BYTES["2M"];
    const [ram, view] = [map(all, { fd, align }), hotplug && map(all, { fd, align })];
    ram.dontDump();
    view?.dontDump();
    return { address: ram.address, viewAddress: view?.address, length, fd };
  }
  const hugePageBytes = HUGE_PAGE_BYTES[pool];
  if (length % hugePageBytes !== 0) {
    throw new RangeError(
      `Cannot use huge pages of ${pool} for ${length / MiB} MiB of memory: it must be a multiple`,
    );
  }
  try {
    const fd = shared ?? memfd("guest-ram", length, { hugePageBytes });
    const ram = map(length, { fd, reserve: true });
    ram.dontDump();
    return { address: ram.address, length, pooled: true, fd };
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    throw new RangeError(poolError(pool, length), { cause: error });
  }
}

/** Says how many pages are missing, and where an administrator changes that. */
function poolError(pool: keyof typeof HUGE_PAGE_BYTES, length: number): string {
  const bytes = HUGE_PAGE_BYTES[pool];
  const path = `/sys/kernel/mm/hugepages/hugepages-${bytes / 1024}kB`;
  const needed = length / bytes;
  let has: string;
  try {
    const count = (name: string) => Number(readPseudoFile(`${path}/${name}`));
    has = `the host's pool has ${count("free_hugepages") - count("resv_hugepages")} left`;
  } catch {
    return `Cannot use huge pages of ${pool}: this host has none of that size`;
  }
  return `Cannot use huge pages of ${pool}: the guest needs ${needed} and ${has}; ` +
    `raise ${path}/nr_hugepages`;
}

/** KSM takes private anonymous memory alone, so no file backs such a guest. */
function openMergeable(length: number, log: (line: string) => void): MemorySpec {
  const ram = map(length, { private: true, align: HUGE_PAGE_BYTES["2M"] });
  ram.dontDump();
  adviseMergeable(ram.address, length);
  const running = read(KSM_RUN);
  if (running !== "1") {
    log(`The host merges no pages until 1 is written to ${KSM_RUN}: it says ${running}`);
  }
  return { address: ram.address, length, private: true };
}

/** Advice that the host's settings do not let it follow is no error, but a surprise. */
function tellIfRefused(spec: MemorySpec, log: (line: string) => void): void {
  const file = `${TRANSPARENT}/${spec.private ? "enabled" : "shmem_enabled"}`;
  const setting = /\[(\w+)\]/.exec(read(file))?.[1] ?? "missing";
  if (setting === "never" || setting === "deny" || setting === "missing") {
    const advise = spec.private ? "madvise" : "advise";
    log(`The guest has no transparent huge pages: ${file} says ${setting}, write ${advise} to it`);
  }
}

function read(path: string): string {
  try {
    return readPseudoFile(path).trim();
  } catch {
    return "nothing";
  }
}

/** RAM as this thread sees it. */
export function guestMemory(arena: Arena, spec: MemorySpec): GuestMemory {
  return new GuestMemory(spec.address, spec.length, {
    viewAddress: spec.viewAddress,
    private: spec.private,
    copied: spec.copied,
    hotplug: spec.hotplug && new HotplugRegion(arena, spec.hotplug),
  });
}
