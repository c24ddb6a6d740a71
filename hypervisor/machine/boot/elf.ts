/**
 * What there is to know of an ELF kernel before it is loaded: where its parts go, and where PVH
 * enters it (System V gABI, chapters 4 and 5; Xen's docs/misc/pvh.pandoc).
 *
 * @module
 */

const HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;
const SECTION_HEADER_BYTES = 64;
/** Linux has five; more than these are nobody's kernel. */
const MAX_PROGRAM_HEADERS = 64;
/** How much of the file {@linkcode parseElf} needs: its header and all program headers. */
export const ELF_HEADER_BYTES = HEADER_BYTES + MAX_PROGRAM_HEADERS * PROGRAM_HEADER_BYTES;

const MAGIC = 0x7F45_4C46; // "\x7fELF", as it reads
const CLASS_64 = 2;
const LITTLE_ENDIAN = 1;
const MACHINE_X86_64 = 62;
const TYPE_EXEC = 2;
const TYPE_DYN = 3;
const SEGMENT_LOAD = 1;
const SEGMENT_NOTE = 4;

/** What lies below belongs to the boot's own structures and to ACPI. */
const LOWEST_ADDRESS = 0x10_0000;
/** The most that notes may take: Linux has half a KiB. */
const MAX_NOTES = 64 * 1024;

const XEN_ELFNOTE_PHYS32_ENTRY = 18;

export interface ElfSegment {
  /** In the file. */
  readonly offset: number;
  readonly fileBytes: number;
  /** Guest physical. */
  readonly address: number;
  /** At least `fileBytes`; what is behind these is zeros. */
  readonly memoryBytes: number;
}

export interface ElfKernel {
  /** Guest physical address of the 64-bit entry. */
  readonly entry: number;
  /** In ascending order of their addresses, not overlapping, all at 1 MiB or above. */
  readonly segments: readonly ElfSegment[];
  readonly notes: readonly { readonly offset: number; readonly length: number }[];
  /** Guest physical: the first and behind the last byte of all segments. */
  readonly start: number;
  readonly end: number;
  /** Where the file's own contents end: behind it lies what others have appended. */
  readonly fileEnd: number;
}

export function isElf(head: Uint8Array): boolean {
  return head.length >= HEADER_BYTES &&
    new DataView(head.buffer, head.byteOffset).getUint32(0) === MAGIC;
}

/** Checks the first bytes of a kernel file of `fileLength` bytes. */
export function parseElf(head: Uint8Array, fileLength: number): ElfKernel {
  const wrong = (what: string) =>
    new SyntaxError(`it is not an ELF kernel that can be booted: ${what}`);
  if (!isElf(head)) throw wrong('there is no "\\x7fELF" at its beginning');
  const view = new DataView(head.buffer, head.byteOffset, head.length);
  if (head[4] !== CLASS_64 || head[5] !== LITTLE_ENDIAN) {
    throw wrong("it is not 64-bit and little-endian");
  }
  const type = view.getUint16(16, true);
  if (type !== TYPE_EXEC && type !== TYPE_DYN) throw wrong(`type ${type} is not executable`);
  const machine = view.getUint16(18, true);
  if (machine !== MACHINE_X86_64) throw wrong(`machine ${machine} is not x86-64`);
  // Past 2^53 these are rounded, which leaves them as far outside the file as they are.
  const u64 = (at: number) => Number(view.getBigUint64(at, true));
  const count = view.getUint16(56, true);
  if (view.getUint16(54, true) !== PROGRAM_HEADER_BYTES || count === 0) {
    throw wrong("it has no program headers");
  }
  const table = u64(32);
  if (count > MAX_PROGRAM_HEADERS || table + count * PROGRAM_HEADER_BYTES > head.length) {
    throw wrong(`its ${count} program headers at byte ${table} are not at its beginning`);
  }
  const segments: ElfSegment[] = [];
  const notes: { offset: number; length: number }[] = [];
  let fileEnd = u64(40) + view.getUint16(60, true) * SECTION_HEADER_BYTES;
  for (let i = 0; i < count; i++) {
    const at = table + i * PROGRAM_HEADER_BYTES;
    const kind = view.getUint32(at, true);
    const offset = u64(at + 8);
    const address = u64(at + 24);
    const fileBytes = u64(at + 32);
    const memoryBytes = u64(at + 40);
    if (kind !== SEGMENT_LOAD && kind !== SEGMENT_NOTE) continue;
    if (offset + fileBytes > fileLength) {
      throw wrong(
        `it is truncated: a segment ends at byte ${offset + fileBytes} of ${fileLength}`,
      );
    }
    fileEnd = Math.max(fileEnd, offset + fileBytes);
    if (kind === SEGMENT_NOTE) {
      if (fileBytes > MAX_NOTES) throw wrong(`its notes have ${fileBytes} bytes`);
      notes.push({ offset, length: fileBytes });
    } else if (memoryBytes > 0) {
      if (fileBytes > memoryBytes) throw wrong("a segment is longer in the file than in memory");
      if (address < LOWEST_ADDRESS || address + memoryBytes > 2 ** 32) {
        throw wrong(`a segment at 0x${address.toString(16)} is not between 1 MiB and 4 GiB`);
      }
      segments.push({ offset, fileBytes, address, memoryBytes });
    }
  }
  if (segments.length === 0) throw wrong("it has nothing to load");
  segments.sort((a, b) => a.address - b.address);
  segments.reduce((previous, next) => {
    if (previous.address + previous.memoryBytes > next.address) {
      throw wrong(`two segments overlap at 0x${next.address.toString(16)}`);
    }
    return next;
  });
  const last = segments[segments.length - 1];
  const entry = u64(24);
  return {
    entry,
    segments,
    notes,
    start: segments[0].address,
    end: last.address + last.memoryBytes,
    fileEnd,
  };
}

/** Whether the address is that of an instruction that a segment brings along. */
export function isLoaded(elf: ElfKernel, address: number): boolean {
  return elf.segments.some((s) => address >= s.address && address < s.address + s.fileBytes);
}

/** The address of the 32-bit PVH entry, as a note segment's bytes have it; null if there is none. */
export function pvhEntry(notes: Uint8Array): number | null {
  const view = new DataView(notes.buffer, notes.byteOffset, notes.length);
  const padded = (n: number) => Math.ceil(n / 4) * 4;
  for (let at = 0; at + 12 <= notes.length;) {
    const nameBytes = view.getUint32(at, true);
    const descBytes = view.getUint32(at + 4, true);
    const type = view.getUint32(at + 8, true);
    const desc = at + 12 + padded(nameBytes);
    if (desc + descBytes > notes.length) return null;
    const isXen = nameBytes === 4 && view.getUint32(at + 12) === 0x58_65_6E_00; // "Xen\0"
    if (isXen && type === XEN_ELFNOTE_PHYS32_ENTRY && descBytes >= 4) {
      // Of 4 or 8 bytes; it is 32-bit code, so it lies in the first four.
      return view.getUint32(desc, true);
    }
    at = desc + padded(descBytes);
  }
  return null;
}
