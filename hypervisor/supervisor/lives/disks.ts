/**
 * Guests' own disks: a directory per guest on the data partition, which appears with its disks
 * complete or not at all, and files in it of which the same holds. Disks on storage that other hosts see too
 * lie there instead: see `../shared/files.ts`.
 *
 * @module
 */
import { join } from "@std/path";
import { isLocked } from "../../sys/flock.ts";
import { cloneFile } from "../../sys/reflink.ts";
import { removeIfThere, renameDurably, syncDirectory, syncFile } from "../durable.ts";
import { ApiProblem, problem } from "../problem.ts";
import { diskFile, type SharedFile, type SharedFiles } from "../shared/files.ts";
import { isNoSpace, noRoom, refuseFull } from "./disk_room.ts";

const MIB = 1024 * 1024;
const SECTOR = 512;
/** What has a name with one of these before it is not there yet, or no more. */
export const NEW_PREFIX = ".new-";
export const OLD_PREFIX = ".old-";

/** Where a disk lies. */
export interface DiskPlace {
  /** Its file in its guest's directory. */
  file: string;
  /** The storage on which that directory is; null for the data partition. */
  store: string | null;
}

/** What a disk is to be. */
export interface DiskRequest extends DiskPlace {
  /** The path of a disk image to copy, with its name for errors; null for an empty disk. */
  image: { name: string; path: string } | null;
  /** Null for the image's own size. */
  sizeMiB: number | null;
  /** Where its size stands in the request's body. */
  sizeField: string;
}

/** A file that is to be a copy of another. */
export interface DiskCopy {
  from: string;
  to: string;
  /** The storage on which the copy is to be. */
  store: string | null;
}

/** The same for one in a guest's directory. */
export interface PlacedCopy {
  from: string;
  to: DiskPlace;
}

interface Owner {
  id: string;
  name: string;
}

/** The directory of guests. */
export class GuestDisks {
  readonly #directory: string;

