/**
 * SHA-256 of files that may be large or have holes, without holding up anybody.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { type Piece, SourceFile } from "./disk_files.ts";

const PART_BYTES = 1 << 20;

/** In hex. */
export async function sha256OfFile(path: string): Promise<string> {
  using file = await Deno.open(path);
  const hash = createHash("sha256");
  const part = new Uint8Array(PART_BYTES);
  for (;;) {
    const count = await file.read(part);
    if (count === null) return hash.digest("hex");
    hash.update(part.subarray(0, count));
  }
}

/** Read between two turns of the event loop, in blocks. */
const BLOCKS_A_TURN = 8;

/** SHA-256 of where a file has what: the same for two files of the same content, wherever they have holes. */
export class ContentDigest {
  readonly #hash = createHash("sha256");
  readonly #head = new DataView(new ArrayBuffer(16));

  constructor(bytes: number) {
    this.#say(bytes, 0);
  }

  /** The next of the file's blocks; those that are zeros, or left out, are the same. */
  add({ position, length, bytes }: Piece): void {
    if (bytes === null) return;
    this.#say(position, length);
    this.#hash.update(bytes);
  }

  #say(a: number, b: number) {
    this.#head.setFloat64(0, a);
    this.#head.setFloat64(8, b);
    this.#hash.update(new Uint8Array(this.#head.buffer));
  }

  /** In hex. */
  end(): string {
    return this.#hash.digest("hex");
  }
}

/** In hex. */
export async function contentDigestOf(path: string): Promise<string> {
  using file = new SourceFile(path);
  const digest = new ContentDigest(file.bytes);
  let blocks = 0;
  for (const block of file.blocks()) {
    digest.add(block);
    if (++blocks % BLOCKS_A_TURN === 0) await new Promise((resolve) => setTimeout(resolve, 0));
  }
  return digest.end();
}
