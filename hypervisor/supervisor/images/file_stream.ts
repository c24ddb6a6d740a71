/**
 * A file's bytes in large pieces: each piece costs a few turns between threads, so small ones would
 * make an upload slow.
 *
 * @module
 */

const PIECE_BYTES = 1024 * 1024;

/** Reads `file` to its end and closes it. */
export function fileStream(file: Deno.FsFile): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({
    async pull(controller) {
      const piece = new Uint8Array(PIECE_BYTES);
      const count = await file.read(piece);
      if (count !== null) return controller.enqueue(piece.subarray(0, count));
      file.close();
      controller.close();
    },
    cancel() {
      file.close();
    },
  }, { highWaterMark: 1 });
}
