/**
 * Reading a unified kernel image: a program for UEFI whose sections are kernel, command line and root.
 * A BIOS cannot start it; but the loader can, once it knows where in the file they lie.
 *
 * @module
 */
import { readAt } from "../disk/disk_table.ts";
import { isVersion } from "../update/statement.ts";

/** One section of the program. */
export interface Section {
  /** Such as ".linux". */
  name: string;
  /** In the file. */
  offset: number;
  bytes: number;
}

const HEAD_BYTES = 4096;
const DOS_MAGIC = 0x5a4d;
const PE_MAGIC = 0x00004550;
const PE_AT = 0x3c;
const FILE_HEADER_BYTES = 24;
const SECTION_HEADER_BYTES = 40;
const MOST_SECTIONS = 96;
/** What the loader reads files in. */
const SECTOR_BYTES = 512;
/** Linux takes no more on x86. */
const MOST_WORDS = 2048;

/** The sections that the program's first bytes tell of; `fileBytes` is the whole file's size. */
export function parseSections(head: Uint8Array, fileBytes: number): Section[] {
  const bad = (why: string) => new SyntaxError(`Cannot read a unified kernel image: ${why}`);
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  if (head.length < PE_AT + 4 || view.getUint16(0, true) !== DOS_MAGIC) {
    throw bad("it is no program for UEFI");
  }
  const pe = view.getUint32(PE_AT, true);
  if (pe + FILE_HEADER_BYTES > head.length || view.getUint32(pe, true) !== PE_MAGIC) {
    throw bad("it is no program for UEFI");
  }
  const count = view.getUint16(pe + 6, true);
  const first = pe + FILE_HEADER_BYTES + view.getUint16(pe + 20, true);
  if (count > MOST_SECTIONS || first + count * SECTION_HEADER_BYTES > head.length) {
    throw bad(`its ${count} sections do not fit into its head`);
  }
  const sections: Section[] = [];
  for (let i = 0; i < count; i++) {
    const at = first + i * SECTION_HEADER_BYTES;
    const name = new TextDecoder("latin1").decode(head.subarray(at, at + 8)).replace(/\0.*$/s, "");
    // What is beyond the bytes in the file would be zeros, and what is beyond these is filling.
    const bytes = Math.min(view.getUint32(at + 8, true), view.getUint32(at + 16, true));
    const offset = view.getUint32(at + 20, true);
    if (offset + bytes > fileBytes) throw bad(`its section "${name}" ends behind the file`);
    sections.push({ name, offset, bytes });
  }
  return sections;
}

/** What the loader's program is told of a file, so that it can start it under a BIOS. */
export async function biosConfig(path: string): Promise<string> {
  using file = await Deno.open(path);
  const { size } = await file.stat();
  const sections = parseSections(await readAt(file, 0, HEAD_BYTES), size);
  const words = sections.find((it) => it.name === ".cmdline");
  const bytes = words && words.bytes <= MOST_WORDS
    ? await readAt(file, words.offset, words.bytes)
    : new Uint8Array();
  return configOf(sections, new TextDecoder().decode(bytes).replace(/\0.*$/s, "").trim());
}

const MOST_RELEASE_BYTES = 4096;

/** The version that a system says that it has. */
export async function systemVersion(path: string): Promise<string> {
  using file = await Deno.open(path);
  const { size } = await file.stat();
  const section = parseSections(await readAt(file, 0, HEAD_BYTES), size)
    .find(({ name }) => name === ".osrel");
  const bytes = section
    ? await readAt(file, section.offset, Math.min(section.bytes, MOST_RELEASE_BYTES))
    : new Uint8Array();
  return versionOf(new TextDecoder().decode(bytes));
}

/** The version in the text of an os-release file. */
export function versionOf(release: string): string {
  const [, version] = /^VERSION_ID="?([^"\n]*)"?$/m.exec(release) ?? [];
  if (version !== undefined && isVersion(version)) return version;
  throw new SyntaxError("Cannot tell the version of a unified kernel image: it names none");
}

/** The same of sections that are known, with the text of the command line. */
export function configOf(sections: readonly Section[], words: string): string {
  const range = (name: string) => {
    const it = sections.find((it) => it.name === name);
    const bad = (why: string) =>
      new RangeError(`Cannot start a unified kernel image under a BIOS: ${why}`);
    if (!it || it.bytes === 0) throw bad(`it has no section "${name}"`);
    if (it.offset % SECTOR_BYTES !== 0) throw bad(`its section "${name}" begins within a sector`);
    return `${it.offset / SECTOR_BYTES}+${Math.ceil(it.bytes / SECTOR_BYTES)}`;
  };
  // In quotes nothing of it means anything to the loader.
  if (!/^[\x20-\x26\x28-\x7e]+$/.test(words)) {
    throw new SyntaxError(
      `Cannot start a unified kernel image under a BIOS: its command line is ${
        words === "" ? "empty or too long" : "no plain text without quotes"
      }`,
    );
  }
  return `set kernel=${range(".linux")}\nset initrd=${range(".initrd")}\nset words='${words}'\n`;
}
