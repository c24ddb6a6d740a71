/**
 * Guests' files on storage that other hosts see too: in `DIR/GUEST/`, as they would be on the data partition.
 *
 * Nobody sweeps there: what this host does not know of may be another's. So what is made there, and what is
 * to go, is written down before, and goes unless a guest of this host, or a snapshot, has it when that is
 * settled. What was not written down so is never removed; nor is what somebody has locked.
 *
 * @module
 */
import { dirname, join } from "@std/path";
import { ENOENT, SysError } from "../../sys/errno.ts";
import { close, length, O_NOFOLLOW, O_RDONLY, O_RDWR, open } from "../../sys/files.ts";
import { tryLock } from "../../sys/flock.ts";
import { removeIfThere, syncDirectory } from "../durable.ts";
import { type Log, messageOf } from "../log.ts";
import { problem } from "../problem.ts";
import type { GuestRecord } from "../store/guests.ts";
import { type SharedFile, type SharedFileStore, SNAPSHOTS } from "../store/shared_files.ts";
import type { SnapshotRecord } from "../store/snapshots.ts";
import type { Stores } from "./stores.ts";

export type { SharedFile } from "../store/shared_files.ts";

/** The file of a guest's disk; null where that is on the host's own data partition. */
export function diskFile(
  guest: string,
  { file, store }: { file: string; store: string | null },
): SharedFile | null {
  return store === null ? null : { store, guest, path: file };
}

/** The file of a snapshot's copy of a disk, likewise. */
export function copyFile(
  { guest, id }: Pick<SnapshotRecord, "guest" | "id">,
  { name, store }: { name: string; store: string | null },
): SharedFile | null {
  return store === null ? null : { store, guest, path: `${SNAPSHOTS}/${id}/${name}.img` };
}

/** All that a snapshot has there. */
export function filesOfSnapshot(
  snapshot: Pick<SnapshotRecord, "guest" | "id" | "record">,
): SharedFile[] {
  return snapshot.record.disks.flatMap((disk) => copyFile(snapshot, disk) ?? []);
}

/** All that a guest has there. */
export function filesOfGuest(
  { id, disks }: Pick<GuestRecord, "id" | "disks">,
  snapshots: readonly Pick<SnapshotRecord, "guest" | "id" | "record">[],
): SharedFile[] {
  return [
    ...disks.flatMap((disk) => diskFile(id, disk) ?? []),
    ...snapshots.flatMap(filesOfSnapshot),
  ];
}

const keyOf = ({ store, guest, path }: SharedFile) => `${store}/${guest}/${path}`;

export class SharedFiles {
  readonly #stores: Stores;
  readonly #table: SharedFileStore;
  readonly #log: Log;
  /** Those that somebody is at, and settles himself. */
  readonly #busy = new Set<string>();
  /** Whether something keeps a guest off here, so that another host may have it. */
  keepsOff: (guest: string) => boolean = () => false;

  constructor(stores: Stores, { table, log }: { table: SharedFileStore; log: Log }) {
    this.#stores = stores;
    this.#table = table;
    this.#log = log;
  }

  /** Throws where the storage cannot be used. */
  path({ store, guest, path }: SharedFile): string {
    return join(this.#stores.directory(store), guest, path);
  }

  /** Throws where the storage cannot be used now. */
  async require(stores: Iterable<string | null>): Promise<void> {
    for (const store of new Set(stores)) if (store !== null) await this.#stores.require(store);
  }

  /** Whether another host has a guest, or may have it: what it has there is not this host's. */
  isForeign(guest: string): boolean {
    return this.keepsOff(guest) || this.#table.isForeign(guest);
  }

  /** Where a file can be made, which then is to be settled. */
  make(file: SharedFile): string {
    const path = this.path(file);
    this.#table.doom(file);
    this.#busy.add(keyOf(file));
    Deno.mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    return path;
  }

  #doom(files: readonly SharedFile[]) {
    for (const file of files) {
      if (this.isForeign(file.guest)) continue;
      this.#table.doom(file);
      this.#busy.add(keyOf(file));
    }
  }

