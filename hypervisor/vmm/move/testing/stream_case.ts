/**
 * Random streams of a guest's memory, mostly right, each way to be wrong rare; and what must hold for
 * every one of them.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { MemorySpec } from "../../../machine/ram.ts";
import { eventfd } from "../../../sys/eventfd.ts";
import { close, O_RDONLY, open } from "../../../sys/files.ts";
import { map, memfd } from "../../../sys/mapping.ts";
import { writeAll } from "../../../sys/copying_io.ts";
import { mappedBytes, type RamArea, ramAreas } from "../ram_image.ts";
import { RECORD, StreamRecord, streamStart } from "../stream_format.ts";
import { receiveRam } from "../stream_receiver.ts";
import { PAGE } from "./memory.ts";
import { type Packed, packedPieces, packedRecord } from "./packed_case.ts";

/** RAM, a part of the mapping that is none, and what can be added. */
const RAM_PAGES = 24;
const GAP_PAGES = 8;
const ADDED_PAGES = 16;
const GUARD_PAGES = 4;
const GUARD = 0xA5;

interface Piece {
  kind: number;
  flags: number;
  offset: number;
  length: number;
  /** How many bytes follow, if not as many as it says. */
  cut: number | undefined;
  fill: number;
}

export interface StreamCase {
  pieces: (Piece | Packed)[];
  /** What the stream says of itself, and what the receiver allows. */
  isPacked: boolean;
  mayPack: boolean;
  /** Words of the whole that are other than they should be. */
  edits: { at: number; value: number }[];
  /** How much of the stream there is. */
  end: number;
  hasEnd: boolean;
}

const rare = <T>(common: fc.Arbitrary<T>, other: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 30, arbitrary: common }, { weight: 1, arbitrary: other });

const odd = fc.oneof(
  fc.nat(PAGE * (RAM_PAGES + GAP_PAGES + ADDED_PAGES)),
  fc.constantFrom(2 ** 32, 2 ** 53, 2 ** 63, 2 ** 64 - 2048, -1, RAM_PAGES * PAGE - 1),
);

/** Pages that are RAM, or beside it. */
const place: fc.Arbitrary<{ offset: number; length: number }> = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(fc.nat(RAM_PAGES - 1), fc.integer({ min: 1, max: RAM_PAGES })) },
  {
    weight: 3,
    arbitrary: fc.tuple(fc.nat(ADDED_PAGES - 1), fc.integer({ min: 1, max: ADDED_PAGES })).map((
      [page, count],
    ): [number, number] => [page + RAM_PAGES + GAP_PAGES, count]),
  },
).map(([page, count]) => {
  const end = page < RAM_PAGES ? RAM_PAGES : RAM_PAGES + GAP_PAGES + ADDED_PAGES;
  return { offset: page * PAGE, length: Math.min(count, end - page) * PAGE };
});

const piece: fc.Arbitrary<Piece> = fc.record({
  kind: rare(fc.constantFrom(RECORD.DATA, RECORD.DATA, RECORD.ZERO), fc.nat(7)),
  flags: rare(fc.constant(0), fc.nat(3)),
  place,
  offset: rare(fc.constant<number | undefined>(undefined), odd),
  length: rare(fc.constant<number | undefined>(undefined), odd),
  cut: rare(fc.constant<number | undefined>(undefined), fc.nat(3 * PAGE)),
  fill: fc.nat(255),
}).map(({ place, offset, length, ...rest }) => ({
  ...rest,
  offset: offset ?? place.offset,
  length: length ?? place.length,
}));

export const streamCase: fc.Arbitrary<StreamCase> = fc.record({
  pieces: fc.array(
    fc.oneof({ weight: 3, arbitrary: piece }, { weight: 2, arbitrary: packedPieces(place, odd) }),
    { maxLength: 12 },
  ),
  isPacked: rare(fc.constant(true), fc.constant(false)),
  mayPack: rare(fc.constant(true), fc.constant(false)),
  edits: rare(
    fc.constant([]),
    fc.array(fc.record({ at: fc.nat(400), value: fc.nat(255) }), { minLength: 1, maxLength: 3 }),
  ),
  end: rare(fc.constant(Infinity), fc.nat(100_000)),
  hasEnd: rare(fc.constant(true), fc.constant(false)),
});

