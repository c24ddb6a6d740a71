/**
 * What there is to be of guests in the data directory, as a supervisor looks after at its start.
 *
 * @module
 */
import { join } from "@std/path";
import { removeIfThere } from "../durable.ts";
import type { GuestRecord } from "../store/guests.ts";
import { SNAPSHOTS } from "../store/shared_files.ts";
import type { SnapshotStore } from "../store/snapshots.ts";
import type { GuestDisks } from "./disks.ts";

/** Where in a guest's directory it is saved as the host ends. */
export const SAVED = "saved";

/** What of a guest's directory is its own. */
export interface GuestFiles {
  /** Names of files. */
  disks: ReadonlySet<string>;
  /** Ids. */
  snapshots: ReadonlySet<string>;
  /** What it goes on from that was saved, if it does. */
  saved: ReadonlySet<string>;
}

/** By guests' ids. */
export function filesOf(
  records: readonly GuestRecord[],
  snapshots: Pick<SnapshotStore, "list" | "standing">,
): Map<string, GuestFiles> {
  return new Map(records.map(({ id, disks }) => [id, {
    disks: new Set(disks.filter(({ store }) => store === null).map(({ file }) => file)),
    snapshots: new Set(snapshots.list(id).map((it) => it.id)),
    saved: new Set([snapshots.standing(id).resumesFrom ?? []].flat()),
  }]));
}

/** A disk that had grown when a power cut came is as large as its file; the record itself where none had. */
export function withSizes(record: GuestRecord, files: Pick<GuestDisks, "sizeMiB">): GuestRecord {
  const disks = record.disks.map((disk) => {
    const now = files.sizeMiB(record.id, disk) ?? 0;
    return now > disk.sizeMiB ? { ...disk, sizeMiB: now } : disk;
  });
  return disks.some((disk, i) => disk !== record.disks[i]) ? { ...record, disks } : record;
}

/**
 * Removes what creations and deletions left in the directory of guests that a power cut broke off; `known` is
 * what guests have.
 */
export function sweep(directory: string, known: ReadonlyMap<string, GuestFiles>): string[] {
  const swept: string[] = [];
  const sweepIn = (path: string, files: ReadonlySet<string>) => {
    const names = namesIn(join(directory, path), files);
    swept.push(...names.map((name) => join(path, name)));
  };
  for (const guest of namesIn(directory)) {
    const has = known.get(guest);
    if (has === undefined) {
      swept.push(guest);
      continue;
    }
    sweepIn(guest, new Set([...has.disks, SNAPSHOTS, SAVED]));
    const there = namesIn(join(directory, guest));
    if (there.includes(SNAPSHOTS)) sweepIn(join(guest, SNAPSHOTS), has.snapshots);
    if (there.includes(SAVED)) sweepIn(join(guest, SAVED), has.saved);
  }
  for (const name of swept) removeIfThere(join(directory, name));
  return swept;
}

/** What lies in a directory, less what is `known`. */
function namesIn(directory: string, known: ReadonlySet<string> = new Set()): string[] {
  return [...Deno.readDirSync(directory)].map(({ name }) => name).filter((it) => !known.has(it));
}
