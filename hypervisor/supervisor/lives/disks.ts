/**
 * Guests' own disks: a directory per guest on the data partition, which appears with its disk
 * complete or not at all.
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
const NEW_PREFIX = ".new-";
const OLD_PREFIX = ".old-";

/** What a guest's disk is to be. */
export interface DiskRequest {
  /** The path of a disk image to copy, with its name for errors; null for an empty disk. */
  image: { name: string; path: string } | null;
  /** Null for the image's own size. */
  sizeMiB: number | null;
}

/** The directory of guests. */
export class GuestDisks {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    Deno.mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  path(id: string): string {
    return join(this.#directory, id, "disk.img");
  }

  /** Makes a guest's directory, and its disk where it has one; returns the disk's size in MiB. */
  async create(
    guest: { id: string; name: string },
    request: DiskRequest | null,
  ): Promise<number | null> {
    const temporary = join(this.#directory, NEW_PREFIX + guest.id);
    Deno.mkdirSync(temporary, { mode: 0o700 });
    try {
      const sizeMiB = request && await this.#fill(join(temporary, "disk.img"), guest, request);
      syncDirectory(temporary);
      renameDurably(temporary, join(this.#directory, guest.id));
      return sizeMiB;
    } catch (error) {
      removeIfThere(temporary);
      if (/os error 28|ENOSPC/.test(String(error))) throw noRoom(guest.name);
      throw error;
    }
  }

  async #fill(path: string, { name }: { name: string }, request: DiskRequest): Promise<number> {
    const { image } = request;
    const imageSize = image === null ? 0 : Deno.statSync(image.path).size;
    const size = request.sizeMiB === null
      ? Math.ceil(imageSize / SECTOR) * SECTOR
      : request.sizeMiB * MIB;
    if (size < imageSize) {
      throw problem(
        "disk_too_small",
        `Cannot create the disk of "${name}" with ${request.sizeMiB} MiB: its image ` +
          `"${image!.name}" has ${Math.ceil(imageSize / MIB)} MiB`,
        { fields: [{ path: "disk.sizeMiB", message: `at least ${Math.ceil(imageSize / MIB)}` }] },
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

  /** Throws where the disk cannot be a guest's disk now. */
  check(guest: { id: string; name: string }): void {
    const path = this.path(guest.id);
    const refuse = (what: string) =>
      problem("bad_disk", `Cannot start "${guest.name}": its disk ${what}`);
    let size: number;
    try {
      size = Deno.statSync(path).size;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) throw refuse(`"${path}" is missing`);
      throw error;
    }
    if (size === 0) throw refuse(`"${path}" is empty: it must have at least ${SECTOR} bytes`);
    if (size % SECTOR !== 0) {
      throw refuse(`"${path}" has ${size} bytes, which is not a multiple of ${SECTOR}`);
    }
    if (isLocked(path)) {
      throw problem(
        "disk_in_use",
        `Cannot start "${guest.name}": its disk "${path}" is in use by another process`,
      );
    }
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

  /** Removes what creations and deletions left that a power cut broke off. */
  sweep(known: Set<string>): string[] {
    const swept = [...Deno.readDirSync(this.#directory)]
      .map(({ name }) => name)
      .filter((name) => !known.has(name));
    for (const name of swept) removeIfThere(join(this.#directory, name));
    return swept;
  }
}

function noRoom(name: string) {
  return problem(
    "disk_full",
    `Cannot create the disk of "${name}": the data partition is full`,
  );
}
