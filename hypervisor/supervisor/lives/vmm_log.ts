/**
 * What a VMM prints: a file that it appends to.
 *
 * @module
 */
const LIMIT_BYTES = 1024 * 1024;
const TAIL_BYTES = 8 * 1024;

/** The last of it. */
export function logTail(path: string): string {
  try {
    using file = Deno.openSync(path);
    const size = file.statSync().size;
    file.seekSync(Math.max(0, size - TAIL_BYTES), Deno.SeekMode.Start);
    const bytes = new Uint8Array(TAIL_BYTES);
    const count = file.readSync(bytes) ?? 0;
    return new TextDecoder().decode(bytes.subarray(0, count));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
}

/** Empties it where it has grown too long; the VMM appends, so it goes on at the start. */
export function boundLog(path: string): void {
  try {
    if (Deno.statSync(path).size > LIMIT_BYTES) Deno.truncateSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
