/**
 * The image that is written to a disk: a partition table, the boot loader and the boot partition.
 *
 * @module
 */
import { writeAt, writeTable } from "../disk/disk_table.ts";
import { ALIGNMENT_SECTORS, PARTITION_TYPES, SECTOR_BYTES, TAIL_SECTORS } from "../disk/gpt.ts";
import { BIOS_NAME, BOOT_NAME, SEED_LABEL, STATE_NAME } from "../disk/names.ts";
import { FIRST_STATE, statePartition } from "../slots/boot_state.ts";
import {
  BIOS_CORE_SECTOR,
  loaderPartitions,
  MOST_IMAGE_SECTORS,
  NUMBERS,
  STATE_SECTOR,
} from "../slots/places.ts";
import { BIOS_FILE, SYSTEM_FILE } from "../slots/slot_archive.ts";
import { biosConfig } from "../slots/unified_kernel.ts";
import { runTool } from "./tools.ts";

const MIB = 1024 * 1024;
/** FAT32 wants 65525 clusters: with one sector each, that many sectors. */
const MIN_BOOT_MIB = 34;

/** How large the boot partition is for files of `bytes`: the files, FAT's own tables, a little room. */
export function bootPartitionMib(bytes: number): number {
  return Math.max(MIN_BOOT_MIB, Math.ceil(bytes * 1.03 / MIB) + 1);
}

/** The image's size in sectors, with the table's two places. */
export function imageSectors(bootMib: number): number {
  return ALIGNMENT_SECTORS + bootMib * MIB / SECTOR_BYTES +
    Math.ceil(TAIL_SECTORS / ALIGNMENT_SECTORS) * ALIGNMENT_SECTORS;
}

/** What an image is made of. */
export interface DiskImageParts {
  /** Path of the system's file. */
  system: string;
  /** The boot loader's part for a BIOS. */
  bios: { mbr: Uint8Array; core: Uint8Array };
  /** Paths of further files on the boot partition, by where they lie on it. */
  files: Readonly<Record<string, string>>;
  /** The time that files bear, in seconds. */
  epoch: number;
}

/** Makes the image at `path`, the same bytes for the same parts. */
export async function makeDiskImage(path: string, parts: DiskImageParts): Promise<void> {
  const { bios, system } = parts;
  const room = (STATE_SECTOR - BIOS_CORE_SECTOR) * SECTOR_BYTES;
  if (bios.core.length > room) {
    throw new RangeError(
      `Cannot make the image: the boot loader's core has ${bios.core.length} bytes, and there is room for ${room}`,
    );
  }
  const config = `${path}.bios.cfg`;
  const volume = `${path}.fat`;
  try {
    await Deno.writeTextFile(config, await biosConfig(system));
    const files = { ...parts.files, [SYSTEM_FILE]: system, [BIOS_FILE]: config };
    let bytes = 0;
    for (const file of Object.values(files)) bytes += (await Deno.stat(file)).size;
    const bootMib = bootPartitionMib(bytes);
    const sectors = imageSectors(bootMib);
    if (sectors > MOST_IMAGE_SECTORS) {
      throw new RangeError(
        `Cannot make the image: it would have ${sectors} sectors, and slots begin at ${MOST_IMAGE_SECTORS}`,
      );
    }
    const id = await idsFor(system, [BOOT_NAME, BIOS_NAME, STATE_NAME, "disk"]);
    await Deno.writeFile(path, new Uint8Array());
    await Deno.truncate(path, sectors * SECTOR_BYTES);
    await makeVolume(volume, {
      bootMib,
      files,
      epoch: parts.epoch,
      serial: id("disk").slice(0, 8),
    });
    {
      using image = await Deno.open(path, { read: true, write: true });
      await writeAt(image, 0, bios.mbr);
      await writeAt(image, BIOS_CORE_SECTOR * SECTOR_BYTES, bios.core);
      await writeAt(image, STATE_SECTOR * SECTOR_BYTES, statePartition(FIRST_STATE));
      await writeAt(image, ALIGNMENT_SECTORS * SECTOR_BYTES, await Deno.readFile(volume));
      await image.sync();
    }
    await writeTable(path, {
      diskId: id("disk"),
      partitions: [{
        number: NUMBERS.boot,
        type: PARTITION_TYPES.efiSystem,
        id: id(BOOT_NAME),
        name: BOOT_NAME,
        firstSector: ALIGNMENT_SECTORS,
        lastSector: ALIGNMENT_SECTORS + bootMib * MIB / SECTOR_BYTES - 1,
      }, ...loaderPartitions(id)],
    }, sectors);
  } finally {
    for (const file of [volume, config]) await Deno.remove(file).catch(() => {});
  }
}

async function makeVolume(
  volume: string,
  options: {
    bootMib: number;
    files: Readonly<Record<string, string>>;
    epoch: number;
    serial: string;
  },
): Promise<void> {
  const { bootMib, files, epoch, serial } = options;
  await Deno.writeFile(volume, new Uint8Array());
  await Deno.truncate(volume, bootMib * MIB);
  const tool = (...command: string[]) => runTool(command, { epoch });
  await tool(
    "mkfs.vfat",
    ...["-F", "32", "-s", "1", "-n", SEED_LABEL, "-i", serial, "--invariant", volume],
  );
  const paths = Object.keys(files).sort();
  const folders = new Set(
    paths.flatMap((path) =>
      path.split("/").slice(0, -1).map((_, depth, all) => all.slice(0, depth + 1).join("/"))
    ),
  );
  await tool("mmd", "-i", volume, ...Array.from(folders, (it) => `::${it}`));
  for (const path of paths) {
    // Its copy bears its time.
    await Deno.utime(files[path], epoch, epoch);
    await tool("mcopy", "-m", "-i", volume, files[path], `::${path}`);
  }
}

/** Ids by name that tell one version's image from another's, and are the same for the same image. */
async function idsFor(system: string, names: string[]): Promise<(name: string) => string> {
  const digest = async (bytes: BufferSource) =>
    new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const own = (await digest(await Deno.readFile(system))).toHex();
  const ids = new Map<string, string>();
  for (const name of names) {
    const bytes = (await digest(new TextEncoder().encode(`${own} ${name}`))).slice(0, 16);
    // Version 8 of RFC 9562: made by a rule of one's own.
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    ids.set(name, bytes.toHex().replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5"));
  }
  return (name) => ids.get(name)!;
}
