/**
 * A disk for the appliance's PC: the image written to it, and a volume with guests to import.
 *
 * @module
 */
import { readTable, writeTable } from "../../bootimg/disk/disk_table.ts";
import {
  ALIGNMENT_SECTORS,
  freeNumber,
  freeTail,
  PARTITION_TYPES,
  SECTOR_BYTES,
} from "../../bootimg/disk/gpt.ts";
import { DATA_FIRST_SECTOR } from "../../bootimg/slots/places.ts";
import { SEED_LABEL } from "../../bootimg/disk/names.ts";
import { inTrixie } from "../setup/trixie.ts";

const MIB = 1024 * 1024;

/** A guest that comes with the disk: what its guest.json says, and the files that it names. */
export interface SeedGuestFiles {
  folder: string;
  guest: Record<string, unknown>;
  /** Names beside guest.json, and the files on this machine. */
  files: Readonly<Record<string, string>>;
}

/** Writes the image to a sparse file of `sizeBytes` that stands for a disk, as `dd` would. */
export async function flash(image: string, disk: string, sizeBytes: number): Promise<void> {
  await Deno.copyFile(image, disk);
  await Deno.truncate(disk, sizeBytes);
}

/**
 * Adds a FAT volume with the guest, and a `denovisor.yaml` of the text `settings`, behind what is on
 * the disk, as any PC's tools would.
 */
export async function addSeedVolume(
  disk: string,
  seed: SeedGuestFiles,
  options: { settings?: string } = {},
): Promise<void> {
  const sectors = (await Deno.stat(disk)).size / SECTOR_BYTES;
  const table = await readTable(disk, sectors);
  const room = table && freeTail(table, sectors);
  if (!room) throw new Error(`Cannot add a volume to "${disk}": it has no table, or no room`);
  let bytes = 0;
  for (const file of Object.values(seed.files)) bytes += (await Deno.stat(file)).size;
  const mib = Math.ceil(bytes * 1.02 / MIB) + 48;
  // Behind the slots for updates, which lie before it on any disk that is not small.
  const firstSector = Math.max(room.firstSector, DATA_FIRST_SECTOR);
  const lastSector = firstSector + mib * ALIGNMENT_SECTORS - 1;
  await writeTable(disk, {
    ...table,
    partitions: [...table.partitions, {
      number: freeNumber(table),
      type: PARTITION_TYPES.basicData,
      id: crypto.randomUUID(),
      name: "denovisor-import",
      firstSector,
      lastSector,
    }],
  }, sectors);
  const volume = `${disk}@@${firstSector * SECTOR_BYTES}`;
  const text = `${disk}.guest.json`;
  await Deno.writeTextFile(text, JSON.stringify(seed.guest, null, 2) + "\n");
  const env = { MTOOLS_SKIP_CHECK: "1" };
  const tool = (...command: string[]) =>
    inTrixie(command, { env, bind: [disk.replace(/\/[^/]*$/, "")] });
  const folder = `::import/${seed.folder}`;
  await tool(
    ...["mkfs.vfat", "-F", "32", "-n", SEED_LABEL, `--offset=${firstSector}`],
    disk,
    String(mib * MIB / 1024),
  );
  await tool("mmd", "-i", volume, "::import", folder);
  await tool("mcopy", "-i", volume, text, `${folder}/guest.json`);
  for (const [name, file] of Object.entries(seed.files)) {
    await tool("mcopy", "-i", volume, file, `${folder}/${name}`);
  }
  if (options.settings !== undefined) {
    await Deno.writeTextFile(text, options.settings);
    await tool("mcopy", "-i", volume, text, "::denovisor.yaml");
  }
  await Deno.remove(text);
}
