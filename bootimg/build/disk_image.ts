/**
 * The image that is written to a disk: a partition table and the boot partition.
 *
 * @module
 */
import { inTrixie } from "../../scripts/setup/trixie.ts";
import { writeAt, writeTable } from "../disk/disk_table.ts";
import { ALIGNMENT_SECTORS, PARTITION_TYPES, SECTOR_BYTES, TAIL_SECTORS } from "../disk/gpt.ts";
import { BOOT_NAME, SEED_LABEL } from "../disk/names.ts";

const MIB = 1024 * 1024;
/** FAT32 wants 65525 clusters: with one sector each, that many sectors. */
const MIN_BOOT_MIB = 34;

/** How large the boot partition is for a file of `bytes`: the file, FAT's own tables, a little room. */
export function bootPartitionMib(bytes: number): number {
  return Math.max(MIN_BOOT_MIB, Math.ceil(bytes * 1.03 / MIB) + 1);
}

/** The image's size in sectors, with the table's two places. */
export function imageSectors(bootMib: number): number {
  return ALIGNMENT_SECTORS + bootMib * MIB / SECTOR_BYTES +
    Math.ceil(TAIL_SECTORS / ALIGNMENT_SECTORS) * ALIGNMENT_SECTORS;
}

/** Makes the image at `path` from the boot file, the same bytes for the same file. */
export async function makeDiskImage(
  path: string,
  options: { bootFile: string; epoch: number },
): Promise<void> {
  const { bootFile, epoch } = options;
  const { size } = await Deno.stat(bootFile);
  const bootMib = bootPartitionMib(size);
  const sectors = imageSectors(bootMib);
  const ids = await idsFor(bootFile);
  const volume = `${path}.fat`;
  await Deno.writeFile(path, new Uint8Array());
  await Deno.truncate(path, sectors * SECTOR_BYTES);
  try {
    await makeVolume(volume, { bootMib, bootFile, epoch, serial: ids.disk.slice(0, 8) });
    using image = await Deno.open(path, { write: true });
    await writeAt(image, ALIGNMENT_SECTORS * SECTOR_BYTES, await Deno.readFile(volume));
    await image.sync();
  } finally {
    await Deno.remove(volume).catch(() => {});
  }
  await writeTable(path, {
    diskId: ids.disk,
    partitions: [{
      number: 1,
      type: PARTITION_TYPES.efiSystem,
      id: ids.boot,
      name: BOOT_NAME,
      firstSector: ALIGNMENT_SECTORS,
      lastSector: ALIGNMENT_SECTORS + bootMib * MIB / SECTOR_BYTES - 1,
    }],
  }, sectors);
}

async function makeVolume(
  volume: string,
  options: { bootMib: number; bootFile: string; epoch: number; serial: string },
): Promise<void> {
  const { bootMib, bootFile, epoch, serial } = options;
  await Deno.writeFile(volume, new Uint8Array());
  await Deno.truncate(volume, bootMib * MIB);
  await Deno.utime(bootFile, epoch, epoch);
  const env = { SOURCE_DATE_EPOCH: String(epoch), MTOOLS_SKIP_CHECK: "1", TZ: "UTC" };
  const tool = (...command: string[]) => inTrixie(command, { env });
  await tool(
    "mkfs.vfat",
    ...["-F", "32", "-s", "1", "-n", SEED_LABEL, "-i", serial, "--invariant", volume],
  );
  await tool("mmd", "-i", volume, "::EFI", "::EFI/BOOT");
  await tool("mcopy", "-m", "-i", volume, bootFile, "::EFI/BOOT/BOOTX64.EFI");
}

/** Ids that tell one version's image from another's, and are the same for the same image. */
async function idsFor(bootFile: string): Promise<{ disk: string; boot: string }> {
  const digest = new Uint8Array(
    await crypto.subtle.digest("SHA-256", await Deno.readFile(bootFile)),
  );
  const guid = (at: number) => {
    const bytes = digest.slice(at, at + 16);
    // Version 8 of RFC 9562: made by a rule of one's own.
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    return bytes.toHex().replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  };
  return { disk: guid(0), boot: guid(16) };
}
