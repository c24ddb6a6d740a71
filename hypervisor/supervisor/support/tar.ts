/**
 * Files as a tar archive, in the form of POSIX (ustar).
 *
 * @module
 */

export interface TarFile {
  /** At most 100 characters of ASCII. */
  name: string;
  bytes: Uint8Array<ArrayBuffer>;
}

const BLOCK = 512;
const NAME_BYTES = 100;
/** Eleven octal digits. */
const MOST_BYTES = 8 ** 11;

/** The archive, file by file. */
export async function* tar(
  files: AsyncIterable<TarFile> | Iterable<TarFile>,
  options: { time: Date },
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  for await (const { name, bytes } of files) {
    yield tarHeader(name, bytes.length, options.time);
    yield bytes;
    const rest = bytes.length % BLOCK;
    if (rest > 0) yield new Uint8Array(BLOCK - rest);
  }
  yield new Uint8Array(2 * BLOCK);
}

/** The block before a file's bytes. */
export function tarHeader(name: string, size: number, time: Date): Uint8Array<ArrayBuffer> {
  if (!/^[\x21-\x7e]+$/.test(name) || name.length > NAME_BYTES) {
    throw new RangeError(
      `Cannot archive "${name}": a name has 1 to ${NAME_BYTES} letters of ASCII`,
    );
  }
  if (size >= MOST_BYTES) throw new RangeError(`Cannot archive "${name}": it has ${size} bytes`);
  const header = new Uint8Array(BLOCK);
  const put = (at: number, text: string) => header.set(new TextEncoder().encode(text), at);
  const octal = (at: number, value: number, digits: number) =>
    put(at, value.toString(8).padStart(digits, "0"));
  put(0, name);
  octal(100, 0o600, 7);
  octal(108, 0, 7);
  octal(116, 0, 7);
  octal(124, size, 11);
  octal(136, Math.max(0, Math.floor(time.getTime() / 1000)), 11);
  // The sum is of the block with spaces in its own place.
  put(148, "        ");
  put(156, "0");
  put(257, "ustar\x0000");
  octal(148, header.reduce((sum, it) => sum + it, 0), 6);
  put(154, "\0 ");
  return header;
}
