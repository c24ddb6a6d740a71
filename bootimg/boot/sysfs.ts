/**
 * What Linux tells of devices under /sys.
 *
 * @module
 */

/** A block device: a whole disk or a partition of one. */
export interface BlockDevice {
  /** "sda", "nvme0n1p2". */
  name: string;
  /** "/dev/sda". */
  path: string;
  /** In units of 512 bytes. */
  sectors: number;
  /** The number of the partition; 0 for a whole disk. */
  partition: number;
  /** The name of the whole disk. */
  disk: string;
  /** The sector size that the disk itself works with. */
  sectorBytes: number;
}

/** Disks that hold nothing of ours: made of memory or of other disks, and optical ones. */
const NO_DISKS = /^(loop|ram|zram|sr|fd|dm-|md|nbd)/;

/** All disks and partitions that there are now. */
export function blockDevices(): BlockDevice[] {
  const devices: BlockDevice[] = [];
  for (const disk of names("/sys/block")) {
    if (NO_DISKS.test(disk)) continue;
    const folder = `/sys/block/${disk}`;
    const sectorBytes = number(`${folder}/queue/logical_block_size`) ?? 512;
    const add = (name: string, path: string, partition: number) => {
      const sectors = number(`${path}/size`) ?? 0;
      // A card reader without a card is a disk of no sectors.
      if (sectors > 0) {
        devices.push({ name, path: `/dev/${name}`, sectors, partition, disk, sectorBytes });
      }
    };
    add(disk, folder, 0);
    for (const name of names(folder)) {
      const partition = name.startsWith(disk) ? number(`${folder}/${name}/partition`) : null;
      if (partition !== null) add(name, `${folder}/${name}`, partition);
    }
  }
  return devices;
}

/** The names in a folder, sorted; none if there is no such folder. */
export function names(folder: string): string[] {
  try {
    return Array.from(Deno.readDirSync(folder), (it) => it.name).sort();
  } catch {
    return [];
  }
}

/** A file's text without surrounding space, or null if it cannot be read. */
export function read(path: string): string | null {
  try {
    return Deno.readTextFileSync(path).trim();
  } catch {
    return null;
  }
}

/** A file that holds a decimal number, or null. */
export function number(path: string): number | null {
  const text = read(path);
  return text !== null && /^-?\d+$/.test(text) ? Number(text) : null;
}

/** Whether something is at `path`. */
export function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}
