/**
 * Guests' own disks: a directory per guest on the data partition, which appears with its disks
 * complete or not at all, and files in it of which the same holds.
 *
 * @module
 */
import { join } from "@std/path";
import { isLocked } from "../../sys/flock.ts";
import { cloneFile } from "../../sys/reflink.ts";
import { removeIfThere, renameDurably, syncDirectory, syncFile } from "../durable.ts";
import { freeBytes, RESERVED_BYTES } from "../host.ts";
import { problem } from "../problem.ts";

const MIB = 1024 * 1024;
const SECTOR = 512;
/** What has a name with one of these before it is not there yet, or no more. */
export const NEW_PREFIX = ".new-";
export const OLD_PREFIX = ".old-";
/** Where in its directory a guest's snapshots lie. */
export const SNAPSHOTS = "snapshots";

/** What a disk is to be. */
export interface DiskRequest {
  /** Its file in its guest's directory. */
  file: string;
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
}

interface Owner {
  id: string;
  name: string;
}

/** What of a guest's directory is its own. */
export interface GuestFiles {
  /** Names of files. */
  disks: ReadonlySet<string>;
  /** Ids. */
  snapshots: ReadonlySet<string>;
}

/** The directory of guests. */
export class GuestDisks {
  readonly #directory: string;

  constructor(directory: string) {
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

  path(guest: string, file: string): string {
    return join(this.#directory, guest, file);
  }

  /** Makes a guest's directory with its disks; returns their sizes in MiB. */
  async create(guest: Owner, requests: readonly DiskRequest[]): Promise<number[]> {
    const temporary = join(this.#directory, NEW_PREFIX + guest.id);
    Deno.mkdirSync(temporary, { mode: 0o700 });
    return await keepOrRemove(guest, temporary, async () => {
      const sizes: number[] = [];
      for (const request of requests) {
        sizes.push(await this.#fill(join(temporary, request.file), guest, request));
      }
      syncDirectory(temporary);
      renameDurably(temporary, join(this.#directory, guest.id));
      return sizes;
    });
  }

  /**
   * Makes another disk for a guest. It appears when what is returned is called, which it need not be:
   * a copy can take long enough for its guest to be deleted.
   */
  async prepare(
    guest: Owner,
    request: DiskRequest,
  ): Promise<{ sizeMiB: number; appear: () => void; drop: () => void }> {
    const temporary = join(this.#directory, NEW_PREFIX + request.file);
    return await keepOrRemove(guest, temporary, async () => ({
      sizeMiB: await this.#fill(temporary, guest, request),
      appear: () => renameDurably(temporary, this.path(guest.id, request.file)),
      drop: () => removeIfThere(temporary),
    }));
  }

  /** Makes a guest's directory with copies of files, `to` being names in it. */
  async createFrom(
    guest: Owner,
    copies: readonly DiskCopy[],
    options: { signal?: AbortSignal } = {},
  ): Promise<void> {
    const temporary = join(this.#directory, NEW_PREFIX + guest.id);
    Deno.mkdirSync(temporary, { mode: 0o700 });
    await keepOrRemove(guest, temporary, async () => {
      const placed = copies.map(({ from, to }) => ({ from, to: join(temporary, to) }));
      await this.copy(guest, placed, options);
      for (const { to } of placed) await syncFile(to);
      syncDirectory(temporary);
      renameDurably(temporary, join(this.#directory, guest.id));
    });
  }

  /** Makes copies of files in a guest's directory, beside what is there. */
  async addFrom(
    guest: Owner,
    copies: readonly DiskCopy[],
    options: { signal?: AbortSignal } = {},
  ): Promise<{ drop: () => void }> {
    const placed = copies.map(({ from, to }) => ({ from, to: this.path(guest.id, to) }));
    const drop = () => placed.forEach(({ to }) => removeIfThere(to));
    try {
      await this.copy(guest, placed, options);
      for (const { to } of placed) await syncFile(to);
      syncDirectory(join(this.#directory, guest.id));
      return { drop };
    } catch (error) {
      drop();
      throw error;
    }
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
    for (const { from, to } of copies) {
      try {
        await cloneFile(from, to, {
          signal: options.signal,
          beforeCopy: async (bytes) => {
            if (await freeBytes(this.#directory) < bytes + RESERVED_BYTES) throw noRoom(guest.name);
            written += bytes;
          },
        });
      } catch (error) {
        throw isNoSpace(error) ? noRoom(guest.name) : error;
      }
    }
    return written;
  }

  /** Brings a running guest's disks to the host's, so that copying them later is quick. */
  async flush({ id, disks }: { id: string; disks: readonly { file: string }[] }): Promise<void> {
    for (const { file } of disks) await syncFile(this.path(id, file));
  }

  /** A directory for what is needed for a while; what is left of it is swept. */
  scratch(): { path: string; drop: () => void } {
    const path = join(this.#directory, NEW_PREFIX + crypto.randomUUID());
    Deno.mkdirSync(path, { mode: 0o700 });
    return { path, drop: () => removeIfThere(path) };
  }

  async #fill(path: string, { name }: Owner, request: DiskRequest): Promise<number> {
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
      await cloneFile(image.path, path, {
        beforeCopy: async (bytes) => {
          if (await freeBytes(this.#directory) < bytes + RESERVED_BYTES) throw noRoom(name);
        },
      });
      await Deno.truncate(path, size);
    }
    await syncFile(path);
    return Math.ceil(size / MIB);
  }

  /** Makes a disk larger, and returns once that is on the host's disk. */
  async grow(guest: Owner, file: string, sizeMiB: number): Promise<void> {
    const path = this.path(guest.id, file);
    if (Deno.statSync(path).size >= sizeMiB * MIB) return;
    await Deno.truncate(path, sizeMiB * MIB);
    await syncFile(path);
  }

  /** A disk's size as its file has it, in MiB; null where the file is missing. */
  sizeMiB(guest: string, file: string): number | null {
    try {
      return Math.ceil(Deno.statSync(this.path(guest, file)).size / MIB);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return null;
      throw error;
    }
  }

  /** Throws where the disk cannot be a guest's disk now. */
  check(guest: Owner, disk: { name: string; file: string }): void {
    const path = this.path(guest.id, disk.file);
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
    if (isLocked(path)) {
      throw problem("disk_in_use", `${whose}: "${path}" is in use by another process`);
    }
  }

  /** Removes one disk's file. */
  deleteFile(guest: string, file: string): void {
    removeIfThere(this.path(guest, file));
  }

  /** Removes a guest's directory; from its first moment on, the guest has none. */
  delete(id: string): void {
    const old = join(this.#directory, OLD_PREFIX + id);
    try {
      renameDurably(join(this.#directory, id), old);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    removeIfThere(old);
  }

  /** Removes what creations and deletions left that a power cut broke off; `known` is what guests have. */
  sweep(known: ReadonlyMap<string, GuestFiles>): string[] {
    const swept: string[] = [];
    const sweepIn = (path: string, files: ReadonlySet<string>) => {
      const names = namesIn(join(this.#directory, path), files);
      swept.push(...names.map((name) => join(path, name)));
    };
    for (const guest of namesIn(this.#directory)) {
      const has = known.get(guest);
      if (has === undefined) {
        swept.push(guest);
        continue;
      }
      sweepIn(guest, new Set([...has.disks, SNAPSHOTS]));
      if (namesIn(join(this.#directory, guest)).includes(SNAPSHOTS)) {
        sweepIn(join(guest, SNAPSHOTS), has.snapshots);
      }
    }
    for (const name of swept) removeIfThere(join(this.#directory, name));
    return swept;
  }
}

/** What lies in a directory, less what is `known`. */
function namesIn(directory: string, known: ReadonlySet<string> = new Set()): string[] {
  return [...Deno.readDirSync(directory)].map(({ name }) => name).filter((it) => !known.has(it));
}

/** Where `make` fails, nothing is left at `path`. */
async function keepOrRemove<T>(guest: Owner, path: string, make: () => Promise<T>): Promise<T> {
  try {
    return await make();
  } catch (error) {
    removeIfThere(path);
    throw isNoSpace(error) ? noRoom(guest.name) : error;
  }
}

function isNoSpace(error: unknown): boolean {
  return /os error 28|ENOSPC/.test(String(error));
}

function noRoom(name: string) {
  return problem(
    "disk_full",
    `Cannot create a disk of "${name}": the data partition is full`,
  );
}
