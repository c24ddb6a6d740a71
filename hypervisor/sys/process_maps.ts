/**
 * /proc/self/maps (proc_pid_maps(5)): what is mapped in this process.
 *
 * @module
 */
import { readPseudoFile } from "./pseudo_files.ts";
import type { DataRange } from "./sparse.ts";

/** Parts of a range of addresses behind which there is no file, in order; bytes from `address`. */
export function anonymousRanges(address: number, length: number): DataRange[] {
  return parseMaps(readPseudoFile("/proc/self/maps"))
    .filter(({ start, end, inode }) => inode === "0" && start < address + length && end > address)
    .map(({ start, end }) => ({
      start: Math.max(0, start - address),
      end: Math.min(length, end - address),
    }));
}

interface MapLine extends DataRange {
  inode: string;
}

export function parseMaps(text: string): MapLine[] {
  return text.split("\n").flatMap((line) => {
    const [, start, end, inode] = LINE.exec(line) ?? [];
    if (inode === undefined) return [];
    return [{ start: parseInt(start, 16), end: parseInt(end, 16), inode }];
  });
}

/** Addresses, permissions, offset, device, inode, and what it is called. */
const LINE = /^([0-9a-f]+)-([0-9a-f]+) \S+ [0-9a-f]+ \S+ (\d+)/;
