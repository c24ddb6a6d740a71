/**
 * Random records of packed pages, mostly right, each way to be wrong rare.
 *
 * @module
 */
import fc from "fast-check";
import { zlib } from "../../../sys/zlib.ts";
import { isInAreas, type RamArea } from "../ram_image.ts";
import {
  MAX_PACKED_BYTES,
  MAX_PLACES,
  PackedPlace,
  RECORD,
  StreamRecord,
} from "../stream_format.ts";
import { FramePacker } from "../zstd.ts";
import { PAGE } from "./memory.ts";

type Place = { offset: number; length: number };

export interface Packed {
  places: Place[];
  /** What its record says of them, and of the bytes in the frame and behind the record. */
  countMore: number;
  bytesMore: number;
  lengthMore: number;
  /** How many bytes more are in the frame than there are places for. */
  unpackedMore: number;
  fill: number;
  /** Bytes of the frame that are other than they should be. */
  edits: { at: number; value: number }[];
  /** How the frame is made: as the sender does, for more memory than it needs, or as two, which may be taken. */
  frame: "known" | "wide" | "two" | "none";
}

const seldom = <T>(common: T, other: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 60, arbitrary: fc.constant(common) }, { weight: 1, arbitrary: other });

const more = seldom(0, fc.constantFrom(-PAGE, -1, 1, PAGE, 2 ** 20, 2 ** 24));

/** Of places that are RAM; `odd` are numbers for one that is not. */
export function packedPieces(
  place: fc.Arbitrary<Place>,
  odd: fc.Arbitrary<number>,
): fc.Arbitrary<Packed> {
  const page = place.map(({ offset, length }) => ({ offset, length: Math.min(length, 4 * PAGE) }));
  const wrong = fc.record({ offset: odd, length: fc.oneof(odd, fc.constant(PAGE)) });
  return fc.record({
    places: fc.array(
      fc.oneof({ weight: 100, arbitrary: page }, { weight: 1, arbitrary: wrong }),
      { minLength: 1, maxLength: 8 },
    ),
    countMore: seldom(0, fc.constantFrom(-1, 1, 64, 2 ** 31)),
    ...{ bytesMore: more, lengthMore: more },
    unpackedMore: more,
    fill: fc.nat(255),
    edits: fc.oneof(
      { weight: 20, arbitrary: fc.constant<Packed["edits"]>([]) },
      {
        weight: 1,
        arbitrary: fc.array(fc.record({ at: fc.nat(60), value: fc.nat(255) }), {
          minLength: 1,
          maxLength: 4,
        }),
      },
    ),
    frame: seldom<Packed["frame"]>("known", fc.constantFrom("wide", "two", "none")),
  });
}

/** The record with what is behind it, and what it is good for. */
export function packedRecord(packed: Packed, areas: readonly RamArea[]) {
  const { countMore, bytesMore, lengthMore, unpackedMore, fill } = packed;
  const written = packed.places.map((it) => PackedPlace.create(it));
  // As they are read: a negative one has become a large one.
  const places = written.map(({ offset, length }) => ({ offset, length }));
  const bytes = places.reduce((sum, { length }) => sum + length, 0);
  const content = contentOf(Math.min(Math.max(0, bytes + unpackedMore), 2 ** 25), fill);
  const frame = frameOf(packed, content);
  const record = StreamRecord.create({
    kind: RECORD.PACKED,
    flags: places.length + countMore,
    offset: bytes + bytesMore,
    length: frame.length + lengthMore,
  });
  const isRight = [countMore, bytesMore, lengthMore, unpackedMore].every((it) => it === 0) &&
    packed.edits.length === 0 && packed.frame === "known" &&
    bytes <= MAX_PACKED_BYTES && places.length <= MAX_PLACES && frame.length <= bytes &&
    places.every(({ offset, length }) =>
      Number.isSafeInteger(offset) && Number.isSafeInteger(length) && length > 0 &&
      offset % PAGE === 0 && length % PAGE === 0 && isInAreas(areas, offset, length)
    );
  return {
    parts: [record.$bytes, ...written.map((it) => it.$bytes), frame],
    ...{ bytes, isRight },
    isUnsure: packed.edits.length > 0 || packed.frame === "two",
    unpackInto(memory: Uint8Array): void {
      let at = 0;
      for (const { offset, length } of places) {
        memory.set(content.subarray(at, at += length), offset);
      }
    },
  };
}

function contentOf(length: number, fill: number): Uint8Array {
  const bytes = new Uint8Array(length).fill(fill);
  for (let at = 0; at < length; at += 97) bytes[at] = at >> 3;
  return bytes;
}

function frameOf({ frame, edits }: Packed, content: Uint8Array): Uint8Array {
  if (frame === "none") return new Uint8Array(10);
  const { zstdCompressSync, constants: { ZSTD_c_windowLog } } = zlib();
  const packer = new FramePacker();
  const half = content.length >> 1;
  const bytes = frame === "wide"
    ? zstdCompressSync(content, { params: { [ZSTD_c_windowLog]: 24 } })
    : frame === "two"
    ? Uint8Array.from([
      ...packer.pack(content.subarray(0, half)),
      ...packer.pack(content.subarray(half)),
    ])
    : Uint8Array.from(packer.pack(content));
  for (const { at, value } of edits) if (at < bytes.length) bytes[at] = value;
  return bytes;
}
