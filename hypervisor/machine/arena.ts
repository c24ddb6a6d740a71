/**
 * One shared block of memory that holds every register of every device, in declared layouts.
 *
 * All workers of a VMM place the same layouts in the same order over the same bytes, so they see the
 * same registers. The block describes itself: it begins with a directory of what lies where, so a
 * copy of it is a snapshot of all devices.
 *
 * @module
 */
import { type Fields, type Struct, struct, type View } from "../sys/struct.ts";

const Entry = struct("arena_entry", {
  name: ["u8", 48],
  version: "u32",
  offset: "u32",
  size: "u32",
  reserved: "u32",
});
const Header = struct("arena_header", { magic: "u32", count: "u32", end: "u32", reserved: "u32" });

const MAGIC = 0x564e4544; // "DENV"
/** For each of two dozen devices half a dozen, and those of the ports that more come by. */
const MAX_ENTRIES = 512;
/** Of one device. */
const MAX_INNER_ENTRIES = 32;
/** Every section has its own cache lines, so that threads do not share one by accident. */
const ALIGN = 64;
/** Where the sections begin. */
const after = (entries: number) => Math.ceil((Header.size + entries * Entry.size) / ALIGN) * ALIGN;

export const ARENA_BYTES = 512 * 1024;

/** A part of an arena that is an arena itself: for a device that comes and goes. */
export interface InnerArena {
  offset: number;
  length: number;
}

export class Arena {
  readonly buffer: SharedArrayBuffer;
  readonly #base: number;
  readonly #length: number;
  readonly #entries: number;
  #next: number;
  #count = 0;

  constructor(buffer = new SharedArrayBuffer(ARENA_BYTES), part?: InnerArena) {
    this.buffer = buffer;
    this.#base = part?.offset ?? 0;
    this.#length = part?.length ?? buffer.byteLength;
    this.#entries = part === undefined ? MAX_ENTRIES : MAX_INNER_ENTRIES;
    this.#next = after(this.#entries);
  }

  /** Room for other arenas, one after the other: see {@linkcode Arena.within}. */
  reserve(name: string, length: number): InnerArena {
    const section = this.place(name, struct("inner_arena", { bytes: ["u8", length] }));
    return { offset: section.$bytes.byteOffset, length };
  }

  /** An arena in what was reserved: `fresh` for the first thread that places sections in it. */
  within(part: InnerArena, options: { fresh?: boolean } = {}): Arena {
    if (options.fresh) new Uint8Array(this.buffer, part.offset, part.length).fill(0);
    return new Arena(this.buffer, part);
  }

  /**
   * The section `name`, laid out as `layout`. The first worker to come enters it in the directory;
   * those that follow must agree with it.
   */
  place<F extends Fields>(name: string, layout: Struct<F>, version = 1): View<F> {
    const offset = this.#next;
    const base = this.#base;
    const size = layout.size;
    if (this.#count === this.#entries || offset + size > this.#length) {
      throw new RangeError(`Cannot place "${name}" in the arena: ${size} bytes do not fit`);
    }
    const entry = Entry.at(this.buffer, base + Header.size + this.#count * Entry.size);
    const header = Header.at(this.buffer, base);
    const label = new Uint8Array(entry.name.length);
    if (new TextEncoder().encodeInto(name, label).read !== name.length) {
      throw new RangeError(`Cannot place "${name}" in the arena: its name is too long`);
    }
    this.#count++;
    this.#next = Math.ceil((offset + size) / ALIGN) * ALIGN;
    if (header.count < this.#count) {
      entry.name.set(label);
      Object.assign(entry, { version, offset, size });
      Object.assign(header, { magic: MAGIC, count: this.#count, end: this.#next });
    } else if (
      entry.version !== version || entry.size !== size ||
      !label.every((b, i) => entry.name[i] === b)
    ) {
      throw new Error(
        `Cannot place "${name}" (version ${version}, ${size} bytes) in the arena: ` +
          `another layout lies there`,
      );
    }
    return layout.at(this.buffer, base + offset);
  }
}
