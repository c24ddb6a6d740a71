/**
 * Snapshots that come with a guest from another host: each filled under another name, checked, and put where
 * it belongs. They belong to nobody until the guest is written down.
 *
 * @module
 */
import { join } from "@std/path";
import type { shareBlocks } from "../../sys/reflink.ts";
import { syncDirectory, syncFile } from "../durable.ts";
import type { MoveGround } from "../lives/move_ground.ts";
import type { NamedDisk, NewSnapshotFiles } from "../lives/snapshot_files.ts";
import { filesOfSnapshot } from "../shared/files.ts";
import type { GuestRecord } from "../store/guests.ts";
import type { SnapshotRecord } from "../store/snapshots.ts";
import { contentDigestOf } from "./digests.ts";
import { TargetFile } from "./disk_files.ts";
import { PeerError } from "./frames.ts";
import type { MoveRequest, SnapshotsOffer } from "./messages.ts";
import { type FileParcel, isSameFile, type SnapshotParcel } from "./snapshot_parcel.ts";

export interface SnapshotArrivalOptions {
  guest: string;
  offer: SnapshotsOffer;
  ground: MoveGround;
  /** A record as this host keeps it, where images may have other names. */
  here: (record: SnapshotParcel["record"]) => GuestRecord;
  /** What a snapshot ran with, alike. */
  runHere: (run: NonNullable<SnapshotParcel["run"]>) => NonNullable<SnapshotParcel["run"]>;
  /** Has an open file share another's blocks; false where that cannot be. */
  share: typeof shareBlocks;
}

interface Coming {
  parcel: SnapshotParcel;
  place: NewSnapshotFiles;
  files: { path: string; target: TargetFile | null }[];
}

export class SnapshotArrival {
  readonly #options: SnapshotArrivalOptions;
  readonly #kept: SnapshotRecord[] = [];
  /** Files of those, by their ids. */
  readonly #files = new Map<string, readonly FileParcel[]>();
  #coming: Coming | null = null;

  constructor(options: SnapshotArrivalOptions) {
    this.#options = options;
  }

  /** All of them, each after its parent. Throws where some have not come. */
  get complete(): { snapshots: readonly SnapshotRecord[]; current: string | null } {
    const { count, current } = this.#options.offer;
    const isKnown = current === null || this.#kept.some(({ id }) => id === current);
    if (this.#kept.length !== count || this.#coming !== null || !isKnown) {
      throw new PeerError("Cannot understand the other host: not all of the snapshots came");
    }
    return { snapshots: this.#kept, current };
  }

  /** The next one begins; which of its files, counted from 0, begin as copies of others. */
  begin(parcel: SnapshotParcel): number[] {
    const { guest, ground, offer } = this.#options;
    const isKnown = (id: string) => this.#kept.some((it) => it.id === id);
    if (
      this.#coming !== null || this.#kept.length >= offer.count || isKnown(parcel.id) ||
      parcel.record.id !== guest || (parcel.parent !== null && !isKnown(parcel.parent))
    ) {
      throw new PeerError("Cannot understand the other host: a snapshot out of turn");
    }
    const record = this.#options.here(parcel.record);
    ground.store.refuseTakenDevices(record);
    const files = filesOfSnapshot({ guest, id: parcel.id, record });
    files.forEach((file) => ground.disks.shared.refuseUnseen(file));
    ground.disks.shared.spare(files);
    const place = ground.snapshotFiles.begin(guest, parcel.id);
    this.#coming = { parcel, place, files: [] };
    if (parcel.run !== null) Deno.mkdirSync(place.memory, { mode: 0o700 });
    const shared: number[] = [];
    for (const [i, file] of parcel.files.entries()) {
      const path = pathOf(file, { parcel, place });
      const target = new TargetFile(path, file.bytes);
      this.#coming.files.push({ path, target });
      const base = this.copyOf(file, parcel.parent);
      if (base !== null && target.startFrom(base, this.#options.share)) shared.push(i);
    }
    return shared;
  }

  /** The file that comes just now, counted from 0. */
  file(index: number): TargetFile | null {
    return this.#coming?.files[index]?.target ?? null;
  }

  /** All of it has come. Resolves once it is on this host's disk, and is what it was. */
  async end({ sha256 }: Extract<MoveRequest, { op: "snapshot_end" }>): Promise<void> {
    const coming = this.#coming;
    if (coming === null || sha256.length !== coming.files.length) {
      throw new PeerError("Cannot understand the other host: the end of no snapshot");
    }
    const { parcel, place, files } = coming;
    this.#close();
    for (const [i, { path }] of files.entries()) {
      await syncFile(path);
      if (await contentDigestOf(path) === sha256[i]) continue;
      throw new Error(`Cannot keep the snapshot "${parcel.name}": it came damaged`);
    }
    if (parcel.run !== null) syncDirectory(place.memory);
    await place.appear();
    const { files: parcels, record, run, ...kept } = parcel;
    this.#files.set(parcel.id, parcels);
    this.#kept.push({
      ...kept,
      guest: this.#options.guest,
      record: this.#options.here(record),
      run: run === null ? null : this.#options.runHere(run),
    });
    this.#coming = null;
  }

  /** What a snapshot that has come has of the same disk, or of memory by the same name; null where nothing. */
  copyOf(of: { disk: string } | { memory: string }, snapshot: string | null): string | null {
    const { guest, ground: { snapshotFiles } } = this.#options;
    const found = this.#kept.find(({ id }) => id === snapshot);
    if (found === undefined) return null;
    const file = this.#files.get(found.id)!.find((it) => isSameFile(it, of));
    if (file === undefined) return null;
    const parcel = { record: found.record };
    const place = {
      memory: snapshotFiles.memory(guest, found.id),
      disk: (disk: NamedDisk) => snapshotFiles.disk(found, disk),
    };
    return pathOf(file, { parcel, place });
  }

  #close() {
    for (const file of this.#coming?.files ?? []) {
      file.target?.[Symbol.dispose]();
      file.target = null;
    }
  }

  /** Lets go of what is open; what came goes with the guest's directory. */
  discard(): void {
    this.#close();
    this.#coming = null;
  }
}

function pathOf(
  file: FileParcel,
  { parcel, place }: {
    parcel: Pick<SnapshotRecord, "record"> | SnapshotParcel;
    place: Pick<NewSnapshotFiles, "memory" | "disk">;
  },
): string {
  if ("memory" in file) return join(place.memory, file.memory);
  // What comes is kept on the data partition.
  const { name } = parcel.record.disks.find(({ id }) => id === file.disk)!;
  return place.disk({ name, store: null });
}