  constructor(directory: string, readonly shared: SharedFiles) {
    this.#directory = directory;
    Deno.mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  /** Where the disks of all guests lie. */
  get directory(): string {
    return this.#directory;
  }

  /** Where a guest's disks lie. */
  folder(guest: string): string {
    return join(this.#directory, guest);
  }

  /** Whether there is anything of a guest's. */
  has(guest: string): boolean {
    return [...Deno.readDirSync(this.#directory)].some(({ name }) => name === guest);
  }

  /** Throws where the disk is on a store that cannot be used. */
  path(guest: string, disk: DiskPlace): string {
    const file = diskFile(guest, disk);
    return file === null ? join(this.#directory, guest, disk.file) : this.shared.path(file);
  }

  /**
   * Makes a guest's directory with its disks; returns their sizes in MiB. What is on stores goes again unless
   * the guest is kept when {@linkcode settle} is called.
   */
  async create(guest: Owner, requests: readonly DiskRequest[]): Promise<number[]> {
    await this.shared.require(requests.map(({ store }) => store));
    return await this.#make(guest, async (placeFor) => {
      const sizes: number[] = [];
      for (const request of requests) {
        sizes.push(await this.#fill(placeFor(request), guest, request));
      }
      return sizes;
    });
  }

  /** Makes a guest's directory, which appears once `fill` has put its disks where they belong. */
  async #make<T>(
    guest: Owner,
    fill: (placeFor: (disk: DiskPlace) => string) => Promise<T>,
  ): Promise<T> {
    const temporary = join(this.#directory, NEW_PREFIX + guest.id);
    const shared: SharedFile[] = [];
    Deno.mkdirSync(temporary, { mode: 0o700 });
    try {
      const result = await fill((disk) => {
        const file = diskFile(guest.id, disk);
        if (file === null) return join(temporary, disk.file);
        shared.push(file);
        return this.shared.make(file);
      });
      shared.forEach((file) => this.shared.syncName(file));
      syncDirectory(temporary);
      renameDurably(temporary, join(this.#directory, guest.id));
      return result;
    } catch (error) {
      removeIfThere(temporary);
      this.shared.settle(shared);
      throw error;
    }
  }

  /**
   * Makes another disk for a guest. It appears when that is called, which it need not be: a copy can take long
   * enough for its guest to be deleted. In the end, it is kept or dropped.
   */
  async prepare(
    guest: Owner,
    request: DiskRequest,
  ): Promise<{ sizeMiB: number; appear: () => void; keep: () => void; drop: () => void }> {
    await this.shared.require([request.store]);
    const file = diskFile(guest.id, request);
    const temporary = file === null
      ? join(this.#directory, NEW_PREFIX + request.file)
      : this.shared.make(file);
    const settle = () => file !== null && this.shared.settle([file]);
    const appear = () =>
      file === null
        ? renameDurably(temporary, this.path(guest.id, request))
        : this.shared.syncName(file);
    const drop = () => {
      if (file === null) [temporary, this.path(guest.id, request)].forEach(removeIfThere);
      settle();
    };
    try {
      const sizeMiB = await this.#fill(temporary, guest, request);
      return { sizeMiB, appear, keep: settle, drop };
    } catch (error) {
      drop();
      throw error;
    }
  }

  /** Makes a guest's directory with copies of files; see {@linkcode create}. */
  async createFrom(
    guest: Owner,
    copies: readonly PlacedCopy[],
    options: { signal?: AbortSignal } = {},
  ): Promise<void> {
    await this.#make(guest, async (placeFor) => {
      const placed = copies.map(({ from, to }) => ({ from, to: placeFor(to), store: to.store }));
      await this.copy(guest, placed, options);
      for (const { to } of placed) await syncFile(to);
    });
  }

  /** Makes copies of files in a guest's directory, beside what is there; in the end, they are kept or dropped. */
  async addFrom(
    guest: Owner,
    copies: readonly PlacedCopy[],
    options: { signal?: AbortSignal } = {},
  ): Promise<{ keep: () => void; drop: () => void }> {
    const shared = copies.flatMap(({ to }) => diskFile(guest.id, to) ?? []);
    const keep = () => this.shared.settle(shared);
    const drop = () => {
      for (const { to } of copies) if (to.store === null) removeIfThere(this.path(guest.id, to));
      keep();
    };
    try {
      shared.forEach((file) => this.shared.make(file));
      const placed = copies.map(({ from, to }) => ({
        ...{ from, to: this.path(guest.id, to), store: to.store },
      }));
      await this.copy(guest, placed, options);
      for (const { to } of placed) await syncFile(to);
      shared.forEach((file) => this.shared.syncName(file));
      syncDirectory(join(this.#directory, guest.id));
      return { keep, drop };
    } catch (error) {
      drop();
      throw error;
    }
  }

  /** A guest is kept now, or will not be: what was made for it on stores stays, or goes. */
  settle(guest: string, disks: readonly DiskPlace[]): void {
    this.shared.settle(disks.flatMap((disk) => diskFile(guest, disk) ?? []));
  }

  /**
   * Makes copies, which share their blocks where the file system can; nothing is synced. Returns how many
   * bytes it had to write.
   */
  async copy(
    guest: Owner,
    copies: readonly DiskCopy[],
    options: { signal?: AbortSignal } = {},
  ): Promise<number> {
    let written = 0;
    for (const { from, to, store } of copies) {
      try {
        await cloneFile(from, to, {
          signal: options.signal,
          beforeCopy: async (bytes) => {
            await refuseFull(to, bytes);
            written += bytes;
          },
        });
      } catch (error) {
        throw isNoSpace(error) ? noRoom(guest.name, store) : error;
      }
    }
    return written;
  }

  /** Brings a running guest's disks to where they are stored, so that copying them later is quick. */
  async flush({ id, disks }: { id: string; disks: readonly DiskPlace[] }): Promise<void> {
    for (const disk of disks) await syncFile(this.path(id, disk));
  }

  /** Where a guest's disks can be copied to for a while; what is left of that is swept. */
  scratch(guest: string): { at: (disk: DiskPlace) => string; drop: () => void } {
    const name = crypto.randomUUID();
    const path = join(this.#directory, NEW_PREFIX + name);
    const shared: SharedFile[] = [];
    Deno.mkdirSync(path, { mode: 0o700 });
    return {
      // Where it can share the disk's blocks.
      at: (disk) => {
        const file = diskFile(guest, { ...disk, file: `${NEW_PREFIX}${name}-${disk.file}` });
        if (file === null) return join(path, disk.file);
        const known = shared.some((it) => it.path === file.path);
        if (known) return this.shared.path(file);
        shared.push(file);
        return this.shared.make(file);
      },
      drop: () => {
        removeIfThere(path);
        this.shared.settle(shared);
      },
    };
  }

  async #fill(path: string, guest: Owner, request: DiskRequest): Promise<number> {
    try {
      return await this.#fillFrom(path, guest, request);
    } catch (error) {
      throw isNoSpace(error) ? noRoom(guest.name, request.store) : error;
    }
  }

  async #fillFrom(path: string, { name }: Owner, request: DiskRequest): Promise<number> {
    const { image } = request;
    const imageSize = image === null ? 0 : Deno.statSync(image.path).size;
    const size = request.sizeMiB === null
      ? Math.ceil(imageSize / SECTOR) * SECTOR
      : request.sizeMiB * MIB;
    if (size < imageSize) {
      throw problem(
        "disk_too_small",
        `Cannot create a disk of "${name}" with ${request.sizeMiB} MiB: its image ` +
          `"${image!.name}" has ${Math.ceil(imageSize / MIB)} MiB`,
        {
          fields: [{
            path: request.sizeField,
            message: `must be at least ${Math.ceil(imageSize / MIB)}`,
          }],
        },
      );
    }
    if (image === null) {
      using file = await Deno.open(path, { write: true, createNew: true, mode: 0o600 });
      await file.truncate(size);
    } else {
      await cloneFile(image.path, path, { beforeCopy: (bytes) => refuseFull(path, bytes) });
      await Deno.truncate(path, size);
    }
    await syncFile(path);
    return Math.ceil(size / MIB);
  }

  /** Makes a disk larger, and returns once that is on the host's disk. */
  async grow(guest: Owner, disk: DiskPlace, sizeMiB: number): Promise<void> {
    const path = this.path(guest.id, disk);
    if (Deno.statSync(path).size >= sizeMiB * MIB) return;
    await Deno.truncate(path, sizeMiB * MIB);
    await syncFile(path);
  }

  /** A disk's size as its file has it, in MiB; null where the file is missing, or nobody can look. */
  sizeMiB(guest: string, disk: DiskPlace): number | null {
    try {
      return Math.ceil(Deno.statSync(this.path(guest, disk)).size / MIB);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound || error instanceof ApiProblem) return null;
      throw error;
    }
  }

  /** Throws where the disk cannot be a guest's disk now. */
  check(guest: Owner, disk: DiskPlace & { name: string }): void {
    const path = this.path(guest.id, disk);
    const whose = `Cannot use the disk "${disk.name}" of "${guest.name}"`;
    const refuse = (what: string) => problem("bad_disk", `${whose}: "${path}" ${what}`);
    let size: number;
    try {
      size = Deno.statSync(path).size;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) throw refuse("is missing");
      throw error;
    }
    if (size === 0) throw refuse(`is empty: it must have at least ${SECTOR} bytes`);
    if (size % SECTOR !== 0) {
      throw refuse(`has ${size} bytes, which is not a multiple of ${SECTOR}`);
    }
    const file = diskFile(guest.id, disk);
    if (file !== null) this.shared.refuseUnseen(file);
    if (isLocked(path)) {
      const who = file === null ? "another process" : "another process, or another host";
      throw problem("disk_in_use", `${whose}: "${path}" is in use by ${who}`);
    }
  }

  /** Removes the files of disks that `change` takes from a guest; where that throws, they stay. */
  without<T>(guest: string, disks: readonly DiskPlace[], change: () => T): T {
    const shared = disks.flatMap((disk) => diskFile(guest, disk) ?? []);
    const result = this.shared.without(shared, change);
    for (const disk of disks) if (disk.store === null) removeIfThere(this.path(guest, disk));
    return result;
  }

  /** Removes a guest's directory; from its first moment on, the guest has none. What it has on stores stays. */
  delete(id: string): void {
    const old = join(this.#directory, OLD_PREFIX + id);
    try {
      renameDurably(join(this.#directory, id), old);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    removeIfThere(old);
  }
}
