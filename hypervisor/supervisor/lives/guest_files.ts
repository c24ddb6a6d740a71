/**
 * What there is to be of guests in the data directory, as a supervisor looks after at its start.
 *
 * @module
 */
import type { GuestRecord } from "../store/guests.ts";
import type { SnapshotStore } from "../store/snapshots.ts";
import type { GuestDisks, GuestFiles } from "./disks.ts";

/** By guests' ids. */
export function filesOf(
  records: readonly GuestRecord[],
  snapshots: Pick<SnapshotStore, "list">,
): Map<string, GuestFiles> {
  return new Map(records.map(({ id, disks }) => [id, {
    disks: new Set(disks.map(({ file }) => file)),
    snapshots: new Set(snapshots.list(id).map((it) => it.id)),
  }]));
}

/** A disk that had grown when a power cut came is as large as its file; the record itself where none had. */
export function withSizes(record: GuestRecord, files: Pick<GuestDisks, "sizeMiB">): GuestRecord {
  const disks = record.disks.map((disk) => {
    const now = files.sizeMiB(record.id, disk.file) ?? 0;
    return now > disk.sizeMiB ? { ...disk, sizeMiB: now } : disk;
  });
  return disks.some((disk, i) => disk !== record.disks[i]) ? { ...record, disks } : record;
}