  /** The same of a guest that is about to leave: it is settled with the guest. */
  doomWithGuest(files: readonly SharedFile[]): void {
    for (const file of files) this.#table.doom(file);
  }

  /** Removes those that were made or doomed and that nobody has; the others stay. */
  settle(files: readonly SharedFile[]): void {
    for (const file of files) this.#busy.delete(keyOf(file));
    this.#settle(files);
  }

  /** Removes files that nobody has any more once `change` is done. */
  without<T>(files: readonly SharedFile[], change: () => T): T {
    this.#doom(files);
    try {
      return change();
    } finally {
      this.settle(files);
    }
  }

  /** All of a guest's at which nobody is. */
  settleGuest(guest: string): void {
    this.#settle(this.#table.doomedOf(guest));
  }

  /** All that an earlier supervisor left, and what was left while the storage could not be used. */
  settleAll(): void {
    this.#settle(this.#table.doomed());
  }

  /** They come with a guest from another host: whatever was to become of them is over. */
  spare(files: readonly SharedFile[]): void {
    for (const file of files) this.#table.spare(file);
  }

  #settle(files: readonly SharedFile[]) {
    for (const file of files) {
      if (this.#busy.has(keyOf(file))) continue;
      try {
        // What was not written down is not this host's to remove.
        if (!this.#table.isDoomed(file)) continue;
        if (!this.#table.isKnown(file)) this.#remove(file);
        this.#table.spare(file);
      } catch (error) {
        // Once the storage can be used again.
        const { store, guest, path } = file;
        const data = { store, guest, path, error: messageOf(error) };
        this.#log("warn", "a file on a store stays for now", data);
      }
    }
  }

  #remove(file: SharedFile) {
    const path = this.path(file);
    let fd: number;
    try {
      fd = open(path, O_RDWR | O_NOFOLLOW);
    } catch (error) {
      if (!(error instanceof SysError) || error.errno !== ENOENT) throw error;
      return this.#removeFolders(file);
    }
    try {
      if (!tryLock(fd)) {
        this.#log("warn", "a file on a store is left: another host uses it", { path });
        return;
      }
      removeIfThere(path);
      syncDirectory(dirname(path));
    } finally {
      close(fd);
    }
    this.#removeFolders(file);
  }

  /** Those that are empty now. */
  #removeFolders(file: SharedFile) {
    try {
      for (const folder of this.#folders(file)) Deno.removeSync(folder);
    } catch {
      // Something else is in there.
    }
  }

  /** Those of its guest that it lies in, the innermost first. */
  *#folders(file: SharedFile): Generator<string> {
    const top = this.#stores.directory(file.store);
    for (let at = dirname(this.path(file)); at !== top; at = dirname(at)) yield at;
  }

  /** Returns once the name of a file that was made is on the disk. */
  syncName(file: SharedFile): void {
    for (const folder of this.#folders(file)) syncDirectory(folder);
    syncDirectory(this.#stores.directory(file.store));
  }

  /** How long a file is. Throws where it is not there, or not where it should be, but behind a link. */
  refuseUnseen(file: SharedFile): number {
    const path = this.path(file);
    const top = Deno.realPathSync(this.#stores.directory(file.store));
    let is: string;
    try {
      is = Deno.realPathSync(path);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) throw bad(path, "is missing");
      throw error;
    }
    if (is !== join(top, file.guest, file.path)) throw bad(path, `is a link to "${is}"`);
    // Opened, as NFS looks only then whether what it remembers is still so.
    const fd = open(path, O_RDONLY | O_NOFOLLOW);
    try {
      return length(fd);
    } finally {
      close(fd);
    }
  }

  /** Looks at all stores again. */
  look(): Promise<void> {
    return this.#stores.look();
  }

  /** The token of one's storage. */
  token(store: string): string {
    return this.#stores.token(store);
  }

  /** What the storage with a token is called here, where it can be used; null where it cannot be. */
  named(token: string): string | null {
    return this.#stores.named(token);
  }

  directory(store: string): string {
    return this.#stores.directory(store);
  }
}

function bad(path: string, what: string): Error {
  return problem("bad_disk", `Cannot use "${path}": it ${what}`);
}
