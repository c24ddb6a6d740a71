/**
 * One shared block of memory that holds every register of every device, in declared layouts.
 *
 * All workers of a VMM place the same layouts in the same order over the same bytes, so they see the
 * same registers. The block describes itself: it begins with a directory of what lies where, so its
 * {@linkcode Arena.sections} are a snapshot of all devices, and an arena that is made with them has the
 * same registers again, wherever they lie now.
 *
 * @module
 */
import { type Fields, type Struct, struct, type View } from "../sys/struct.ts";

const Entry = struct("arena_entry", {
  name: ["u8", 48],
  version: "u32",
  offset: "u32",
  size: "u32",
  kind: "u32",
});
const Header = struct("arena_header", { magic: "u32", count: "u32", end: "u32", reserved: "u32" });

/** What a section is to a snapshot. */
const KIND = {
  /** State: it goes along. */
  STATE: 0,
  /** Descriptors, threads and locks, which mean something in this process only. */
  LOCAL: 1,
  /** Room for an arena of its own, whose sections go along. */
  INNER: 2,
} as const;

/** A section apart from its arena. */
export interface Section {
  version: number;
  bytes: Uint8Array<ArrayBuffer>;
}

/** By name; those of an arena within another have its name and a slash before their own. */
export type Sections = ReadonlyMap<string, Section>;

export interface PlaceOptions {
  /** Of the layout: 1 without. */
  version?: number;
  /** It means something in this process only: see {@linkcode Arena.sections}. */
  local?: boolean;
}

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
  name: string;
  offset: number;
  length: number;
}

export interface ArenaOptions {
  part?: InnerArena;
  /** What sections hold from the beginning, for the first thread that places them. */
  saved?: Sections;
}

export class Arena {
  readonly buffer: SharedArrayBuffer;
  readonly #base: number;
  readonly #length: number;
  readonly #entries: number;
  readonly #saved: Sections | undefined;
  #next: number;
  #count = 0;

  constructor(buffer = new SharedArrayBuffer(ARENA_BYTES), options: ArenaOptions = {}) {
    const { part, saved } = options;
    this.buffer = buffer;
    this.#base = part?.offset ?? 0;
    this.#length = part?.length ?? buffer.byteLength;
    this.#entries = part === undefined ? MAX_ENTRIES : MAX_INNER_ENTRIES;
    this.#saved = saved;
    this.#next = after(this.#entries);
  }

  /** Room for other arenas, one after the other: see {@linkcode Arena.within}. */
  reserve(name: string, length: number): InnerArena {
    const layout = struct("inner_arena", { bytes: ["u8", length] });
    const section = this.#place(name, layout, { kind: KIND.INNER });
    return { name, offset: section.$bytes.byteOffset, length };
  }

  /** An arena in what was reserved: `fresh` for the first thread that places sections in it. */
  within(part: InnerArena, options: { fresh?: boolean; saved?: Sections } = {}): Arena {
    if (options.fresh) new Uint8Array(this.buffer, part.offset, part.length).fill(0);
    return new Arena(this.buffer, { part, saved: options.saved });
  }

  /**
   * The section `name`, laid out as `layout`. The first worker to come enters it in the directory;
   * those that follow must agree with it.
   */
  place<F extends Fields>(
    name: string,
    layout: Struct<F>,
    options: PlaceOptions = {},
  ): View<F> {
    const { version, local = false } = options;
    return this.#place(name, layout, { version, kind: local ? KIND.LOCAL : KIND.STATE });
  }

  #place<F extends Fields>(
    name: string,
    layout: Struct<F>,
    options: { version?: number; kind: number },
  ): View<F> {
    const { version = 1, kind } = options;
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
    const view = layout.at(this.buffer, base + offset);
    if (header.count < this.#count) {
      entry.name.set(label);
      Object.assign(entry, { version, offset, size, kind });
      Object.assign(header, { magic: MAGIC, count: this.#count, end: this.#next });
      if (kind === KIND.STATE) fill(name, { version, bytes: view.$bytes }, this.#saved);
    } else if (
      entry.version !== version || entry.size !== size || entry.kind !== kind ||
      !label.every((b, i) => entry.name[i] === b)
    ) {
      throw new Error(
        `Cannot place "${name}" (version ${version}, ${size} bytes) in the arena: ` +
          `another layout lies there`,
      );
    }
    return view;
  }

  /**
   * Puts saved registers into sections that have been placed; of arenas within this one, those who place
   * sections in them do. Nothing may use them meanwhile. Throws a RangeError that names registers which have
   * no place here, such as those that only a later version knows.
   */
  load(saved: Sections): void {
    const strange = new Set(saved.keys());
    for (const { name, kind, version, bytes } of this.#directory()) {
      if (kind === KIND.STATE) fill(name, { version, bytes }, saved);
      if (kind !== KIND.INNER) strange.delete(name);
      else {for (const inner of sectionsWithin(saved, name).keys()) {
          strange.delete(`${name}/${inner}`);
        }}
    }
    const [first] = strange;
    if (first === undefined) return;
    throw new RangeError(`Cannot restore "${first}": nothing here has registers of that name`);
  }

  /** All of it as it is now, apart from this: what is read of it later is of this instant. */
  copy(): Arena {
    return new Arena(this.buffer.slice(0, Math.max(Header.size, Header.at(this.buffer).end)));
  }

  /** Copies of all sections that are state, of arenas within this one too. */
  sections(): Map<string, Section> {
    const sections = new Map<string, Section>();
    for (const { name, kind, version, bytes, offset } of this.#directory()) {
      if (kind === KIND.INNER) {
        const inner = new Arena(this.buffer, { part: { name, offset, length: bytes.length } });
        for (const [key, section] of inner.sections()) sections.set(`${name}/${key}`, section);
      } else if (kind === KIND.STATE) {
        const copy = new Uint8Array(bytes.length);
        copy.set(bytes);
        sections.set(name, { version, bytes: copy });
      }
    }
    return sections;
  }

  *#directory() {
    const header = Header.at(this.buffer, this.#base);
    for (let i = 0; header.magic === MAGIC && i < header.count; i++) {
      const entry = Entry.at(this.buffer, this.#base + Header.size + i * Entry.size);
      const { kind, version, size } = entry;
      const name = new TextDecoder().decode(entry.name.slice(0, lengthOf(entry.name)));
      const offset = this.#base + entry.offset;
      yield { name, kind, version, offset, bytes: new Uint8Array(this.buffer, offset, size) };
    }
  }
}

/** A section that was not saved is as at power-on: then it is of a later version than the snapshot. */
function fill(
  name: string,
  { version, bytes }: { version: number; bytes: Uint8Array },
  sections: Sections | undefined,
): void {
  const saved = sections?.get(name);
  if (saved === undefined) return;
  if (saved.version !== version || saved.bytes.length !== bytes.length) {
    throw new RangeError(
      `Cannot restore "${name}": it was saved as version ${saved.version} with ` +
        `${saved.bytes.length} bytes, and is version ${version} with ${bytes.length} here`,
    );
  }
  bytes.set(saved.bytes);
}

/** Those of an arena within another, by their own names. */
export function sectionsWithin(sections: Sections, name: string): Map<string, Section> {
  const prefix = `${name}/`;
  return new Map(
    [...sections].flatMap(([key, section]) =>
      key.startsWith(prefix) ? [[key.slice(prefix.length), section]] : []
    ),
  );
}

function lengthOf(name: Uint8Array): number {
  const end = name.indexOf(0);
  return end < 0 ? name.length : end;
}
