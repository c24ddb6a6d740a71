/**
 * GUID partition tables: reading them, laying them out, and finding room in them.
 *
 * @module
 */
import { crc32 } from "./crc32.ts";

/** The only sector size that the image is made for. */
export const SECTOR_BYTES = 512;
/** Partitions begin at whole MiB, as everything expects. */
export const ALIGNMENT_SECTORS = 2048;
/** Sectors before the first usable one: protective MBR, header, entries. */
export const HEAD_SECTORS = 34;
/** Sectors behind the last usable one: entries, header. */
export const TAIL_SECTORS = 33;

export const PARTITION_TYPES = {
  efiSystem: "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
  /** What every system takes for a plain volume with files. */
  basicData: "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7",
  linuxData: "0fc63daf-8483-4772-8e79-3d69d8477de4",
  /** For Linux, and not for a file system. */
  linuxReserved: "8da63339-0007-60c0-c436-083ac8230908",
  biosBoot: "21686148-6449-6e6f-744e-656564454649",
} as const;

export interface Partition {
  /** From 1, as in sda1. */
  number: number;
  type: string;
  id: string;
  /** At most 36 UTF-16 units. */
  name: string;
  firstSector: number;
  /** The partition's own last sector. */
  lastSector: number;
}

export interface PartitionTable {
  diskId: string;
  partitions: Partition[];
}

/** A range of sectors, both ends in it. */
export interface SectorRange {
  firstSector: number;
  lastSector: number;
}

const ENTRY_COUNT = 128;
const ENTRY_BYTES = 128;
const HEADER_BYTES = 92;
const ENTRIES_SECTORS = ENTRY_COUNT * ENTRY_BYTES / SECTOR_BYTES;
const SIGNATURE = "EFI PART";
const REVISION = 0x00010000;
const NAME_UNITS = 36;
const ZERO_GUID = "00000000-0000-0000-0000-000000000000";

/** A table as bytes: its two places on a disk. */
export interface EncodedTable {
  /** The disk's first {@linkcode HEAD_SECTORS}. */
  head: Uint8Array<ArrayBuffer>;
  /** The disk's last {@linkcode TAIL_SECTORS}. */
  tail: Uint8Array<ArrayBuffer>;
}

/** Lays the table out for a disk of `diskSectors`. */
export function encodeTable(table: PartitionTable, diskSectors: number): EncodedTable {
  checkTable(table, usableRange(diskSectors));
  const entries = new Uint8Array(ENTRY_COUNT * ENTRY_BYTES);
  for (const partition of table.partitions) encodeEntry(entries, partition);
  const head = new Uint8Array(HEAD_SECTORS * SECTOR_BYTES);
  const tail = new Uint8Array(TAIL_SECTORS * SECTOR_BYTES);
  head.set(protectiveMbr(diskSectors));
  head.set(encodeHeader(table.diskId, { entries, diskSectors, backup: false }), SECTOR_BYTES);
  head.set(entries, 2 * SECTOR_BYTES);
  tail.set(entries);
  tail.set(
    encodeHeader(table.diskId, { entries, diskSectors, backup: true }),
    ENTRIES_SECTORS * SECTOR_BYTES,
  );
  return { head, tail };
}

/**
 * Reads a table from the disk's first {@linkcode HEAD_SECTORS} or, where those are damaged, from its
 * last {@linkcode TAIL_SECTORS}. The table may have been made for a smaller disk, as that of a flashed
 * image is. Null if there is none at all; throws if there is one that cannot be right.
 */
export function parseTable(
  head: Uint8Array,
  tail: Uint8Array,
  diskSectors: number,
): PartitionTable | null {
  const primary = readHeader(head, 1);
  const backup = readHeader(tail.subarray(-SECTOR_BYTES), 0);
  if (primary === null && backup === null) return null;
  const attempts = [
    () => readTable(primary, head.subarray(2 * SECTOR_BYTES)),
    () => readTable(backup, tail),
  ];
  let failure: unknown;
  for (const attempt of attempts) {
    try {
      const table = attempt();
      checkTable(table, usableRange(diskSectors));
      return table;
    } catch (error) {
      failure ??= error;
    }
  }
  throw failure;
}

/**
 * The table at the end of the disk alone; null if there is none that is whole. After an image was
 * written over the disk's beginning this is still the table of before.
 */
