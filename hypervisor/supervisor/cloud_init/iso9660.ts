/**
 * A few small files as a read-only volume: ISO 9660 (ECMA-119), with names and modes by Rock Ridge.
 *
 * The same files always give the same bytes: whoever has a volume mounted, and goes on somewhere else
 * where it is made anew, finds there what it remembers.
 *
 * @module
 */

export const SECTOR_BYTES = 2048;

/** What lies where, in sectors; files follow. The first sixteen are left for whoever boots from it. */
const PRIMARY = 16;
const TERMINATOR = 17;
const PATHS_LITTLE = 18;
const PATHS_BIG = 19;
const ROOT = 20;
const FILES = 21;

/** A directory's record without its name. */
const RECORD_BYTES = 33;
/** The path table's one entry, the root's. */
const PATH_BYTES = 10;
/** A regular file and a folder, which everybody may read. */
const FILE_MODE = 0o100444;
const FOLDER_MODE = 0o040555;
const FOLDER_FLAG = 2;
/** 1980-01-01 00:00:00 UTC, as records have it: a volume does not depend on when it was made. */
const DATE = [80, 1, 1, 0, 0, 0, 0];

export interface IsoFile {
  /** Small letters, digits and dashes. */
  name: string;
  bytes: Uint8Array;
}

export interface IsoOptions {
  /** At most 32 characters of ASCII. */
  label: string;
  /** What the volume is to have in all, a multiple of {@linkcode SECTOR_BYTES}. */
  bytes: number;
}

interface Extent {
  sector: number;
  length: number;
}

/** Makes the volume; throws a RangeError where the files do not go into it. */
export function isoImage(
  files: readonly IsoFile[],
  { label, bytes }: IsoOptions,
): Uint8Array<ArrayBuffer> {
  const image = new Uint8Array(bytes);
  let next = FILES;
  const refuse = (what: string) => new RangeError(`Cannot make the volume "${label}": ${what}`);
  const placed = sorted(files).map((file) => {
    const extent = { sector: next, length: file.bytes.length };
    next += Math.ceil(file.bytes.length / SECTOR_BYTES);
    return { ...file, extent };
  });
  if (!/^[\x21-\x7e]{1,32}$/.test(label)) throw refuse("its label must be 1 to 32 of ASCII");
  if (bytes % SECTOR_BYTES !== 0 || bytes < next * SECTOR_BYTES) {
    throw refuse(`its files take ${next * SECTOR_BYTES} bytes, and it is to have ${bytes}`);
  }
  const root: Extent = { sector: ROOT, length: SECTOR_BYTES };
  const records = [
    record("\0", root, { mode: FOLDER_MODE, isFirst: true }),
    record("\x01", root, { mode: FOLDER_MODE }),
    ...placed.map(({ name, extent }) => record(isoName(name), extent, { mode: FILE_MODE, name })),
  ];
  const folder = joined(records);
  if (folder.length > SECTOR_BYTES) throw refuse("it has more files than one sector names");
  const put = (sector: number, part: Uint8Array) => image.set(part, sector * SECTOR_BYTES);
  put(PRIMARY, descriptor(label, bytes / SECTOR_BYTES, record("\0", root)));
  put(TERMINATOR, ascii("\xffCD001\x01"));
  put(PATHS_LITTLE, pathTable(true));
  put(PATHS_BIG, pathTable(false));
  put(ROOT, folder);
  for (const { extent, bytes } of placed) put(extent.sector, bytes);
  return image;
}

