/**
 * A guest's snapshot as one host describes it to another, and its files.
 *
 * @module
 */
import { basename, join } from "@std/path";
import * as z from "zod";
import { MOST_DISKS, SnapshotName } from "../api/schemas.ts";
import { Id } from "../api/names.ts";
import type { SnapshotFiles } from "../lives/snapshot_files.ts";
import type { SnapshotRecord } from "../store/snapshots.ts";
import {
  packRecord,
  packRun,
  parcelIssues,
  RecordParcel,
  RunParcel,
  type TokenOf,
} from "./parcel.ts";

const Bytes = z.number().int().min(0).max(2 ** 52);

/** What a VMM keeps of a guest's memory: a few files, by names of its own. */
const MOST_MEMORY_FILES = 16;

/**
 * One of a snapshot's files: a disk's copy, by the disk's id, or one of the VMM's, by its name. Copies on storage
 * that both hosts see are none of them.
 */
const FileParcel = z.union([
  z.strictObject({ disk: Id, bytes: Bytes, dataBytes: Bytes }),
  z.strictObject({
    memory: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, "must be a file of a VMM's"),
    bytes: Bytes,
    dataBytes: Bytes,
  }),
]);
export type FileParcel = z.output<typeof FileParcel>;

export const SnapshotParcel = z.strictObject({
  id: Id,
  name: SnapshotName,
  description: z.string().max(1000),
  /** One that came before. */
  parent: Id.nullable(),
  template: z.boolean(),
  frozen: z.boolean(),
  memoryBytes: Bytes,
  diskBytes: Bytes,
  pauseMs: z.number().min(0).nullable(),
  createdAt: z.iso.datetime(),
  record: RecordParcel,
  run: RunParcel.nullable(),
  files: z.array(FileParcel).max(MOST_DISKS + MOST_MEMORY_FILES),
}).superRefine(({ record, run, files }, context) => {
  const wrong = (path: string, message: string) =>
    context.addIssue({ code: "custom", path: path.split("."), message });
  for (const { path, message } of parcelIssues({ record, run })) wrong(path, message);
  const disks = files.flatMap((file) => "disk" in file ? [file.disk] : []);
  const memory = files.flatMap((file) => "memory" in file ? [file.memory] : []);
  const going = record.disks.filter(({ store }) => store === undefined).map(({ id }) => id);
  if (disks.toSorted().join() !== going.toSorted().join()) {
    wrong("files", "are not one for each disk");
  }
  if (new Set(memory).size !== memory.length) wrong("files", "share a name");
  if ((run === null) !== (memory.length === 0)) {
    wrong("files", "have memory, or what it runs with, alone");
  }
});
export type SnapshotParcel = z.output<typeof SnapshotParcel>;

/** Whether two snapshots' files are of the same disk, or of memory by the same name. */
export function isSameFile(
  a: { disk: string } | { memory: string },
  b: { disk: string } | { memory: string },
): boolean {
  if ("disk" in a) return "disk" in b && a.disk === b.disk;
  return "memory" in b && a.memory === b.memory;
}

/** A snapshot's file at the host that has it. */
export interface SnapshotFile {
  path: string;
  parcel: FileParcel;
}

/** The unit in which stat tells what a file takes. */
const BLOCK_BYTES = 512;

/** What of a snapshot goes to another host. */
export function packSnapshot(
  snapshot: SnapshotRecord,
  { files, tokenOf }: { files: SnapshotFiles; tokenOf: TokenOf },
): { parcel: z.input<typeof SnapshotParcel>; files: SnapshotFile[] } {
  const { guest, id, run } = snapshot;
  const record = packRecord(snapshot.record, tokenOf);
  const going = snapshot.record.disks.filter((disk) => tokenOf(disk) === undefined);
  const at = (path: string): { bytes: number; dataBytes: number } => {
    const { size, blocks } = Deno.statSync(path);
    return { bytes: size, dataBytes: Math.min(size, (blocks ?? 0) * BLOCK_BYTES) };
  };
  const found: SnapshotFile[] = going.map((disk) => {
    const path = files.disk(snapshot, disk);
    return { path, parcel: { disk: disk.id, ...at(path) } };
  });
  if (run !== null) {
    const directory = files.memory(guest, id);
    const names = [...Deno.readDirSync(directory)].map(({ name }) => name).sort();
    for (const path of names.map((name) => join(directory, name))) {
      found.push({ path, parcel: { memory: basename(path), ...at(path) } });
    }
  }
  const { guest: _guest, ...kept } = snapshot;
  return {
    parcel: {
      ...kept,
      record,
      run: run === null ? null : packRun(RunParcel.parse(run)),
      files: found.map(({ parcel }) => parcel),
    },
    files: found,
  };
}

/** Snapshots of one guest, each after the one that it comes from. */
export function parentsFirst(
  snapshots: readonly SnapshotRecord[],
): SnapshotRecord[] {
  const left = new Map(snapshots.map((it) => [it.id, it]));
  const ordered: SnapshotRecord[] = [];
  const take = (snapshot: SnapshotRecord) => {
    if (!left.delete(snapshot.id)) return;
    const parent = snapshot.parent === null ? undefined : left.get(snapshot.parent);
    if (parent !== undefined) take(parent);
    ordered.push(snapshot);
  };
  snapshots.forEach(take);
  return ordered;
}
