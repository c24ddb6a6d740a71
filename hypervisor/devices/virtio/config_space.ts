/**
 * A device's configuration as the driver reads it (virtio 1.2, section 2.5).
 *
 * @module
 */

/** Read-only bytes; what lies outside reads as 0. */
export class ConfigSpace {
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** A little-endian value of `size` bytes (1, 2 or 4). */
  read(offset: number, size: number): number {
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 256 + (this.#bytes[offset + i] ?? 0);
    return value;
  }
}