export function parseTail(tail: Uint8Array, diskSectors: number): PartitionTable | null {
  try {
    const table = readTable(readHeader(tail.subarray(-SECTOR_BYTES), 0), tail);
    checkTable(table, usableRange(diskSectors));
    return table;
  } catch {
    return null;
  }
}

/** The sectors that partitions may use. */
export function usableRange(diskSectors: number): SectorRange {
  const range = { firstSector: HEAD_SECTORS, lastSector: diskSectors - TAIL_SECTORS - 1 };
  if (!Number.isSafeInteger(diskSectors) || range.lastSector < range.firstSector) {
    throw new RangeError(
      `Cannot partition a disk of ${diskSectors} sectors: a table alone takes ${
        HEAD_SECTORS + TAIL_SECTORS
      }`,
    );
  }
  return range;
}

/** The room behind the last partition, aligned; null if there is less than one alignment unit. */
export function freeTail(table: PartitionTable, diskSectors: number): SectorRange | null {
  const end = table.partitions.reduce((most, it) => Math.max(most, it.lastSector + 1), 0);
  const firstSector = Math.ceil(Math.max(end, HEAD_SECTORS) / ALIGNMENT_SECTORS) *
    ALIGNMENT_SECTORS;
  const endSector = Math.floor((usableRange(diskSectors).lastSector + 1) / ALIGNMENT_SECTORS) *
    ALIGNMENT_SECTORS;
  return endSector > firstSector ? { firstSector, lastSector: endSector - 1 } : null;
}

/** The lowest partition number that is free. */
export function freeNumber(table: PartitionTable): number {
  const taken = new Set(table.partitions.map((it) => it.number));
  for (let number = 1; number <= ENTRY_COUNT; number++) if (!taken.has(number)) return number;
  throw new RangeError(`Cannot add a partition: the table holds ${ENTRY_COUNT} already`);
}

function checkTable(table: PartitionTable, usable: SectorRange): void {
  const numbers = new Set<number>();
  const bySector = [...table.partitions].sort((a, b) => a.firstSector - b.firstSector);
  let end = usable.firstSector;
  for (const it of bySector) {
    const what = `Cannot use a partition table: partition ${it.number} "${it.name}"`;
    if (it.number < 1 || it.number > ENTRY_COUNT || numbers.has(it.number)) {
      throw new RangeError(`${what} has a number that is taken or not 1 to ${ENTRY_COUNT}`);
    }
    numbers.add(it.number);
    if (it.lastSector < it.firstSector) throw new RangeError(`${what} ends before it begins`);
    if (it.firstSector < end) throw new RangeError(`${what} overlaps what lies before it`);
    if (it.lastSector > usable.lastSector) {
      throw new RangeError(
        `${what} ends at sector ${it.lastSector}, but the last usable one is ${usable.lastSector}`,
      );
    }
    end = it.lastSector + 1;
  }
}

interface Header {
  diskId: string;
  entriesCrc: number;
}

/** Null if `bytes` do not begin with a header; throws if it is damaged. */
function readHeader(bytes: Uint8Array, sector: number): Header | Error | null {
  const header = bytes.slice(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES);
  if (new TextDecoder("latin1").decode(header.subarray(0, 8)) !== SIGNATURE) return null;
  const view = new DataView(header.buffer);
  const bad = (why: string) => new SyntaxError(`Cannot read a partition table: ${why}`);
  if (view.getUint32(12, true) !== HEADER_BYTES) {
    return bad(`its header has ${view.getUint32(12, true)} bytes instead of ${HEADER_BYTES}`);
  }
  const stated = view.getUint32(16, true);
  view.setUint32(16, 0, true);
  if (crc32(header.subarray(0, HEADER_BYTES)) !== stated) {
    return bad("its header's checksum is wrong");
  }
  if (view.getUint32(80, true) !== ENTRY_COUNT || view.getUint32(84, true) !== ENTRY_BYTES) {
    return bad(`it does not have ${ENTRY_COUNT} entries of ${ENTRY_BYTES} bytes`);
  }
  return { diskId: decodeGuid(header.subarray(56, 72)), entriesCrc: view.getUint32(88, true) };
}

