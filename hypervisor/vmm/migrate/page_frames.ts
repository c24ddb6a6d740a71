/**
 * What two VMMs say of pages that follow their guest: numbers are little-endian and 64 bits wide, places are
 * bytes from the beginning of RAM's mapping.
 *
 *     want    place, place, ...
 *     pages   place, and the content of whole pages
 *     zeros   place, length
 *
 * Whatever the other side says, what is read here lies in RAM, in whole pages.
 *
 * @module
 */
import { DIRTY_PAGE_BYTES } from "../../machine/dirty_pages.ts";
import { struct } from "../../sys/struct.ts";
import { isInAreas, type RamArea } from "../move/ram_image.ts";
import { MAX_PAGES_BYTES, MAX_WANT_BYTES, MigrationError } from "./frames.ts";

const Place = struct("page_place", { offset: "n64" });
const Zeros = struct("page_zeros", { offset: "n64", length: "n64" });

/** Pages that are asked for at once. */
export const MAX_WANTED: number = MAX_WANT_BYTES / Place.size;
/** The most bytes of pages in one frame. */
export const MAX_CONTENT_BYTES: number = MAX_PAGES_BYTES - Place.size;

export interface Content {
  offset: number;
  bytes: Uint8Array<ArrayBuffer>;
}

export function encodeWant(offsets: readonly number[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(offsets.length * Place.size);
  offsets.forEach((offset, i) => Place.at(bytes.buffer, i * Place.size).offset = offset);
  return bytes;
}

/** Throws a {@linkcode MigrationError} that says what is wrong. */
export function decodeWant(body: Uint8Array<ArrayBuffer>, areas: readonly RamArea[]): number[] {
  if (body.length === 0 || body.length % Place.size !== 0) {
    throw new MigrationError(`Cannot understand the other VMM: it wants ${body.length} bytes`);
  }
  return Array.from({ length: body.length / Place.size }, (_, i) => {
    const { offset } = Place.at(body.buffer, body.byteOffset + i * Place.size);
    check(offset, DIRTY_PAGE_BYTES, areas);
    return offset;
  });
}

/** `bytes` is copied. */
export function encodePages(offset: number, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const body = new Uint8Array(Place.size + bytes.length);
  Place.at(body.buffer).offset = offset;
  body.set(bytes, Place.size);
  return body;
}

/** Throws a {@linkcode MigrationError} that says what is wrong. */
export function decodePages(body: Uint8Array<ArrayBuffer>, areas: readonly RamArea[]): Content {
  if (body.length < Place.size) {
    throw new MigrationError(
      `Cannot understand the other VMM: pages of ${body.length} bytes in all`,
    );
  }
  const { offset } = Place.at(body.buffer, body.byteOffset);
  const bytes = body.subarray(Place.size);
  check(offset, bytes.length, areas);
  return { offset, bytes };
}

export function encodeZeros(area: RamArea): Uint8Array<ArrayBuffer> {
  const { offset, length } = area;
  return Zeros.create({ offset, length }).$bytes;
}

/** Throws a {@linkcode MigrationError} that says what is wrong. */
export function decodeZeros(body: Uint8Array<ArrayBuffer>, areas: readonly RamArea[]): RamArea {
  if (body.length !== Zeros.size) {
    throw new MigrationError(
      `Cannot understand the other VMM: zeros of ${body.length} bytes in all`,
    );
  }
  const { offset, length } = Zeros.at(body.buffer, body.byteOffset);
  check(offset, length, areas);
  return { offset, length };
}

function check(offset: number, length: number, areas: readonly RamArea[]): void {
  const areNumbers = Number.isSafeInteger(offset) && Number.isSafeInteger(length);
  if (
    !areNumbers || offset % DIRTY_PAGE_BYTES !== 0 || length % DIRTY_PAGE_BYTES !== 0 ||
    length === 0 || !isInAreas(areas, offset, length)
  ) {
    throw new MigrationError(
      `Cannot understand the other VMM: ${length} bytes at ${offset} are no pages of RAM`,
    );
  }
}
