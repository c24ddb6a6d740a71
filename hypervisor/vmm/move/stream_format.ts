/**
 * A guest's memory as a stream: a header, then records, of which data has its bytes behind it.
 *
 *     start | record [bytes] | record [bytes] | ... | end
 *
 * What comes later in the stream replaces what came before. Pages may come packed, if the receiver has said
 * that it can unpack them: as a frame of zstd's, behind a list of where its pages belong. At its end it may say
 * which pages are not as they came: those follow in another way (`vmm/migrate/page_frames.ts`). The receiver
 * checks every word of it: the other side may be anybody. Numbers are little-endian.
 *
 * @module
 */
import { DIRTY_PAGE_BYTES, DIRTY_WORD_BYTES } from "../../machine/dirty_pages.ts";
import { struct, type View } from "../../sys/struct.ts";
import { isInAreas, type RamArea } from "./ram_image.ts";

/** "DVRM" */
const MAGIC = 0x4d52_5644;
/** Another one for records of another size, or whose bytes are packed in another way. */
const VERSION = 1;
/** The same, and pages may be packed. */
const PACKED_VERSION = 2;

export const StreamStart = struct("ram_stream_start", {
  magic: "u32",
  version: "u32",
  page_bytes: "u32",
  reserved: "u32",
  /** RAM that is there from the start, and where some can be added: 0 and 0 if none. */
  length: "n64",
  added_offset: "n64",
  added_length: "n64",
});

export const StreamRecord = struct("ram_stream_record", {
  /** One of {@linkcode RECORD}. */
  kind: "u32",
  /** Of {@linkcode RECORD.PACKED}, how many places are listed behind it; else 0. */
  flags: "u32",
  offset: "n64",
  length: "n64",
});

export const RECORD = {
  /** `length` bytes follow, which belong at `offset`. */
  DATA: 1,
  /** The `length` bytes at `offset` are 0. */
  ZERO: 2,
  /** A pass over memory begins, the `offset`th; `length` bytes are known to be left. */
  ROUND: 3,
  /** Nothing follows; `length` bytes of data were sent in all. */
  END: 4,
  /** A bitmap follows, in whole words: of the `length` bytes at `offset`, which pages follow elsewhere. */
  FOLLOW: 5,
  /** A list of `flags` places follows, then a frame of `length` bytes, in which their `offset` bytes are packed. */
  PACKED: 6,
} as const;

/** Where a part of what is packed belongs. */
export const PackedPlace = struct("ram_stream_place", {
  offset: "n64",
  length: "n64",
});

/** The most memory in one frame, which is also the most that is looked back at while it is unpacked. */
export const MAX_PACKED_BYTES: number = 2 ** 18;

/** The most places that one frame is for: each is a page at least. */
export const MAX_PLACES: number = MAX_PACKED_BYTES / DIRTY_PAGE_BYTES;

/** The most bytes behind one record. */
export const MAX_RECORD_BYTES: number = 2 ** 20;

/** The most memory that one bitmap is about. */
export const MAX_FOLLOW_BYTES: number = 2 ** 30;

/** How long the bitmap is behind a record that says what follows. */
export function bitmapBytes(length: number): number {
  return Math.ceil(length / DIRTY_WORD_BYTES) * Uint32Array.BYTES_PER_ELEMENT;
}

export type RamRecord = View<typeof StreamRecord.fields>;
export type RamPlace = View<typeof PackedPlace.fields>;

export interface StreamKind {
  /** Pages may be packed. */
  mayPack?: boolean;
}

export function streamStart(
  areas: readonly RamArea[],
  { mayPack = false }: StreamKind = {},
): View<typeof StreamStart.fields> {
  const [ram, added] = areas;
  return StreamStart.create({
    magic: MAGIC,
    version: mayPack ? PACKED_VERSION : VERSION,
    page_bytes: DIRTY_PAGE_BYTES,
    length: ram.length,
    added_offset: added?.offset ?? 0,
    added_length: added?.length ?? 0,
  });
}

/**
 * Throws a RangeError where a stream is none of ours, or of other memory than this; whether its pages may be
 * packed, which they may not unless that is allowed here.
 */
