/**
 * SHA-256 without waiting, for threads that never go back to JavaScript's own event loop; and of files that
 * are larger than the memory that there is.
 *
 * @module
 */

interface Hash {
  update(bytes: Uint8Array): Hash;
  digest(): Uint8Array<ArrayBuffer>;
}

/** As a builtin of this Deno, which is only loaded by those who ask for it. */
function newHash(): Hash {
  const { process } = globalThis as unknown as {
    process: { getBuiltinModule(name: string): { createHash(algorithm: string): Hash } };
  };
  return process.getBuiltinModule("node:crypto").createHash("sha256");
}

export const SHA256_BYTES = 32;

/** The SHA-256 of these bytes, one part after the other. */
export function sha256(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const hash = newHash();
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
}

const PIECE_BYTES = 256 * 1024;

/** The SHA-256 in hex of a range of a file, or of as much as there is of it; in bytes, both. */
export async function sha256Of(
  file: Deno.FsFile,
  { position, length }: { position: number; length: number },
): Promise<string> {
  await file.seek(position, Deno.SeekMode.Start);
  const hash = newHash();
  const piece = new Uint8Array(Math.min(PIECE_BYTES, length));
  for (let left = length; left > 0;) {
    const count = await file.read(piece.subarray(0, Math.min(piece.length, left)));
    if (count === null) break;
    hash.update(piece.subarray(0, count));
    left -= count;
  }
  return new Uint8Array(hash.digest()).toHex();
}
