/**
 * The host's disks in words.
 *
 * @module
 */
import type {
  HostStorage,
  Pool,
  PoolMember,
  StorageDisk,
  StoragePartition,
} from "../../hypervisor/supervisor/api/schemas.ts";
import { formatBytes, formatSpan } from "./format.ts";

/** What a part of a disk is for, which its colour tells. */
export type PartKind = "boot" | "data" | "other" | "free";

/** A part of a disk, for a picture of it. */
export interface DiskPart {
  key: string;
  kind: PartKind;
  label: string;
  /** Of the disk, 0 to 1; what is small is drawn larger than it is. */
  share: number;
}

const LEAST_SHARE = 0.02;
/** Room between partitions that is no room. */
const GAP_BYTES = 4 * 1024 * 1024;

/** What a partition is for. */
export function partKind({ name }: StoragePartition): PartKind {
  if (/^denovisor-boot/.test(name)) return "boot";
  return name === "denovisor-data" || name === "denovisor-mirror" ? "data" : "other";
}

const PART_WORDS: Record<PartKind, string> = {
  boot: "The system",
  data: "Data of this or another Denovisor",
  other: "Nothing that is known",
  free: "Free",
};

/** What is on a partition. */
export function partWords(part: StoragePartition): string {
  if (part.name === "denovisor-unfinished") return "Something that was not finished";
  const kind = partKind(part);
  return kind === "other" ? part.content ?? PART_WORDS.other : PART_WORDS[kind];
}

/** A disk as it is divided, from its beginning to its end. */
export function diskParts({ bytes, partitions, content, isBlank }: StorageDisk): DiskPart[] {
  const parts: DiskPart[] = [];
  let at = 0;
  const add = (kind: PartKind, label: string, size: number) => {
    parts.push({ key: String(at), kind, label: `${label}, ${formatBytes(size)}`, share: size });
    at += size;
  };
  const free = (until: number) => {
    if (until - at > GAP_BYTES) add("free", PART_WORDS.free, until - at);
  };
  for (const part of [...partitions].sort((a, b) => a.firstByte - b.firstByte)) {
    free(part.firstByte);
    at = Math.max(at, part.firstByte);
    add(partKind(part), partWords(part), part.bytes);
  }
  if (partitions.length === 0 && !isBlank) add("other", content ?? PART_WORDS.other, bytes);
  free(bytes);
  const shares = parts.map(({ share }) => Math.max(LEAST_SHARE, bytes > 0 ? share / bytes : 0));
  const whole = shares.reduce((sum, it) => sum + it, 0);
  return parts.map((it, i) => ({ ...it, share: shares[i] / whole }));
}

/** What is lost when a disk is erased, a line each. */
export function lostWords(disk: StorageDisk): string[] {
  if (disk.partitions.length === 0) {
    return disk.isBlank ? [] : [`${disk.content ?? PART_WORDS.other}, ${formatBytes(disk.bytes)}`];
  }
  return disk.partitions.map((it) =>
    `Partition ${it.number}${it.name ? ` “${it.name}”` : ""}: ${partWords(it)}, ${
      formatBytes(it.bytes)
    }`
  );
}

/** A disk's name for a person: "sda, Samsung SSD 990". */
export function diskTitle({ name, model }: StorageDisk): string {
  return model === null ? name : `${name}, ${model}`;
}

export const MEMBER_WORDS: Record<PoolMember["state"], string> = {
  "in-sync": "In step",
  "rebuilding": "Being brought in step",
  "failed": "Failed",
  "missing": "Missing",
};

/** What a pool is, in a sentence. */
export function poolWords({ kind, members }: Pool): string {
  switch (kind) {
    case "none":
      return "There is none: what this host keeps is in memory, and lost at power-off";
    case "plain":
      return "All data are on one disk";
    case "mirror":
      return members.length > 1
        ? "All data are on both disks: either may fail"
        : "All data are on one disk. A second one can be added at any time";
  }
}

/** Why nothing can be put on a disk; null where something can. */
export function whyNotAdd(disk: StorageDisk, { pool }: HostStorage): string | null {
  if (disk.inUse !== null) return disk.inUse;
  if (pool.refusal !== null) return pool.refusal;
  return disk.bytes < pool.neededBytes
    ? `It is smaller than the pool, which needs ${formatBytes(pool.neededBytes)}`
    : null;
}

/** How far the disks' synchronisation is. */
export function syncWords(sync: NonNullable<Pool["sync"]>): string {
  const doing = {
    rebuild: "Bringing the disk in step",
    scrub: "Comparing the disks",
    repair: "Making the disks the same",
  }[sync.kind];
  const left = sync.secondsLeft === null ? "" : `, ${formatSpan(sync.secondsLeft * 1000)} left`;
  return `${doing}: ${formatBytes(sync.doneBytes)} of ${formatBytes(sync.totalBytes)}${left}`;
}

/** A disk's health in a line; null where nothing is known. */
export function healthWords({ smart }: StorageDisk): string | null {
  if (smart === null) return null;
  const facts = [
    smart.temperatureCelsius !== null && `${smart.temperatureCelsius} °C`,
    smart.powerOnHours !== null && `${formatSpan(smart.powerOnHours * 3_600_000)} of use`,
    smart.wearPercent !== null && `${smart.wearPercent} % of its life used`,
    smart.reallocatedSectors !== null && smart.reallocatedSectors > 0 &&
    `${smart.reallocatedSectors} sectors exchanged`,
  ].filter((it) => it !== false);
  return facts.join(", ") || "Good";
}
