/**
 * The bzImage format and where its parts go (Linux's Documentation/arch/x86/boot.rst).
 *
 * @module
 */

/** Offsets of the setup header's fields in the file. */
const FIELD = {
  SETUP_SECTS: 0x1F1,
  BOOT_FLAG: 0x1FE,
  JUMP: 0x200,
  HEADER: 0x202,
  VERSION: 0x206,
  TYPE_OF_LOADER: 0x210,
  LOADFLAGS: 0x211,
  RAMDISK_IMAGE: 0x218,
  RAMDISK_SIZE: 0x21C,
  CMD_LINE_PTR: 0x228,
  INITRD_ADDR_MAX: 0x22C,
  KERNEL_ALIGNMENT: 0x230,
  XLOADFLAGS: 0x236,
  CMDLINE_SIZE: 0x238,
  PAYLOAD_OFFSET: 0x248,
  PAYLOAD_LENGTH: 0x24C,
  PREF_ADDRESS: 0x258,
  INIT_SIZE: 0x260,
} as const;

const SETUP_HEADER = 0x1F1;
const BOOT_FLAG = 0xAA55;
const HEADER_MAGIC = 0x53726448; // "HdrS"
const MIN_VERSION = 0x20C;
const XLF_KERNEL_64 = 1;
/** In the protected-mode part: where 64-bit code begins. */
const ENTRY_64 = 0x200;
const SECTOR = 512;
/** Linux maps itself in pages of 2 MiB. */
const MIN_ALIGNMENT = 2 ** 21;
/** In LOADFLAGS: the kernel does not run where it is linked to. */
const KASLR_FLAG = 1 << 1;
/** How much of the file {@linkcode parseBzImage} needs. */
export const BZIMAGE_HEADER_BYTES = 0x1000;
/** Where the protected-mode part is loaded. */
export const KERNEL_ADDRESS = 0x10_0000;

export interface BzImage {
  /** From the start of the file to the protected-mode part, and that part's length. */
  readonly payload: { readonly offset: number; readonly length: number };
  /** The packed kernel, from the start of the file; of no length if it does not say. */
  readonly packed: { readonly offset: number; readonly length: number };
  /** What an address at which the kernel runs is a multiple of, a power of two. */
  readonly alignment: number;
  /** The setup header, as it is copied into the zero page at 0x1F1. */
  readonly setupHeader: Uint8Array;
  /** Guest physical address of the first instruction. */
  readonly entry: number;
  /** The kernel unpacks itself over RAM up to here. */
  readonly end: number;
  /** Bytes of the initrd must lie at or below this. */
  readonly initrdAddressMax: number;
  /** The longest command line, in bytes, without its 0. */
  readonly cmdlineSize: number;
}

