/**
 * What a file of settings wants of disks, and which disks those are.
 *
 * @module
 */
import type { HostSettings } from "../../hypervisor/supervisor/api/host_settings.ts";
import { writeTable } from "../disk/disk_table.ts";
import { UNFINISHED_NAME } from "../disk/names.ts";
import { eraseMarks } from "./erase.ts";
import { confirmWord, type DiskFacts, findDisk, whyInUse } from "./facts.ts";
import { dataPartition, planDisk } from "./place.ts";
import type { NewPart } from "./pool.ts";

/** A disk by its serial number or World Wide Name, and whether what is on it may be lost. */
export interface NamedDisk {
  disk: string;
  erase: boolean;
}

export interface Wishes {
  dataDisks: readonly NamedDisk[];
  install: NamedDisk | null;
}

/** What settings say of disks. */
export function wishesOf({ dataDisks = [], install }: HostSettings): Wishes {
  return {
    dataDisks: dataDisks.map((it) => typeof it === "string" ? { disk: it, erase: false } : it),
    install: install ?? null,
  };
}

/** A disk for the pool. */
export interface ChosenDisk {
  disk: DiskFacts;
  /** Erases the disk and says where the data go; null where they go behind the boot partitions. */
  part: (() => Promise<NewPart>) | null;
}

/**
 * Finds the disks that are named. Throws where one is missing, in use, or holds what nobody allowed to
 * be lost; nothing is changed before all are good.
 */
export function chooseDataDisks(
  disks: readonly DiskFacts[],
  wanted: readonly NamedDisk[],
  { boot }: { boot: string | null },
): ChosenDisk[] {
  const chosen = wanted.map((wish): ChosenDisk => {
    const disk = mustFind(disks, wish, "dataDisks");
    if (disk.name === boot) return { disk, part: null };
    mayErase(disk, wish, "dataDisks");
    return {
      disk,
      async part() {
        const { unfinished, finished, data } = planDisk(disk.sectors, { source: null });
        await eraseMarks(disk);
        await writeTable(disk.path, unfinished, disk.sectors);
        return { disk, unfinished, finished, number: data.number };
      },
    };
  });
  const twice = chosen.find(({ disk }, i) => chosen.findIndex((it) => it.disk === disk) !== i);
  if (twice) throw new RangeError(`Cannot use dataDisks: ${twice.disk.name} is named twice`);
  return chosen;
}

/** Finds the disk to install on, in the same way. A disk that has been installed on is left alone. */
export function chooseInstallTarget(
  disks: readonly DiskFacts[],
  wish: NamedDisk,
  { boot }: { boot: string },
): DiskFacts {
  const disk = mustFind(disks, wish, "install");
  if (disk.name === boot) {
    throw new RangeError(`Cannot install on ${wish.disk}: this host was started from it`);
  }
  if (disk.table && dataPartition(disk.table)) {
    throw new RangeError(`Cannot install on ${wish.disk}: it has a Denovisor's data on it`);
  }
  mayErase(disk, wish, "install");
  planDisk(disk.sectors, { source: null });
  return disk;
}

/** Whether a power cut has left nothing on a disk but partitions that were being made. */
function isUnfinished({ table, partitions }: DiskFacts): boolean {
  const made = table?.partitions ?? [];
  return made.length > 0 && made.every(({ name }) => name === UNFINISHED_NAME) &&
    partitions.every(({ number }) => made.some((it) => it.number === number));
}

function mustFind(disks: readonly DiskFacts[], { disk: word }: NamedDisk, what: string): DiskFacts {
  const disk = findDisk(word, disks);
  if (disk) return disk;
  const known = disks.map((it) => confirmWord(it, disks)).slice(0, 8).join(", ");
  throw new RangeError(
    `Cannot use ${what}: this host has no disk "${word}"; it has ${known || "none"}`,
  );
}

function mayErase(disk: DiskFacts, { disk: word, erase }: NamedDisk, what: string): void {
  const why = whyInUse(disk, { boot: null, data: [] });
  if (why !== null) throw new RangeError(`Cannot use ${what} "${word}": ${why}`);
  if (disk.isBlank || isUnfinished(disk) || erase) return;
  throw new RangeError(
    `Cannot use ${what} "${word}": something is on it. Write { disk: "${word}", erase: true } if all of that may be lost`,
  );
}

/** Says that a disk is to be installed on, and that this was not done because there were data already. */
export function unusedInstall(disks: readonly DiskFacts[], { install }: Wishes): string | null {
  const disk = install && disks.find(({ serial, wwn }) => [serial, wwn].includes(install.disk));
  if (!disk || disk.table && dataPartition(disk.table)) return null;
  return `The settings say to install on ${install.disk}, but this host has data already: install from the console`;
}
