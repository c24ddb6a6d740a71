/**
 * Values of a snapshot's sections, each taken by one function that says what was wrong.
 *
 * @module
 */
import type { Section, Sections } from "../../machine/arena.ts";
import { SnapshotError, versionOf } from "./format.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Takes sections by their names. */
export class SectionReader {
  readonly #sections: Sections;

  constructor(sections: Sections) {
    this.#sections = sections;
  }

  refuse(name: string, why: string): never {
    throw new SnapshotError(`Cannot read the state: section "${name}" ${why}`);
  }

  has(name: string): boolean {
    return this.#sections.has(name);
  }

  /** The bytes of a section, of this program's version of it. */
  bytes(name: string): Bytes {
    const section = this.#sections.get(name);
    if (section === undefined) this.refuse(name, "is missing");
    if (section.version !== versionOf(name)) {
      this.refuse(name, `is of version ${section.version}, and here of ${versionOf(name)}`);
    }
    return section.bytes;
  }

  /** One of as many bytes as `sizes` has; of any number without. */
  sized(name: string, ...sizes: number[]): Bytes {
    const bytes = this.bytes(name);
    if (!sizes.includes(bytes.length)) {
      this.refuse(name, `has ${bytes.length} bytes, and should have ${sizes.join(" or ")}`);
    }
    return bytes;
  }

  /** The bytes of at most `most` records of `size` bytes each. */
  list(name: string, size: number, most: number): Bytes {
    const bytes = this.bytes(name);
    const { length } = bytes;
    if (length % size !== 0 || length > most * size) {
      this.refuse(name, `has ${length} bytes, which are no list`);
    }
    return bytes;
  }

  /** Records of `size` bytes each, at most `most`. */
  records(name: string, size: number, most: number): DataView[] {
    const { buffer, length } = this.list(name, size, most);
    return Array.from({ length: length / size }, (_, i) => new DataView(buffer, i * size, size));
  }

  json(name: string): unknown {
    try {
      return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(this.bytes(name)));
    } catch (error) {
      if (error instanceof SnapshotError) throw error;
      this.refuse(name, "is no JSON");
    }
  }

  /** Those whose names begin with `prefix`, by what follows. */
  within(prefix: string): Map<string, Section> {
    return new Map(
      [...this.#sections].flatMap(([name, section]) =>
        name.startsWith(prefix) ? [[name.slice(prefix.length), section]] : []
      ),
    );
  }
}

/** Collects sections, of this program's versions of them. */
export class SectionWriter {
  readonly sections = new Map<string, Section>();

  bytes(name: string, bytes: Bytes): void {
    this.sections.set(name, { version: versionOf(name), bytes });
  }

  json(name: string, value: unknown): void {
    this.bytes(name, new TextEncoder().encode(JSON.stringify(value)));
  }

  /** Records of `size` bytes each. */
  records<T>(
    name: string,
    values: readonly T[],
    options: { size: number; write: (view: DataView, value: T) => void },
  ): void {
    const bytes = new Uint8Array(values.length * options.size);
    values.forEach((value, i) =>
      options.write(new DataView(bytes.buffer, i * options.size, options.size), value)
    );
    this.bytes(name, bytes);
  }
}
