/**
 * What there is of a guest's RAM, for whoever copies it elsewhere.
 *
 * @module
 */
import { ownPages } from "../sys/pagemap.ts";
import { anonymousRanges } from "../sys/process_maps.ts";
import { type DataRange, dataRanges } from "../sys/sparse.ts";
import { mappedLength, type MemorySpec } from "./ram.ts";

const PAGE = 4096;

/** Where there are pages, in order and in whole pages; all others are zeros. */
export function presentRanges(spec: MemorySpec): DataRange[] {
  const length = mappedLength(spec);
  const ofFile = spec.fd === undefined ? [] : dataRanges(spec.fd, length);
  // What a private mapping has of its own is in no file.
  const own = spec.private || spec.copied ? ownPages(spec.address, length) : [];
  return union([...ofFile, ...own], length);
}

/** Where a private copy of a file may be other than the file is, in order and in whole pages. */
export function changedRanges(spec: MemorySpec & { fd: number }): DataRange[] {
  const length = mappedLength(spec);
  // What was given back has zeros in its place, whatever the file has.
  const replaced = anonymousRanges(spec.address, length).flatMap((
    { start, end },
  ) => [...dataRanges(spec.fd, end, start)]);
  return union([...ownPages(spec.address, length), ...replaced], length);
}

/** In order, in whole pages, without overlaps. */
function union(ranges: readonly DataRange[], length: number): DataRange[] {
  const found: DataRange[] = [];
  for (const { start, end } of ranges.toSorted((a, b) => a.start - b.start)) {
    const from = Math.floor(start / PAGE) * PAGE;
    const to = Math.min(Math.ceil(end / PAGE) * PAGE, length);
    const last = found.at(-1);
    if (last !== undefined && from <= last.end) last.end = Math.max(last.end, to);
    else found.push({ start: from, end: to });
  }
  return found;
}
