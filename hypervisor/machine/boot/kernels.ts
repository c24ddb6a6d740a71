/**
 * The kinds of kernels: a bzImage that unpacks itself, one that was unpacked before, and an ELF
 * vmlinux.
 *
 * @module
 */
import { RSDP_ADDRESS } from "../acpi/tables.ts";
import type { GuestMemory } from "../memory.ts";
import type { BootFile } from "./boot_file.ts";
import { type BzImage, KERNEL_ADDRESS, parseBzImage, zeroPage } from "./bzimage.ts";
import { ELF_HEADER_BYTES, type ElfKernel, isLoaded, parseElf, pvhEntry } from "./elf.ts";
import { unpackedKernel } from "./kernel_cache.ts";
import { BOOT, type BootEntry, type KernelPlan, type Placement } from "./plan.ts";
import { startInfo } from "./pvh.ts";
import { parseRelocations, randomShift, relocate, virtualRoom } from "./relocations.ts";

/** Linux takes as much; a bzImage says so itself. */
const ELF_CMDLINE = 2047;
/** PVH's modules may lie anywhere below 4 GiB. */
const ELF_INITRD_MAX = 2 ** 32 - 1;
/** The page tables at the start map this much, which must hold the kernel. */
const IDENTITY_MAPPED = 2 ** 30;

/** A bzImage, from the cache if there is one. */
export function planBzImage(
  kernel: BootFile,
  head: Uint8Array,
  options: { kernelCache?: string; log?: (line: string) => void },
): KernelPlan {
  const image = parseBzImage(head, kernel.length);
  const { end, initrdAddressMax, cmdlineSize } = image;
  const whole: KernelPlan = {
    end,
    initrdAddressMax,
    cmdlineSize,
    place: (memory, placement) => placeWhole(kernel, image, { memory, placement }),
    [Symbol.dispose]: () => {},
  };
  const { kernelCache: folder, log } = options;
  if (folder === undefined) return whole;
  let unpacked: BootFile | undefined;
  try {
    unpacked = unpackedKernel(kernel, image, { folder });
    return planUnpacked(unpacked, image);
  } catch (error) {
    unpacked?.[Symbol.dispose]();
    log?.(
      `Cannot take "${kernel.path}" unpacked from "${folder}": ${(error as Error).message}; ` +
        "it unpacks itself",
    );
    return whole;
  }
}

function placeWhole(
  kernel: BootFile,
  image: BzImage,
  { memory, placement }: { memory: GuestMemory; placement: Placement },
): BootEntry {
  const { offset, length } = image.payload;
  kernel.readInto(memory.bytes.subarray(KERNEL_ADDRESS, KERNEL_ADDRESS + length), offset);
  writeZeroPage(memory, image, placement);
  return { entry: image.entry, mode: "linux64" };
}

/** A kernel out of a bzImage, with its relocations behind it: it is moved as it would move itself. */
function planUnpacked(file: BootFile, image: BzImage): KernelPlan {
  const elf = parseElf(file.read(0, ELF_HEADER_BYTES), file.length);
  const { fileEnd } = elf;
  const relocations = parseRelocations(file.read(fileEnd, file.length - fileEnd));
  if (fileEnd < file.length && relocations === null) {
    throw new SyntaxError("what lies behind the kernel are no relocations");
  }
  if (!isLoaded(elf, elf.entry)) throw new SyntaxError("its entry is not in it");
  // Until it has its own memory management it uses a little more than its segments.
  const end = Math.max(elf.end, image.end);
  return {
    end,
    initrdAddressMax: image.initrdAddressMax,
    cmdlineSize: image.cmdlineSize,
    place: (memory, placement) => {
      const move = relocations !== null && !/(^| )nokaslr( |$)/.test(placement.cmdline);
      const { alignment } = image;
      const room = Math.min(placement.top, IDENTITY_MAPPED) - end;
      const physical = move && room > 0 ? randomShift(room, alignment) : 0;
      const virtual = move ? randomShift(virtualRoom(elf), alignment) : 0;
      placeSegments(file, elf, { memory, shift: physical });
      if (move) relocate(memory.view, relocations, { elf, physical, virtual });
      writeZeroPage(memory, image, { ...placement, randomized: move });
      return { entry: elf.entry + physical, mode: "linux64" };
    },
    [Symbol.dispose]: () => file[Symbol.dispose](),
  };
}

/** An ELF vmlinux, which PVH enters. */
export function planElf(kernel: BootFile, head: Uint8Array): KernelPlan {
  const elf = parseElf(head, kernel.length);
  const entries = elf.notes.map(({ offset, length }) => pvhEntry(kernel.read(offset, length)));
  const entry = entries.find((it) => it !== null);
  if (entry === undefined || entry === null) {
    throw new SyntaxError(
      "it is an ELF file without a PVH entry: take a Linux with CONFIG_PVH, or its bzImage",
    );
  }
  if (!isLoaded(elf, entry)) throw new SyntaxError("its PVH entry is not in it");
  return {
    end: elf.end,
    initrdAddressMax: ELF_INITRD_MAX,
    cmdlineSize: ELF_CMDLINE,
    place: (memory, { initrd, e820 }) => {
      placeSegments(kernel, elf, { memory, shift: 0 });
      const info = startInfo({
        address: BOOT.START_INFO,
        cmdline: BOOT.CMDLINE,
        initrd,
        rsdp: RSDP_ADDRESS,
        e820,
      });
      memory.bytes.set(info, BOOT.START_INFO);
      return { entry, mode: "pvh" };
    },
    [Symbol.dispose]: () => {},
  };
}

/** RAM is zeros, so what a segment has in memory alone is there already. */
function placeSegments(
  file: BootFile,
  elf: ElfKernel,
  { memory, shift }: { memory: GuestMemory; shift: number },
): void {
  for (const { offset, fileBytes, address } of elf.segments) {
    const at = address + shift;
    file.readInto(memory.bytes.subarray(at, at + fileBytes), offset);
  }
}

function writeZeroPage(
  memory: GuestMemory,
  image: BzImage,
  placement: Placement & { randomized?: boolean },
): void {
  const { initrd, e820, randomized } = placement;
  memory.bytes.set(
    zeroPage(image, { cmdline: BOOT.CMDLINE, initrd, rsdp: RSDP_ADDRESS, e820, randomized }),
    BOOT.ZERO_PAGE,
  );
  writePageTables(memory);
}

/** The first GiB, mapped to itself in pages of 2 MiB. */
function writePageTables(memory: GuestMemory): void {
  const PRESENT_WRITABLE = 0x3;
  const LARGE = 0x80;
  const put = (at: number, value: number) => memory.view.setBigUint64(at, BigInt(value), true);
  put(BOOT.PML4, BOOT.PDPT | PRESENT_WRITABLE);
  put(BOOT.PDPT, BOOT.PAGE_DIRECTORY | PRESENT_WRITABLE);
  for (let i = 0; i < 512; i++) {
    put(BOOT.PAGE_DIRECTORY + i * 8, i * 0x20_0000 + (PRESENT_WRITABLE | LARGE));
  }
}
