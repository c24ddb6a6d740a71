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
  const base = physical - KERNEL_MAP;
  const first = elf.start + physical;
  const last = elf.end + physical;
  const checked = (address: number, width: number): number => {
    const at = address + base;
    if (at < first || at + width > last) {
      throw new SyntaxError(`a relocation at 0x${address.toString(16)} is outside the kernel`);
    }
    return at;
  };
  for (const address of relocations.pointers) {
    const at = checked(address, 8);
    const low = view.getUint32(at, true) + virtual;
    view.setUint32(at, low, true);
    if (low >= 2 ** 32) view.setUint32(at + 4, view.getUint32(at + 4, true) + 1, true);
  }
  for (const address of relocations.inverse) {
    const at = checked(address, 4);
    view.setUint32(at, view.getUint32(at, true) - virtual, true);
  }
  for (const address of relocations.words) {
    const at = checked(address, 4);
    view.setUint32(at, view.getUint32(at, true) + virtual, true);
  }
}
