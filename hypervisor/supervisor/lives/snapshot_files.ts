/**
 * Where snapshots lie: `snapshots/ID/` in their guest's directory, with the VMM's own directory `memory/`
 * and each disk as `NAME.img`. One appears complete or not at all; what else is there is swept. Copies of
 * disks on a store lie there, where they can share the disks' blocks.
 *
 * @module
 */
import { dirname, join } from "@std/path";
import { ownBytes } from "../../sys/extents.ts";
import { SysError } from "../../sys/errno.ts";
import { close, O_CREAT, O_EXCL, O_RDWR, open } from "../../sys/files.ts";
import { shareBlocks } from "../../sys/reflink.ts";
import { exists, removeIfThere, renameDurably, syncDirectory, syncFile } from "../durable.ts";
import { copyFile, filesOfSnapshot, type SharedFile, type SharedFiles } from "../shared/files.ts";
import { SNAPSHOTS } from "../store/shared_files.ts";
import type { SnapshotRecord } from "../store/snapshots.ts";
import { NEW_PREFIX, OLD_PREFIX } from "./disks.ts";

/** The unit in which stat tells what a file takes. */
const BLOCK_BYTES = 512;

/** One that is being made. */
export interface NewSnapshotFiles {
  /** For the VMM, which makes it. */
  memory: string;
  disk(disk: NamedDisk): string;
  /** Brings it to the disk and gives it its name. */
  appear(): Promise<void>;
  /** It is written down that there is one. */
  keep(): void;
  /** Leaves nothing of it, whether it has its name or not. */
  drop(): void;
}

/** A disk, and where its copies lie. */
export interface NamedDisk {
  name: string;
  store: string | null;
}

export class SnapshotFiles {
  readonly #directory: string;
  readonly #shared: SharedFiles;
  #canShare: boolean | undefined;

  /** The directory of guests; `canShare` where that is known already, as for tests. */
  constructor(
    directory: string,
    { shared, canShare }: { shared: SharedFiles; canShare?: boolean },
  ) {
    this.#directory = directory;
    this.#shared = shared;
    this.#canShare = canShare;
  }

  #path(guest: string, id: string): string {
    return join(this.#directory, guest, SNAPSHOTS, id);
  }

  /** The VMM's directory of a snapshot that has memory. */
  memory(guest: string, id: string): string {
    return join(this.#path(guest, id), "memory");
  }

  disk(snapshot: Pick<SnapshotRecord, "guest" | "id">, disk: NamedDisk): string {
    const file = copyFile(snapshot, disk);
    if (file !== null) return this.#shared.path(file);
    return join(this.#path(snapshot.guest, snapshot.id), `${disk.name}.img`);
  }

  /** What a snapshot's memory takes on the host's disk. */
  memoryBytes(guest: string, id: string): number {
    const directory = this.memory(guest, id);
    let bytes = 0;
    for (const { name } of Deno.readDirSync(directory)) {
      bytes += (Deno.statSync(join(directory, name)).blocks ?? 0) * BLOCK_BYTES;
    }
    return bytes;
  }

  /** What a snapshot has on the host's disk, and on stores, that it shares with nothing. */
  async ownBytes(snapshot: Pick<SnapshotRecord, "guest" | "id" | "record">): Promise<number> {
    const directory = this.#path(snapshot.guest, snapshot.id);
    const namesIn = (path: string) => {
      const names = exists(path) ? [...Deno.readDirSync(path)] : [];
      return names.filter(({ isFile }) => isFile).map(({ name }) => join(path, name));
    };
    let bytes = 0;
    for (const path of [...namesIn(directory), ...namesIn(join(directory, "memory"))]) {
      // It may be deleted meanwhile.
      bytes += await ownBytes(path).catch(() => 0);
    }
    for (const file of filesOfSnapshot(snapshot)) {
      // Nor can every store be used at any time.
      bytes += await (async () => await ownBytes(this.#shared.path(file)))().catch(() => 0);
    }
    return bytes;
  }

  /** Whether copies of files take nothing here until they are written to. */
  get canShare(): boolean {
    this.#canShare ??= findSharing(this.#directory);
    return this.#canShare ?? false;
  }

  begin(guest: string, id: string): NewSnapshotFiles {
    const final = this.#path(guest, id);
    const parent = dirname(final);
    const temporary = join(parent, NEW_PREFIX + id);
    const disks: string[] = [];
    const shared: SharedFile[] = [];
    const settle = () => this.#shared.settle(shared);
    if (!exists(parent)) {
      Deno.mkdirSync(parent, { mode: 0o700 });
      syncDirectory(dirname(parent));
    }
    Deno.mkdirSync(temporary, { mode: 0o700 });
    return {
      memory: join(temporary, "memory"),
      disk: (disk) => {
        const file = copyFile({ guest, id }, disk);
        if (file !== null) shared.push(file);
        const path = file === null ? join(temporary, `${disk.name}.img`) : this.#shared.make(file);
        disks.push(path);
        return path;
      },
      appear: async () => {
        for (const path of disks) await syncFile(path);
        shared.forEach((file) => this.#shared.syncName(file));
        syncDirectory(temporary);
        renameDurably(temporary, final);
      },
      keep: settle,
      drop() {
        removeIfThere(temporary);
        removeIfThere(final);
        settle();
      },
    };
  }

  /** Removes one, which `forget` has nobody know of any more; from its first moment on, there is none. */
  delete(snapshot: Pick<SnapshotRecord, "guest" | "id" | "record">, forget: () => void): void {
    const { guest, id } = snapshot;
    const old = this.#path(guest, OLD_PREFIX + id);
    this.#shared.without(filesOfSnapshot(snapshot), forget);
    try {
      renameDurably(this.#path(guest, id), old);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    removeIfThere(old);
  }
}

/** Tries it with small files, of which nothing is left; undefined where there is no room for them, say. */
function findSharing(directory: string): boolean | undefined {
  const paths = ["a", "b"].map((end) => join(directory, `${NEW_PREFIX}probe-${end}`));
  const fds: number[] = [];
  try {
    paths.forEach(removeIfThere);
    for (const path of paths) fds.push(open(path, O_RDWR | O_CREAT | O_EXCL));
    return shareBlocks(fds[0], fds[1]);
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    return undefined;
  } finally {
    fds.forEach(close);
    paths.forEach(removeIfThere);
  }
}