/** Directories are in the order of their names. */
function sorted(files: readonly IsoFile[]): IsoFile[] {
  for (const { name } of files) {
    if (!/^[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?$/.test(name)) {
      throw new RangeError(
        `Cannot put a file "${name}" into a volume: its name must be 1 to 30 of a-z, 0-9 and '-'`,
      );
    }
  }
  const names = files.map(({ name }) => isoName(name));
  if (new Set(names).size !== names.length) {
    throw new RangeError("Cannot make a volume: two of its files have one name");
  }
  return files.toSorted((a, b) => isoName(a.name) < isoName(b.name) ? -1 : 1);
}

/** The name for who knows no Rock Ridge; dashes are not among the letters that a name may have. */
function isoName(name: string): string {
  return `${name.toUpperCase().replaceAll("-", "_")}.;1`;
}

/** A file or a folder in a directory; without a mode it is bare, as the volume's descriptor has it. */
function record(
  id: string,
  { sector, length }: Extent,
  { mode, name, isFirst = false }: { mode?: number; name?: string; isFirst?: boolean } = {},
): Uint8Array {
  const rockRidge = mode === undefined ? [] : [
    // The first of the root tells that such fields are there, and whose they are.
    ...(isFirst ? [field("SP", [0xbe, 0xef, 0]), field("ER", extensionReference())] : []),
    field("PX", [mode, mode === FOLDER_MODE ? 2 : 1, 0, 0].flatMap((it) => [...both32(it)])),
    ...(name === undefined ? [] : [field("NM", [0, ...ascii(name)])]),
  ];
  // What follows a name begins at an even place.
  const head = RECORD_BYTES + id.length + (id.length + 1) % 2;
  const bytes = joined([new Uint8Array(head), ...rockRidge]);
  const whole = joined([bytes, new Uint8Array(bytes.length % 2)]);
  whole[0] = whole.length;
  whole.set(both32(sector), 2);
  whole.set(both32(length), 10);
  whole.set(DATE, 18);
  whole[25] = id === "\0" || id === "\x01" ? FOLDER_FLAG : 0;
  whole.set(both16(1), 28);
  whole[32] = id.length;
  whole.set(ascii(id), RECORD_BYTES);
  return whole;
}

/** A field of the System Use Sharing Protocol. */
function field(signature: string, content: ArrayLike<number>): Uint8Array {
  const bytes = new Uint8Array(4 + content.length);
  bytes.set(ascii(signature));
  bytes[2] = bytes.length;
  bytes[3] = 1;
  bytes.set(content, 4);
  return bytes;
}

/** Of which extension the other fields are; its description and its source may be empty. */
function extensionReference(): Uint8Array {
  const id = ascii("RRIP_1991A");
  return joined([Uint8Array.of(id.length, 0, 0, 1), id]);
}

/** The primary volume descriptor. */
function descriptor(label: string, sectors: number, root: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(SECTOR_BYTES);
  const view = new DataView(bytes.buffer);
  const text = (at: number, length: number, value = "") =>
    bytes.set(ascii(value.padEnd(length)), at);
  bytes.set(ascii("\x01CD001\x01"));
  text(8, 32, "LINUX");
  text(40, 32, label);
  bytes.set(both32(sectors), 80);
  bytes.set(both16(1), 120);
  bytes.set(both16(1), 124);
  bytes.set(both16(SECTOR_BYTES), 128);
  bytes.set(both32(PATH_BYTES), 132);
  view.setUint32(140, PATHS_LITTLE, true);
  view.setUint32(148, PATHS_BIG, false);
  bytes.set(root, 156);
  // The volume set, who made it, and files that would tell more.
  text(190, 623);
  // Created, changed, good from and until: none is told.
  for (let at = 813; at < 881; at += 17) bytes.set(ascii("0".repeat(16)), at);
  bytes[881] = 1;
  return bytes;
}

function pathTable(littleEndian: boolean): Uint8Array {
  const bytes = new Uint8Array(PATH_BYTES);
  const view = new DataView(bytes.buffer);
  bytes[0] = 1;
  view.setUint32(2, ROOT, littleEndian);
  view.setUint16(6, 1, littleEndian);
  return bytes;
}

/** A number in both byte orders, the little end first. */
function both32(value: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(8));
  view.setUint32(0, value, true);
  view.setUint32(4, value, false);
  return new Uint8Array(view.buffer);
}

function both16(value: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint16(0, value, true);
  view.setUint16(2, value, false);
  return new Uint8Array(view.buffer);
}

function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