function readTable(header: Header | Error | null, entriesBytes: Uint8Array): PartitionTable {
  if (header === null) throw new SyntaxError("Cannot read a partition table: it has no header");
  if (header instanceof Error) throw header;
  const entries = entriesBytes.slice(0, ENTRY_COUNT * ENTRY_BYTES);
  if (entries.length < ENTRY_COUNT * ENTRY_BYTES || crc32(entries) !== header.entriesCrc) {
    throw new SyntaxError("Cannot read a partition table: its entries' checksum is wrong");
  }
  const partitions: Partition[] = [];
  for (let i = 0; i < ENTRY_COUNT; i++) {
    const entry = entries.slice(i * ENTRY_BYTES, (i + 1) * ENTRY_BYTES);
    const type = decodeGuid(entry.subarray(0, 16));
    if (type === ZERO_GUID) continue;
    const view = new DataView(entry.buffer);
    partitions.push({
      number: i + 1,
      type,
      id: decodeGuid(entry.subarray(16, 32)),
      firstSector: safeSector(view.getBigUint64(32, true)),
      lastSector: safeSector(view.getBigUint64(40, true)),
      name: new TextDecoder("utf-16le").decode(entry.subarray(56)).replace(/\0.*$/s, ""),
    });
  }
  return { diskId: header.diskId, partitions };
}

function safeSector(sector: bigint): number {
  if (sector > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new RangeError(`Cannot read a partition table: sector ${sector} is on no disk`);
  }
  return Number(sector);
}

function encodeEntry(entries: Uint8Array<ArrayBuffer>, partition: Partition): void {
  const at = (partition.number - 1) * ENTRY_BYTES;
  const view = new DataView(entries.buffer, at, ENTRY_BYTES);
  entries.set(encodeGuid(partition.type), at);
  entries.set(encodeGuid(partition.id), at + 16);
  view.setBigUint64(32, BigInt(partition.firstSector), true);
  view.setBigUint64(40, BigInt(partition.lastSector), true);
  if (partition.name.length > NAME_UNITS) {
    throw new RangeError(
      `Cannot name a partition "${partition.name}": it may have ${NAME_UNITS} characters`,
    );
  }
  for (let i = 0; i < partition.name.length; i++) {
    view.setUint16(56 + 2 * i, partition.name.charCodeAt(i), true);
  }
}

function encodeHeader(
  diskId: string,
  options: { entries: Uint8Array; diskSectors: number; backup: boolean },
): Uint8Array {
  const { entries, diskSectors, backup } = options;
  const header = new Uint8Array(HEADER_BYTES);
  const view = new DataView(header.buffer);
  const last = diskSectors - 1;
  const usable = usableRange(diskSectors);
  header.set(new TextEncoder().encode(SIGNATURE));
  view.setUint32(8, REVISION, true);
  view.setUint32(12, HEADER_BYTES, true);
  view.setBigUint64(24, BigInt(backup ? last : 1), true);
  view.setBigUint64(32, BigInt(backup ? 1 : last), true);
  view.setBigUint64(40, BigInt(usable.firstSector), true);
  view.setBigUint64(48, BigInt(usable.lastSector), true);
  header.set(encodeGuid(diskId), 56);
  view.setBigUint64(72, BigInt(backup ? last - ENTRIES_SECTORS : 2), true);
  view.setUint32(80, ENTRY_COUNT, true);
  view.setUint32(84, ENTRY_BYTES, true);
  view.setUint32(88, crc32(entries), true);
  view.setUint32(16, crc32(header), true);
  return header;
}

/** Tells programs that know no GPT that the whole disk is taken. */
function protectiveMbr(diskSectors: number): Uint8Array {
  const mbr = new Uint8Array(SECTOR_BYTES);
  const view = new DataView(mbr.buffer);
  mbr.set([0x00, 0x00, 0x02, 0x00, 0xee, 0xff, 0xff, 0xff], 446);
  view.setUint32(454, 1, true);
  view.setUint32(458, Math.min(diskSectors - 1, 0xffffffff), true);
  mbr.set([0x55, 0xaa], 510);
  return mbr;
}

// The first three groups of a GUID are little-endian on disk, the last two are not.
const GUID_ORDER = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];

function encodeGuid(guid: string): Uint8Array {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(guid)) {
    throw new TypeError(`Cannot encode the GUID "${guid}": it must look like ${ZERO_GUID}`);
  }
  const bytes = Uint8Array.fromHex(guid.replaceAll("-", ""));
  return Uint8Array.from(GUID_ORDER, (at) => bytes[at]);
}

function decodeGuid(bytes: Uint8Array): string {
  const hex = Uint8Array.from(GUID_ORDER, (at) => bytes[at]).toHex();
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
