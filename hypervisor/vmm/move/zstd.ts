/**
 * Frames of zstd's, in which pages go packed.
 *
 * @module
 */
import { zlib } from "../../sys/zlib.ts";
import { MAX_PACKED_BYTES } from "./stream_format.ts";

const LEVEL = 1;
/** A result that fills what there is room for has the library look for more. */
const SPARE_BYTES = 64;
/** What a frame may be larger than what is in it: the library finds that out when it has no more room. */
const MOST_GROWTH = 2 ** 12;

export class FramePacker {
  readonly #zlib = zlib();

  /**
   * The bytes as a frame, which may be larger than they are. They are not to change meanwhile: a frame may refer
   * to what it has said of them before.
   */
  pack(bytes: Uint8Array): Uint8Array {
    const { constants: { ZSTD_c_compressionLevel }, zstdCompressSync } = this.#zlib;
    const options = {
      chunkSize: bytes.length + MOST_GROWTH,
      params: { [ZSTD_c_compressionLevel]: LEVEL },
      // It is in the frame, and the library takes no more memory than that needs.
      pledgedSrcSize: bytes.length,
    };
    return zstdCompressSync(bytes, options);
  }
}

export class FrameUnpacker {
  readonly #zlib = zlib();

  /** What is in a frame, which has to be so many bytes. Throws a RangeError where it is anything else. */
  unpack(frame: Uint8Array, length: number): Uint8Array {
    const { constants: { ZSTD_d_windowLogMax }, zstdDecompressSync } = this.#zlib;
    const options = {
      chunkSize: length + SPARE_BYTES,
      maxOutputLength: length,
      // A frame that wants more memory than any of ours is refused before it gets any.
      params: { [ZSTD_d_windowLogMax]: Math.log2(MAX_PACKED_BYTES) },
    };
    let bytes: Uint8Array;
    try {
      bytes = zstdDecompressSync(frame, options);
    } catch (cause) {
      const { message } = cause as Error;
      throw new RangeError(
        `Cannot receive memory: what is packed in ${frame.length} bytes does not unpack: ${message}`,
        { cause },
      );
    }
    if (bytes.length !== length) {
      throw new RangeError(
        `Cannot receive memory: ${bytes.length} bytes were packed, not ${length}`,
      );
    }
    return bytes;
  }
}
