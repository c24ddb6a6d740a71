/**
 * How much is read at once, for tests of what must not hold a whole file in memory.
 *
 * @module
 */

/** Runs `act`, and returns the size of the largest piece of a file that it asked for. */
export async function largestRead(act: () => Promise<unknown>): Promise<number> {
  const file = Deno.FsFile.prototype;
  const { read } = file;
  const { readFile } = Deno;
  let largest = 0;
  file.read = function (this: Deno.FsFile, into: Uint8Array) {
    largest = Math.max(largest, into.length);
    return read.call(this, into);
  };
  Deno.readFile = async (path, options) => {
    const bytes = await readFile(path, options);
    largest = Math.max(largest, bytes.length);
    return bytes;
  };
  try {
    await act();
  } finally {
    file.read = read;
    Deno.readFile = readFile;
  }
  return largest;
}
