/**
 * Pages on their way into a frame: gathered, packed if that makes them smaller, and where they belong.
 *
 * @module
 */
import { map } from "../../sys/mapping.ts";
import { PackChoice } from "./pack_choice.ts";
import type { RamArea } from "./ram_image.ts";
import { MAX_PACKED_BYTES, MAX_PLACES, PackedPlace, type RamPlace } from "./stream_format.ts";
import { FramePacker } from "./zstd.ts";

/** "zstd": all that shrinks; "auto": only while that makes it go faster. */
export type Compression = "zstd" | "auto";

/** A frame is worth it that is no more than this part of what is in it. */
const SHRINKS = 0.9;
/** After frames that were not, so many are not even tried at most. */
const MOST_SKIPPED = 16;

/** Pages are packed where they have been copied to: see {@linkcode Packing.add}. */
export class Packing {
  /** Where the pages of a frame belong. */
  readonly places: readonly RamPlace[];
  placeCount = 0;
  /** Bytes of memory that are gathered. */
  gathered = 0;
  /** The list of places and the frame lie there, one after the other. */
  readonly address: number;
  readonly #pages = map(MAX_PACKED_BYTES, { private: true });
  readonly #copies = new Uint8Array(this.#pages.buffer);
  readonly #out = map(MAX_PLACES * PackedPlace.size + MAX_PACKED_BYTES, { private: true });
  readonly #packer = new FramePacker();
  readonly #choice: PackChoice | undefined;
  #skip = 0;
  #skipNext = 1;

  /** `now` is the time in milliseconds. */
  constructor(compression: Compression, now?: () => number) {
    if (compression === "auto") this.#choice = new PackChoice(now);
    this.address = this.#out.address;
    this.places = Array.from(
      { length: MAX_PLACES },
      (_, i) => PackedPlace.at(this.#out.buffer, i * PackedPlace.size),
    );
  }

  /** Whether what comes next is to be packed. */
  get packs(): boolean {
    return this.#choice?.packs ?? true;
  }

  /** See {@linkcode PackChoice}. */
  begin(): void {
    this.#choice?.begin();
  }

  waited(ms: number): void {
    this.#choice?.waited(ms);
  }

  sent(memory: number, wire: number): void {
    this.#choice?.sent(memory, wire);
  }

  get isFull(): boolean {
    return this.gathered === MAX_PACKED_BYTES || this.placeCount === MAX_PLACES;
  }

  /**
   * Takes as much of a range of `memory` as there is room for; how much. It is copied, for the guest may write to
   * it: a frame that says "as on that page" of one which the guest has changed since would unpack to what
   * neither had, and only one of the two is sent again.
   */
  add(memory: Uint8Array<ArrayBuffer>, { offset, length }: RamArea): number {
    const taken = Math.min(length, MAX_PACKED_BYTES - this.gathered);
    this.#copies.set(memory.subarray(offset, offset + taken), this.gathered);
    const place = this.places[this.placeCount++];
    place.offset = offset;
    place.length = taken;
    this.gathered += taken;
    return taken;
  }

  /** Packs what is gathered; the frame's bytes, 0 where it is not worth it. */
  pack(): number {
    if (this.#skip > 0) {
      this.#skip--;
      return 0;
    }
    const frame = this.#packer.pack(this.#copies.subarray(0, this.gathered));
    if (frame.length > SHRINKS * this.gathered) {
      this.#skip = this.#skipNext;
      this.#skipNext = Math.min(2 * this.#skipNext, MOST_SKIPPED);
      return 0;
    }
    this.#skipNext = 1;
    new Uint8Array(this.#out.buffer).set(frame, this.placeCount * PackedPlace.size);
    return frame.length;
  }

  /** What was gathered is on its way. */
  clear(): void {
    this.placeCount = this.gathered = 0;
  }

  close(): void {
    this.#pages.unmap();
    this.#out.unmap();
  }
}