/** The stream, and what memory holds after it if it is right: undefined where it is not, or may not be. */
function compose(one: StreamCase, areas: readonly RamArea[]) {
  const { isPacked } = one;
  const parts: Uint8Array[] = [streamStart(areas, { mayPack: isPacked }).$bytes];
  const memory = new Uint8Array(mappedBytes(areas));
  let isRight = one.edits.length === 0 && one.hasEnd && (one.mayPack || !isPacked);
  let isUnsure = one.edits.length > 0;
  let sent = 0;
  const put = (kind: number, flags: number, offset: number, length: number) => {
    const record = StreamRecord.create({ kind, flags, offset, length });
    parts.push(record.$bytes);
    return record;
  };
  for (const piece of one.pieces) {
    if ("places" in piece) {
      const packed = packedRecord(piece, areas);
      parts.push(...packed.parts);
      sent += packed.bytes;
      isUnsure ||= packed.isUnsure;
      if (!packed.isRight || !isPacked) isRight = false;
      if (isRight) packed.unpackInto(memory);
      continue;
    }
    const { kind, flags, cut, fill, ...wanted } = piece;
    // As they are read: a negative one has become a large one.
    const { offset, length } = put(kind, flags, wanted.offset, wanted.length);
    const isWhole = offset % PAGE === 0 && length % PAGE === 0 && length > 0;
    const isRam = areas.some((a) => offset >= a.offset && offset + length <= a.offset + a.length);
    const isPages = kind === RECORD.DATA || kind === RECORD.ZERO;
    const isKnown = isPages ? isWhole && isRam : kind === RECORD.ROUND;
    const areNumbers = Number.isSafeInteger(offset) && Number.isSafeInteger(length);
    if (!isKnown || flags !== 0 || !areNumbers) isRight = false;
    if (kind !== RECORD.DATA) {
      if (isRight && isPages) memory.fill(0, offset, offset + length);
      continue;
    }
    const bytes = Math.min(cut ?? length, 2 ** 18);
    parts.push(new Uint8Array(Math.max(0, bytes)).fill(fill));
    if (bytes !== length) isRight = false;
    if (isRight) memory.fill(fill, offset, offset + length);
    sent += length;
  }
  if (one.hasEnd) put(RECORD.END, 0, 0, sent);
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  for (const { at, value } of one.edits) if (at < whole.length) whole[at] = value;
  // What comes behind the end is somebody else's.
  const tail = Uint8Array.of(1, 2, 3);
  const isCut = one.end < whole.length;
  const bytes = isCut ? whole.slice(0, one.end) : new Uint8Array([...whole, ...tail]);
  return {
    ...{ bytes, isUnsure, tailAt: whole.length },
    memory: isRight && !isCut ? memory : undefined,
  };
}

/** A stream is taken whole, or refused with what is wrong with it; nothing is written beside RAM. */
export function checkStreamCase(one: StreamCase): void {
  const length = (RAM_PAGES + GAP_PAGES + ADDED_PAGES) * PAGE;
  const mapping = map(length + 2 * GUARD_PAGES * PAGE);
  const bytes = new Uint8Array(mapping.buffer).fill(GUARD);
  const memory: MemorySpec = {
    address: mapping.address + GUARD_PAGES * PAGE,
    length: RAM_PAGES * PAGE,
    hotplug: {
      guest: 2 ** 32,
      offset: (RAM_PAGES + GAP_PAGES) * PAGE,
      length: ADDED_PAGES * PAGE,
      blockBytes: PAGE,
    },
  };
  const areas = ramAreas(memory);
  const ours = bytes.subarray(GUARD_PAGES * PAGE, GUARD_PAGES * PAGE + length);
  for (const area of areas) ours.fill(0, area.offset, area.offset + area.length);
  const stream = compose(one, areas);
  const file = memfd("stream", 0);
  const from = map(Math.max(1, stream.bytes.length));
  new Uint8Array(from.buffer).set(stream.bytes);
  writeAll(file, { address: from.address, length: stream.bytes.length }, 0);
  const fd = open(`/proc/self/fd/${file}`, O_RDONLY);
  const wakeFd = eventfd();
  try {
    receiveRam({ fd, memory, wakeFd, mayPack: one.mayPack, checkCancelled: () => {} });
    assert(stream.isUnsure || stream.memory !== undefined, "what is wrong was taken");
    if (stream.memory !== undefined) {
      for (const { offset, length } of areas) {
        const end = offset + length;
        assertEquals(ours.subarray(offset, end), stream.memory.subarray(offset, end));
      }
      assertEquals(positionOf(fd), stream.tailAt, "more was read than there is");
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    assert(error.message.startsWith("Cannot receive memory: "), error.message);
    assert(stream.memory === undefined, `what is right was refused: ${error.message}`);
  } finally {
    [fd, file, wakeFd].forEach(close);
    from.unmap();
  }
  const isGuard = (from: number, to: number) => bytes.subarray(from, to).every((b) => b === GUARD);
  const first = GUARD_PAGES * PAGE;
  assert(isGuard(0, first) && isGuard(first + length, bytes.length), "beside memory was written");
  const gap = first + RAM_PAGES * PAGE;
  assert(isGuard(gap, gap + GAP_PAGES * PAGE), "between RAM was written");
  mapping.unmap();
}

/** How far a file was read. */
function positionOf(fd: number): number {
  return Number(/^pos:\s*(\d+)/m.exec(Deno.readTextFileSync(`/proc/self/fdinfo/${fd}`))![1]);
}