export function checkStart(
  start: View<typeof StreamStart.fields>,
  areas: readonly RamArea[],
  { mayPack = false }: StreamKind = {},
): boolean {
  const wanted = streamStart(areas);
  if (start.magic !== MAGIC) {
    throw new RangeError(`Cannot receive memory: bad magic 0x${start.magic.toString(16)}`);
  }
  const isPacked = mayPack && start.version === PACKED_VERSION;
  if (!isPacked && start.version !== VERSION) {
    throw new RangeError(`Cannot receive memory: version ${start.version} is not ${VERSION}`);
  }
  for (const key of ["page_bytes", "reserved", "length", "added_offset", "added_length"] as const) {
    if (start[key] !== wanted[key]) {
      throw new RangeError(
        `Cannot receive memory: its ${key} is ${start[key]}, not ${wanted[key]}`,
      );
    }
  }
  return isPacked;
}

function refuse(why: string): never {
  throw new RangeError(`Cannot receive memory: ${why}`);
}

/** Throws unless it is a range of whole pages in RAM. */
function checkPages(offset: number, length: number, areas: readonly RamArea[]): void {
  if (offset % DIRTY_PAGE_BYTES !== 0 || length % DIRTY_PAGE_BYTES !== 0 || length === 0) {
    refuse(`${length} bytes at ${offset} are not whole pages`);
  }
  if (!isInAreas(areas, offset, length)) refuse(`${length} bytes at ${offset} are not in RAM`);
}

/**
 * Throws a RangeError that names what is wrong with a record; what remains lies whole in RAM, but for what is
 * packed, of which the places are still to be checked. Nothing follows elsewhere unless somebody `mayFollow`,
 * and nothing is packed unless it `mayPack`.
 */
export function checkRecord(
  record: RamRecord,
  areas: readonly RamArea[],
  { mayFollow = false, mayPack = false }: StreamKind & { mayFollow?: boolean } = {},
): void {
  const { kind, flags, offset, length } = record;
  const isPacked = mayPack && kind === RECORD.PACKED;
  if (flags !== 0 && !isPacked) refuse(`a record's flags are 0x${flags.toString(16)}`);
  // Beyond this they would not be the numbers that were sent.
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length)) {
    refuse(`a record names ${length} bytes at ${offset}`);
  }
  switch (kind) {
    case RECORD.DATA:
    case RECORD.ZERO:
      checkPages(offset, length, areas);
      if (kind === RECORD.DATA && length > MAX_RECORD_BYTES) {
        refuse(`a record has ${length} bytes, ${MAX_RECORD_BYTES} at most`);
      }
      return;
    case RECORD.ROUND:
      return;
    case RECORD.FOLLOW:
      if (!mayFollow) break;
      if (offset % DIRTY_WORD_BYTES !== 0 || length % DIRTY_PAGE_BYTES !== 0) {
        refuse(`${length} bytes at ${offset} are not whole pages`);
      }
      if (!isInAreas(areas, offset, length)) refuse(`${length} bytes at ${offset} are not in RAM`);
      if (length > MAX_FOLLOW_BYTES) {
        refuse(`a bitmap is about ${length} bytes, ${MAX_FOLLOW_BYTES} at most`);
      }
      return;
    case RECORD.PACKED:
      if (!mayPack) break;
      if (offset > MAX_PACKED_BYTES) {
        refuse(`${offset} bytes are packed, ${MAX_PACKED_BYTES} at most`);
      }
      if (length > offset) refuse(`${offset} bytes are packed in ${length}, which are more`);
      if (flags === 0 || flags > MAX_PLACES) {
        refuse(`what is packed has ${flags} places, ${MAX_PLACES} at most`);
      }
      return;
    case RECORD.END:
      if (offset !== 0) refuse(`its end is at ${offset}`);
      return;
  }
  refuse(`there is no record of kind ${kind}`);
}

/** Throws a RangeError unless these places lie whole in RAM, and are for so many bytes. */
export function checkPlaces(
  places: readonly RamPlace[],
  { bytes, areas }: { bytes: number; areas: readonly RamArea[] },
): void {
  let sum = 0;
  for (const { offset, length } of places) {
    if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length)) {
      refuse(`what is packed is ${length} bytes at ${offset}`);
    }
    checkPages(offset, length, areas);
    sum += length;
  }
  if (sum !== bytes) refuse(`${bytes} bytes are packed for places of ${sum}`);
}
