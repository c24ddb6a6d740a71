/**
 * What Linux shows of the disks, and what of it the API tells.
 *
 * @module
 */
import type {
  DiskBus,
  Smart,
  StorageDisk,
  StoragePartition,
} from "../../hypervisor/supervisor/api/storage_schemas.ts";
import {
  MOST_HOST_DISKS,
  MOST_PARTITIONS,
} from "../../hypervisor/supervisor/api/storage_schemas.ts";
import { type PartitionTable, SECTOR_BYTES } from "../disk/gpt.ts";
import { plain } from "./probe.ts";

/** A partition as Linux has it, whatever table it comes from. */
export interface PartitionFacts {
  /** "sda1". */
  name: string;
  number: number;
  /** In units of 512 bytes. */
  firstSector: number;
  sectors: number;
  /** What is on it, in words; null for nothing that is known. */
  content: string | null;
  /** Block devices that are made of it, such as md0. */
  holders: readonly string[];
  /** The folder that it is mounted on. */
  mountedOn: string | null;
}

export interface DiskFacts {
  name: string;
  path: string;
  /** In units of 512 bytes. */
  sectors: number;
  sectorBytes: number;
  model: string | null;
  serial: string | null;
  wwn: string | null;
  bus: DiskBus;
  rotational: boolean;
  removable: boolean;
  readonly: boolean;
  /** Its GPT; null where it has none that can be read. */
  table: PartitionTable | null;
  content: string | null;
  /** No mark is known on it, and its first and last MiB are zeros. */
  isBlank: boolean;
  holders: readonly string[];
  mountedOn: string | null;
  partitions: readonly PartitionFacts[];
}

/** Which of the disks the system and its data are on, by their names. */
export interface Roles {
  boot: string | null;
  data: readonly string[];
}

/** What has to be typed to mean a disk: what it alone calls itself. */
export function confirmWord(disk: DiskFacts, all: readonly DiskFacts[]): string {
  const isOwn = (of: (it: DiskFacts) => string | null) => {
    const word = of(disk);
    return word !== null && all.filter((it) => of(it) === word).length === 1 ? word : null;
  };
  return isOwn((it) => it.serial) ?? isOwn((it) => it.wwn) ?? disk.name;
}

/** The disk that a file of settings means, by serial number or World Wide Name. */
export function findDisk(word: string, disks: readonly DiskFacts[]): DiskFacts | undefined {
  const found = disks.filter(({ serial, wwn }) => serial === word || wwn === word);
  if (found.length > 1) {
    throw new RangeError(`Cannot tell which disk "${word}" is: ${found.length} have that number`);
  }
  return found[0];
}

/** Why a disk must not be written over; null where it may. */
export function whyInUse(disk: DiskFacts, roles: Roles): string | null {
  if (roles.data.includes(disk.name)) return "The data of this host are on it";
  if (roles.boot === disk.name) return "This host was started from it";
  if (disk.readonly) return "It cannot be written to";
  if (disk.sectorBytes !== SECTOR_BYTES) {
    return `Its sectors have ${disk.sectorBytes} bytes, and only ${SECTOR_BYTES} are supported`;
  }
  for (const { name, holders, mountedOn } of [disk, ...disk.partitions]) {
    if (mountedOn !== null) return `${name} is mounted on ${mountedOn}`;
    if (holders.length > 0) return `${name} is used by ${holders.join(", ")}`;
  }
  return null;
}

/** What changes when another disk takes the name, or something else is on the disk. */
export async function revisionOf(disk: DiskFacts): Promise<string> {
  const { name, serial, wwn, sectors, table, content, isBlank, partitions } = disk;
  const parts = partitions.map((it) => [it.number, it.firstSector, it.sectors, it.content]);
  const text = JSON.stringify([name, serial, wwn, sectors, table, content, isBlank, parts]);
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return new Uint8Array(hash, 0, 8).toHex();
}

/** The disks as the API tells them. */
export async function tellDisks(
  disks: readonly DiskFacts[],
  roles: Roles,
  smart: ReadonlyMap<string, Smart>,
): Promise<StorageDisk[]> {
  return await Promise.all(
    disks.slice(0, MOST_HOST_DISKS).map(async (disk) => ({
      name: disk.name,
      model: disk.model,
      serial: disk.serial,
      wwn: disk.wwn,
      confirm: confirmWord(disk, disks),
      bytes: disk.sectors * SECTOR_BYTES,
      sectorBytes: disk.sectorBytes,
      bus: disk.bus,
      rotational: disk.rotational,
      removable: disk.removable,
      readonly: disk.readonly,
      isBoot: roles.boot === disk.name,
      isData: roles.data.includes(disk.name),
      revision: await revisionOf(disk),
      content: disk.partitions.length > 0 ? null : disk.content,
      isBlank: disk.isBlank,
      partitions: disk.partitions.slice(0, MOST_PARTITIONS).map((it) => tellPartition(it, disk)),
      inUse: whyInUse(disk, roles),
      smart: smart.get(disk.name) ?? null,
    })),
  );
}

function tellPartition(part: PartitionFacts, { table }: DiskFacts): StoragePartition {
  const { number, firstSector, sectors, content, holders, mountedOn } = part;
  const entry = table?.partitions.find((it) => it.number === number);
  return {
    number,
    name: plain(entry?.name ?? ""),
    firstByte: firstSector * SECTOR_BYTES,
    bytes: sectors * SECTOR_BYTES,
    content,
    use: mountedOn !== null
      ? `Mounted on ${mountedOn}`
      : holders.length > 0
      ? `Used by ${holders.join(", ")}`
      : null,
  };
}
