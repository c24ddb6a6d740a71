/**
 * The file that holds a machine's state: named and versioned sections, each with a digest of its own
 * and all of them with one, so that nothing of a file that was cut, damaged or made up is used.
 *
 * | bytes    | what                                                                  |
 * | -------- | --------------------------------------------------------------------- |
 * | 32       | header: magic, version of the format, number of sections, file length |
 * | each 144 | a section's header: name, version, length and SHA-256 of name to bytes |
 * |          | its bytes, and zeros up to a multiple of 8                             |
 * | 32       | SHA-256 of all that is before                                          |
 *
 * @module
 */
import type { Section, Sections } from "../../machine/arena.ts";
import { sha256, SHA256_BYTES } from "../../sys/digest.ts";
import { struct } from "../../sys/struct.ts";
import { FORMAT_VERSION, oldestOf, understood } from "../spoken_versions.ts";

const MAGIC = 0x5453_564E_4544n; // "DENVST"
const NAME_BYTES = 96;
/** A state is a fraction of this; more is no state, and is not even read. */
export const MAX_STATE_BYTES = 64 * 2 ** 20;
const MAX_SECTIONS = 4096;

const Header = struct("snapshot_header", {
  magic: "u64",
  version: "u32",
  sections: "u32",
  length: "n64",
  reserved: "u64",
});

const SectionHeader = struct("snapshot_section", {
  name: ["u8", NAME_BYTES],
  version: "u32",
  reserved: "u32",
  length: "n64",
  digest: ["u8", SHA256_BYTES],
});
/** What a section's digest is of, before its bytes. */
const DIGESTED = SectionHeader.offsets.digest;

/** What is wrong with a snapshot; nothing of it was used. */
export class SnapshotError extends Error {
  override readonly name = "SnapshotError";
}

/** Brings the bytes of a section that an older version wrote to those of the next; null where that has none. */
export type Upgrade = (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer> | null;

/**
 * By what a section is, numbers in its name being `*`, and the version that it has. Whoever raises a
 * section's version adds what makes it of the one before.
 */
export const UPGRADES: Readonly<Record<string, Readonly<Record<number, Upgrade>>>> = {};

/**
 * Versions of the sections that are not registers of a device, whose layout says its own: by what a section
 * is, 1 where it is not named.
 */
export const VERSIONS: Readonly<Record<string, number>> = {};

/** The version in which this program writes a section that is not a device's. */
export function versionOf(name: string): number {
  return VERSIONS[kindOf(name)] ?? 1;
}

/** Throws a {@linkcode SnapshotError} where a state of this version of the format cannot be read. */
export function checkVersion(version: number, newest = FORMAT_VERSION): void {
  if (understood(version, newest)) return;
  throw new SnapshotError(
    `Cannot read the state: it is of version ${version}, and known are ${
      oldestOf(newest)
    } to ${newest}`,
  );
}

/** What stays of a section's name when its numbers go. */
export function kindOf(name: string): string {
  return name.replaceAll(/\d+/g, "*");
}

function padded(length: number): number {
  return Math.ceil(length / 8) * 8;
}

const ENCODER = new TextEncoder();

function writeName(into: Uint8Array<ArrayBuffer>, name: string): void {
  const { read, written } = ENCODER.encodeInto(name, into);
  if (name === "" || read !== name.length || written === NAME_BYTES) {
    throw new RangeError(`Cannot save a section "${name}": its name is too long`);
  }
}

export function encodeSections(sections: Sections): Uint8Array<ArrayBuffer> {
  let length = Header.size + SHA256_BYTES;
  for (const { bytes } of sections.values()) length += SectionHeader.size + padded(bytes.length);
  const file = new Uint8Array(length);
  const fileVersion = FORMAT_VERSION;
  Object.assign(Header.at(file.buffer), {
    ...{ magic: MAGIC, version: fileVersion, sections: sections.size, length },
  });
  const view = new DataView(file.buffer);
  const { offsets } = SectionHeader;
  let at = Header.size;
  for (const [name, { version, bytes }] of sections) {
    writeName(file.subarray(at, at + NAME_BYTES), name);
    view.setUint32(at + offsets.version, version, true);
    view.setBigUint64(at + offsets.length, BigInt(bytes.length), true);
    file.set(sha256(file.subarray(at, at + DIGESTED), bytes), at + DIGESTED);
    at += SectionHeader.size;
    file.set(bytes, at);
    at += padded(bytes.length);
  }
  file.set(sha256(file.subarray(0, at)), at);
  return file;
}

function refuse(why: string): never {
  throw new SnapshotError(`Cannot read the state: ${why}`);
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** The sections of a file, of which not a byte is other than it was written; throws a {@linkcode SnapshotError}. */
export function decodeSections(file: Uint8Array<ArrayBuffer>): Map<string, Section> {
  if (file.length < Header.size + SHA256_BYTES) refuse(`it has ${file.length} bytes`);
  if (file.byteOffset % 8 !== 0) file = file.slice();
  const header = Header.at(file.buffer, file.byteOffset);
  if (header.magic !== MAGIC) refuse(`bad magic 0x${header.magic.toString(16)}`);
  checkVersion(header.version);
  if (header.length !== file.length) {
    refuse(`it has ${file.length} bytes, and should have ${header.length}`);
  }
  if (header.sections > MAX_SECTIONS) refuse(`it has ${header.sections} sections`);
  const end = file.length - SHA256_BYTES;
  // The digest of all is also that of each: theirs say which one is damaged.
  const isWhole = equal(file.subarray(end), sha256(file.subarray(0, end)));
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const sections = new Map<string, Section>();
  let at = Header.size;
  for (let i = 0; i < header.sections; i++) {
    if (at + SectionHeader.size > end) refuse(`section ${i} is past its end`);
    const { offsets } = SectionHeader;
    const version = view.getUint32(at + offsets.version, true);
    const length = Number(view.getBigUint64(at + offsets.length, true));
    const header = file.subarray(at, at + SectionHeader.size);
    at += SectionHeader.size;
    if (at + padded(length) > end) refuse(`section ${i} is past its end`);
    const bytes = file.slice(at, at + length);
    if (
      !isWhole && !equal(header.subarray(DIGESTED), sha256(header.subarray(0, DIGESTED), bytes))
    ) {
      refuse(`section ${i} is damaged`);
    }
    const name = sectionName(header.subarray(0, NAME_BYTES), i);
    if (sections.has(name)) refuse(`section "${name}" is there twice`);
    const current = upgraded(name, { version, bytes });
    if (current !== null) sections.set(name, current);
    at += padded(length);
  }
  if (at !== end) refuse(`${end - at} bytes behind its last section`);
  if (!isWhole) refuse("it is damaged");
  return sections;
}

const DECODER = new TextDecoder();

function isZero(bytes: Uint8Array, from: number): boolean {
  for (let i = from; i < bytes.length; i++) if (bytes[i] !== 0) return false;
  return true;
}

function sectionName(bytes: Uint8Array, index: number): string {
  const end = bytes.indexOf(0);
  const text = DECODER.decode(bytes.subarray(0, Math.max(0, end)));
  const isName = end > 0 && /^[\x21-\x7e]+$/.test(text) && isZero(bytes, end);
  return isName ? text : refuse(`section ${index} has no name`);
}

function upgraded(name: string, section: Section): Section | null {
  const upgrades = UPGRADES[kindOf(name)];
  let { version, bytes } = section;
  for (let next = upgrades?.[version]; next !== undefined; next = upgrades[version]) {
    const later = next(bytes);
    if (later === null) return null;
    bytes = later;
    version++;
  }
  return { version, bytes };
}
