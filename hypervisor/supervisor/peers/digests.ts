/**
 * SHA-256 of files that may be large, without holding up anybody.
 *
 * @module
 */
import { createHash } from "node:crypto";

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
