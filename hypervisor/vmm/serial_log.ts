/**
 * The last bytes that a guest wrote to its serial port, for those who connect later.
 *
 * @module
 */

export class SerialLog {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  #written = 0;

  constructor(capacity: number) {
    this.#bytes = new Uint8Array(capacity);
  }

  append(bytes: Uint8Array): void {
    const capacity = this.#bytes.length;
    const kept = bytes.subarray(Math.max(0, bytes.length - capacity));
    let at = (this.#written + bytes.length - kept.length) % capacity;
    const first = kept.subarray(0, capacity - at);
    this.#bytes.set(first, at);
    at = 0;
    this.#bytes.set(kept.subarray(first.length), at);
    this.#written += bytes.length;
  }

  /** What there is, oldest first, as a copy. */
  read(): Uint8Array<ArrayBuffer> {
    const capacity = this.#bytes.length;
    if (this.#written <= capacity) return this.#bytes.slice(0, this.#written);
    const start = this.#written % capacity;
    const out = new Uint8Array(capacity);
    out.set(this.#bytes.subarray(start));
    out.set(this.#bytes.subarray(0, start), capacity - start);
    return out;
  }
}
