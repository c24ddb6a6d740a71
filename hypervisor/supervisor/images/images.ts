/**
 * Images on the data partition: kernels, initrds and disks, a file each, that guests are made from.
 * One that exists is never changed, so whatever was made from it stays explained.
 *
 * @module
 */
import { join } from "@std/path";
import { type Image, IMAGE_KINDS, type ImageKind } from "../api/schemas.ts";
import { removeIfThere, renameDurably } from "../durable.ts";
import { freeBytes, RESERVED_BYTES } from "../host.ts";
import { problem } from "../problem.ts";

const UPLOAD_PREFIX = ".upload-";
/** Written between two looks at the free space. */
const CHECK_EVERY_BYTES = 64 * 1024 * 1024;

const QCOW2_MAGIC = [0x51, 0x46, 0x49, 0xfb];

export interface ImagesOptions {
  directory: string;
  /** Which guests need an image; such an image stays. */
  usersOf: (kind: ImageKind, name: string) => string[];
}

/** The directory of images. */
export class Images {
  readonly #directory: string;
  readonly #usersOf: ImagesOptions["usersOf"];

  constructor(options: ImagesOptions) {
    this.#directory = options.directory;
    this.#usersOf = options.usersOf;
    for (const kind of IMAGE_KINDS) {
      const directory = join(this.#directory, kind);
      Deno.mkdirSync(directory, { recursive: true, mode: 0o700 });
      for (const { name } of [...Deno.readDirSync(directory)]) {
        // What an upload left that a power cut broke off.
        if (name.startsWith(UPLOAD_PREFIX)) removeIfThere(join(directory, name));
      }
    }
  }

  /** Where the image lies, or would. */
  path(kind: ImageKind, name: string): string {
    return join(this.#directory, kind, name);
  }

  /** Where an image can be written that another host sends; what is left there, the next start removes. */
  arriving(kind: ImageKind): string {
    return join(this.#directory, kind, UPLOAD_PREFIX + crypto.randomUUID());
  }

  list(): Image[] {
    return IMAGE_KINDS.flatMap((kind) =>
      [...Deno.readDirSync(join(this.#directory, kind))]
        .filter(({ name, isFile }) => isFile && !name.startsWith("."))
        .map(({ name }) => this.get(kind, name))
        .filter((image) => image !== null)
        .sort((a, b) => a.name < b.name ? -1 : 1)
    );
  }

  get(kind: ImageKind, name: string): Image | null {
    try {
      const { size, mtime } = Deno.statSync(this.path(kind, name));
      return {
        kind,
        name,
        sizeBytes: size,
        createdAt: (mtime ?? new Date(0)).toISOString(),
        usedBy: this.#usersOf(kind, name),
      };
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return null;
      throw error;
    }
  }

  /** The image's path; throws where there is no such image. */
  require(kind: ImageKind, name: string): string {
    const image = this.get(kind, name);
    if (image === null) {
      throw problem(
        "no_such_image",
        `Cannot use the ${kind} image "${name}": there is none of this name. Upload it first`,
      );
    }
    return this.path(kind, name);
  }

  /** Takes an upload; where it breaks off, or `signal` aborts, nothing is left of it. */
  async put(
    { kind, name }: { kind: ImageKind; name: string },
    bytes: ReadableStream<Uint8Array<ArrayBuffer>>,
    options: { size?: number; signal?: AbortSignal } = {},
  ): Promise<Image> {
    try {
      this.#refuseExisting(kind, name);
      await this.#refuseTooLarge(name, options.size ?? 0);
    } catch (error) {
      await bytes.cancel().catch(() => {});
      throw error;
    }
    const path = this.path(kind, name);
    const temporary = join(this.#directory, kind, UPLOAD_PREFIX + crypto.randomUUID());
    try {
      {
        using file = await Deno.open(temporary, { write: true, createNew: true, mode: 0o600 });
        const written = await this.#write(file, bytes, { name, signal: options.signal });
        if (options.size !== undefined && written !== options.size) {
          throw problem(
            "bad_image",
            `Cannot keep the image "${name}": ${written} of ${options.size} bytes arrived`,
          );
        }
        if (written === 0) {
          throw problem("bad_image", `Cannot keep the image "${name}": it is empty`);
        }
        await file.sync();
      }
      if (kind === "disk") refuseQcow2(temporary, name);
      options.signal?.throwIfAborted();
      // Another upload of the same name may have finished meanwhile.
      this.#refuseExisting(kind, name);
      renameDurably(temporary, path);
    } catch (error) {
      removeIfThere(temporary);
      throw error;
    }
    return this.get(kind, name)!;
  }

  async #write(
    file: Deno.FsFile,
    bytes: ReadableStream<Uint8Array<ArrayBuffer>>,
    { name, signal }: { name: string; signal?: AbortSignal },
  ): Promise<number> {
    let written = 0;
    let nextCheck = CHECK_EVERY_BYTES;
    for await (const chunk of bytes) {
      signal?.throwIfAborted();
      if (written + chunk.length > nextCheck) {
        await this.#refuseTooLarge(name, chunk.length);
        nextCheck = written + CHECK_EVERY_BYTES;
      }
      try {
        for (let at = 0; at < chunk.length;) at += await file.write(chunk.subarray(at));
      } catch (error) {
        if (!/os error 28|ENOSPC/.test(String(error))) throw error;
        throw diskFull(name);
      }
      written += chunk.length;
    }
    return written;
  }

  #refuseExisting(kind: ImageKind, name: string) {
    if (this.get(kind, name) !== null) {
      throw problem(
        "image_exists",
        `Cannot keep the ${kind} image "${name}": there is one of this name. Delete it first`,
      );
    }
  }

  async #refuseTooLarge(name: string, size: number) {
    if (await freeBytes(this.#directory) < size + RESERVED_BYTES) throw diskFull(name);
  }

  delete(kind: ImageKind, name: string): void {
    const image = this.get(kind, name);
    if (image === null) {
      throw problem("not_found", `Cannot delete the ${kind} image "${name}": there is none`);
    }
    if (image.usedBy.length > 0) {
      throw problem(
        "image_in_use",
        `Cannot delete the ${kind} image "${name}": it is used by ${image.usedBy.join(", ")}`,
      );
    }
    removeIfThere(this.path(kind, name));
  }
}

function diskFull(name: string) {
  return problem("disk_full", `Cannot keep the image "${name}": the data partition is full`);
}

// Guests get their disk's bytes as they are: a guest would see the container, not the disk in it.
function refuseQcow2(path: string, name: string) {
  using file = Deno.openSync(path);
  const head = new Uint8Array(QCOW2_MAGIC.length);
  const count = file.readSync(head);
  if (count === QCOW2_MAGIC.length && QCOW2_MAGIC.every((byte, i) => head[i] === byte)) {
    throw problem(
      "bad_image",
      `Cannot keep the disk image "${name}": it is qcow2 and must be raw. Convert it with ` +
        "qemu-img convert -O raw",
    );
  }
}
