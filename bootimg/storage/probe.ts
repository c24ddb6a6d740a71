/**
 * What lies on a disk or a partition, as `blkid` finds it by its marks.
 *
 * @module
 */

/** What was found; texts come from the disk, and may be anything that fits a line. */
export interface Probe {
  /** Such as "xfs", "crypto_LUKS" or "linux_raid_member"; null where several things are there. */
  type: string | null;
  /** Such as "filesystem" or "raid". */
  usage: string | null;
  label: string | null;
  /** The kind of a partition table, such as "gpt" or "dos". */
  table: string | null;
}

/** What blkid takes to look at the device itself and not at what it remembers. */
export function probeArguments(device: string): string[] {
  return ["-p", "-o", "export", device];
}

/** blkid's exit codes that are no failure. */
export const NOTHING_FOUND = 2;
export const SEVERAL_FOUND = 8;

const MOST_TEXT = 64;

/** Reads what blkid printed. */
export function parseProbe(text: string): Probe {
  const probe: Probe = { type: null, usage: null, label: null, table: null };
  for (const line of text.slice(0, 16 * 1024).split("\n")) {
    const [, name, value] = /^([A-Z_]+)=(.*)$/.exec(line) ?? [];
    if (name === "TYPE") probe.type = plain(value);
    else if (name === "USAGE") probe.usage = plain(value);
    else if (name === "LABEL") probe.label = plain(unescaped(value));
    else if (name === "PTTYPE") probe.table = plain(value);
  }
  return probe;
}

/** Whether blkid has found anything. */
export function isEmptyProbe({ type, table }: Probe): boolean {
  return type === null && table === null;
}

const KINDS: Readonly<Record<string, string>> = {
  linux_raid_member: "part of a mirror or another RAID of Linux",
  LVM2_member: "part of a volume group of LVM",
  zfs_member: "part of a ZFS pool",
  crypto_LUKS: "encrypted by LUKS",
  BitLocker: "encrypted by BitLocker",
  ddf_raid_member: "part of a RAID",
  isw_raid_member: "part of a RAID of Intel's",
  swap: "swap space",
  iso9660: "a CD's file system",
};

/** In words, such as `ext4 file system "home"`; null for nothing. */
export function describeProbe({ type, usage, label, table }: Probe): string | null {
  const words = type === null
    ? null
    : Object.hasOwn(KINDS, type)
    ? KINDS[type]
    : usage === "filesystem"
    ? `${type} file system`
    : usage === null
    ? type
    : `${type} (${usage})`;
  if (words !== null) return label ? `${words} “${label}”` : words;
  return table === null ? null : `a partition table of the kind ${table}`;
}

// blkid writes what a shell would not take behind a backslash.
function unescaped(value: string): string {
  return value.replace(/\\(.)/g, "$1");
}

/** A device's text without what would disturb a line. */
export function plain(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]+/gu, " ").trim().slice(0, MOST_TEXT);
}
