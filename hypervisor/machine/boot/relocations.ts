/**
 * The relocations behind an unpacked Linux, with which its own unpacker moves it to an address that
 * nobody can guess (KASLR; Linux's arch/x86/tools/relocs.c and boot/compressed/misc.c).
 *
 * They are words: a 0, addresses of 64-bit pointers, a 0, addresses of 32-bit values to subtract
 * from, a 0, addresses of 32-bit values to add to. Linux 6.15 and later have no list in the middle.
 *
 * @module
 */
import type { ElfKernel } from "./elf.ts";

/** The lower half of the virtual address at which Linux has physical address 0. */
const KERNEL_MAP = 0x8000_0000;
/**
 * The virtual addresses that Linux keeps for itself (KERNEL_IMAGE_SIZE), less one large page: an end
 * at the very last address would be entry 0 of the next table, and Linux's start unmaps what lies
 * behind the entry of its end, which would then be all of it.
 */
const KERNEL_SPACE = 2 ** 30 - 2 ** 21;

export interface Relocations {
  readonly pointers: Uint32Array;
  readonly inverse: Uint32Array;
  readonly words: Uint32Array;
}

/** The bytes behind an ELF file's own; null if these are no relocations. */
export function parseRelocations(bytes: Uint8Array): Relocations | null {
  if (bytes.length === 0 || bytes.length % 4 !== 0) return null;
  const all = new Uint32Array(bytes.slice().buffer);
  const zeros: number[] = [];
  for (let at = all.indexOf(0); at !== -1; at = all.indexOf(0, at + 1)) {
    if (zeros.push(at) > 3) return null;
  }
  const [first, second, third] = zeros;
  if (first !== 0 || second === undefined) return null;
  const words = all.subarray((third ?? second) + 1);
  const pointers = all.subarray(1, second);
  const inverse = third === undefined ? all.subarray(0, 0) : all.subarray(second + 1, third);
  return { pointers, inverse, words };
}

/** How far the kernel may be moved: multiples of `alignment`, in bytes, of which one is chosen. */
export function randomShift(room: number, alignment: number): number {
  const slots = Math.floor(room / alignment) + 1;
  const [random] = crypto.getRandomValues(new Uint32Array(1));
  return Math.floor(random / 2 ** 32 * slots) * alignment;
}

/** How much of the kernel's virtual addresses lies above where it is linked to. */
export function virtualRoom(elf: ElfKernel): number {
  return Math.max(0, KERNEL_SPACE - elf.end);
}

/**
 * Makes the kernel that lies at its physical address plus `physical` one that is linked to its
 * virtual address plus `virtual`. Throws a SyntaxError if a relocation is outside the kernel.
 */
export function relocate(
  view: DataView,
  relocations: Relocations,
  where: { elf: ElfKernel; physical: number; virtual: number },
): void {
  const { elf, physical, virtual } = where;
  const { pointers, inverse, words } = relocations;
  const kernel = { start: elf.start, end: elf.end, physical };
  add(view, pointers, { ...kernel, by: virtual, width: 8 });
  add(view, inverse, { ...kernel, by: -virtual, width: 4 });
  add(view, words, { ...kernel, by: virtual, width: 4 });
}

/**
 * A quarter of a million of them stand between a guest and its first instruction, before any of this
 * is compiled: in numbers of 31 bits, which need no memory, and without iterators or closures.
 */
function add(
  view: DataView,
  addresses: Uint32Array,
  move: { start: number; end: number; physical: number; by: number; width: number },
): void {
  const { start, end, physical, by, width } = move;
  const signed = new Int32Array(addresses.buffer, addresses.byteOffset, addresses.length);
  const last = end - width;
  for (let i = 0; i < signed.length; i++) {
    const address = signed[i];
    const linked = address & ~KERNEL_MAP;
    if (address >= 0 || linked < start || linked > last) {
      const told = (address >>> 0).toString(16);
      throw new SyntaxError(`a relocation at 0x${told} is outside the kernel`);
    }
    const at = linked + physical;
    const before = view.getInt32(at, true);
    const after = before + by | 0;
    view.setInt32(at, after, true);
    // The carry: it passed 2^32, which only what has its highest bit set can, as it moves by less.
    if (width === 8 && before < 0 && after >= 0) {
      view.setInt32(at + 4, view.getInt32(at + 4, true) + 1 | 0, true);
    }
  }
}