/** Checks the first bytes of a kernel file of `fileLength` bytes. */
export function parseBzImage(head: Uint8Array, fileLength: number): BzImage {
  const wrong = (what: string) =>
    new SyntaxError(`it is not a bzImage that can be booted: ${what}`);
  if (fileLength < 0x400 || head.length < Math.min(fileLength, 0x400)) {
    throw wrong(`${fileLength} bytes are too few`);
  }
  const view = new DataView(head.buffer, head.byteOffset, head.length);
  if (view.getUint16(FIELD.BOOT_FLAG, true) !== BOOT_FLAG) {
    throw wrong("there is no boot flag at 0x1fe");
  }
  if (view.getUint32(FIELD.HEADER, true) !== HEADER_MAGIC) {
    throw wrong('there is no "HdrS" at 0x202');
  }
  const version = view.getUint16(FIELD.VERSION, true);
  if (version < MIN_VERSION) {
    throw wrong(`boot protocol ${version >> 8}.${version & 0xFF} is older than 2.12`);
  }
  if ((view.getUint16(FIELD.XLOADFLAGS, true) & XLF_KERNEL_64) === 0) {
    throw wrong("it has no 64-bit entry point");
  }
  const offset = ((head[FIELD.SETUP_SECTS] || 4) + 1) * SECTOR;
  const length = fileLength - offset;
  if (length <= ENTRY_64) {
    throw wrong(`it is truncated: the kernel begins at byte ${offset} of ${fileLength}`);
  }
  // In 16-byte units; what lies behind the protected-mode part (a signature) may make the file longer.
  const declared = view.getUint32(0x1F4, true) * 16;
  if (length < declared) {
    throw wrong(`it is truncated: ${length} bytes of kernel are there, ${declared} are declared`);
  }
  const pref = Number(view.getBigUint64(FIELD.PREF_ADDRESS, true));
  const initSize = view.getUint32(FIELD.INIT_SIZE, true);
  const packedOffset = view.getUint32(FIELD.PAYLOAD_OFFSET, true);
  const packedLength = view.getUint32(FIELD.PAYLOAD_LENGTH, true);
  const inside = packedOffset + packedLength <= length;
  const alignment = view.getUint32(FIELD.KERNEL_ALIGNMENT, true);
  const headerEnd = FIELD.JUMP + 2 + head[FIELD.JUMP + 1];
  return {
    payload: { offset, length },
    packed: { offset: offset + packedOffset, length: inside ? packedLength : 0 },
    alignment: Math.max(MIN_ALIGNMENT, alignment),
    setupHeader: head.slice(SETUP_HEADER, Math.min(headerEnd, 0x290)),
    entry: KERNEL_ADDRESS + ENTRY_64,
    end: Math.max(KERNEL_ADDRESS + length, Math.max(pref, KERNEL_ADDRESS) + initSize),
    initrdAddressMax: view.getUint32(FIELD.INITRD_ADDR_MAX, true),
    cmdlineSize: view.getUint32(FIELD.CMDLINE_SIZE, true),
  };
}

export interface ZeroPageOptions {
  cmdline: number;
  initrd: { address: number; length: number } | null;
  rsdp: number;
  e820: readonly E820Entry[];
  /** The kernel was moved to a random address; it then also puts its own areas at random ones. */
  randomized?: boolean;
}

export interface E820Entry {
  address: number;
  length: number;
  type: "ram" | "reserved";
}

const ZERO_PAGE = { ACPI_RSDP_ADDR: 0x70, E820_ENTRIES: 0x1E8, E820_TABLE: 0x2D0 } as const;
const E820_TYPES = { ram: 1, reserved: 2 } as const;
const LOADER_UNDEFINED = 0xFF;

/** `struct boot_params`, which the kernel finds by RSI. */
export function zeroPage(image: BzImage, options: ZeroPageOptions): Uint8Array {
  const page = new Uint8Array(4096);
  const view = new DataView(page.buffer);
  page.set(image.setupHeader, SETUP_HEADER);
  view.setUint8(FIELD.TYPE_OF_LOADER, LOADER_UNDEFINED);
  if (options.randomized) page[FIELD.LOADFLAGS] |= KASLR_FLAG;
  view.setUint32(FIELD.CMD_LINE_PTR, options.cmdline, true);
  view.setUint32(FIELD.RAMDISK_IMAGE, options.initrd?.address ?? 0, true);
  view.setUint32(FIELD.RAMDISK_SIZE, options.initrd?.length ?? 0, true);
  view.setBigUint64(ZERO_PAGE.ACPI_RSDP_ADDR, BigInt(options.rsdp), true);
  view.setUint8(ZERO_PAGE.E820_ENTRIES, options.e820.length);
  options.e820.forEach(({ address, length, type }, i) => {
    const at = ZERO_PAGE.E820_TABLE + i * 20;
    view.setBigUint64(at, BigInt(address), true);
    view.setBigUint64(at + 8, BigInt(length), true);
    view.setUint32(at + 16, E820_TYPES[type], true);
  });
  return page;
}
