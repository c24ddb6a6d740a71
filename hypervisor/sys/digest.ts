/**
 * SHA-256 without waiting: for threads that never go back to JavaScript's own event loop.
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
