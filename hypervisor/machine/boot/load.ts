/**
 * Puts a kernel, its initrd, its command line and what it asks of firmware into guest RAM.
 *
 * @module
 */
import { acpiTables, RSDP_ADDRESS } from "../acpi/tables.ts";
import { ECAM, ecamLength, MAX_HOTPLUG_PORTS } from "../address_map.ts";
import type { GuestMemory } from "../memory.ts";
import type { NumaTopology } from "../numa.ts";
import {
  BZIMAGE_HEADER_BYTES,
  type E820Entry,
  KERNEL_ADDRESS,
  parseBzImage,
  zeroPage,
} from "./bzimage.ts";
import { RESET_VECTOR, resetVector } from "./reset_vector.ts";

/** Guest physical addresses of what the boot needs below 640 KiB. */
export const BOOT = {
  GDT: 0x500,
  IDT: 0x520,
  ZERO_PAGE: 0x7000,
  STACK: 0x8FF0,
  PML4: 0x9000,
  PDPT: 0xA000,
  PAGE_DIRECTORY: 0xB000,
  CMDLINE: 0x2_0000,
} as const;

const LOW_RAM_END = 0x9_FC00;
/** What there is room for, with its 0, whatever a kernel says of itself. */
const MAX_CMDLINE = LOW_RAM_END - BOOT.CMDLINE - 1;
const HIGH_RAM_START = 0x10_0000;
const PAGE = 4096;

export interface BootFiles {
  kernel: string;
  initrd?: string;
  cmdline: string;
}

export interface BootEntry {
  /** First instruction, in 64-bit mode with RSI at the zero page. */
  entry: number;
}

/** A file that is read once; errors name it. */
class BootFile implements Disposable {
  readonly length: number;
  readonly #file: Deno.FsFile;
  readonly #refuse: (why: string, cause?: unknown) => TypeError;

  constructor(path: string, what: string) {
    this.#refuse = (why, cause) =>
      new TypeError(`Cannot read the ${what} "${path}": ${why}`, { cause });
    try {
      // Before it is opened, which would wait for the other end of a pipe.
      const { isFile, size } = Deno.statSync(path);
      if (!isFile) throw this.#refuse("it is not a file");
      this.length = size;
      this.#file = Deno.openSync(path, { read: true });
    } catch (error) {
      if (error instanceof TypeError) throw error;
      const missing = error instanceof Deno.errors.NotFound;
      throw this.#refuse(missing ? "there is no such file" : String(error), error);
    }
  }

  /** Fills `target` with the bytes from `position` on. */
  readInto(target: Uint8Array, position = 0): void {
    this.#file.seekSync(position, Deno.SeekMode.Start);
    for (let at = 0; at < target.length;) {
      const n = this.#file.readSync(target.subarray(at));
      if (n === null) throw this.#refuse("it became shorter while it was read");
      at += n;
    }
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }
}

/** Loads everything or throws with what was wrong; nothing runs before it returns. */
export function loadLinux(
  memory: GuestMemory,
  options: BootFiles & {
    cpus: number;
    physicalBits: number;
    hotplugPorts?: number;
    numa?: NumaTopology;
  },
): BootEntry {
  const mib = (bytes: number) => `${Math.ceil(bytes / 2 ** 20)} MiB`;
  const low = memory.regions[0].length;
  using kernel = new BootFile(options.kernel, "kernel");
  const refuse = (why: string) => new RangeError(`Cannot boot "${options.kernel}": ${why}`);

  const head = new Uint8Array(Math.min(BZIMAGE_HEADER_BYTES, kernel.length));
  kernel.readInto(head);
  let image;
  try {
    image = parseBzImage(head, kernel.length);
  } catch (cause) {
    throw new SyntaxError(`Cannot boot "${options.kernel}": ${(cause as Error).message}`, {
      cause,
    });
  }
  if (image.end > low) {
    throw refuse(
      `it needs ${mib(image.end)} of memory to unpack and the guest has ${mib(memory.length)}`,
    );
  }
  const cmdline = new TextEncoder().encode(options.cmdline);
  const longest = Math.min(image.cmdlineSize, MAX_CMDLINE);
  if (cmdline.length > longest) {
    throw refuse(`the command line is ${cmdline.length} bytes long and it takes ${longest}`);
  }

  let initrd: { address: number; length: number } | null = null;
  if (options.initrd !== undefined) {
    using file = new BootFile(options.initrd, "initrd");
    const { length } = file;
    if (length === 0) {
      throw new RangeError(`Cannot boot with the initrd "${options.initrd}": it is empty`);
    }
    const top = Math.min(low, image.initrdAddressMax + 1);
    const address = Math.floor((top - length) / PAGE) * PAGE;
    if (address < image.end) {
      throw refuse(
        `its initrd "${options.initrd}" would overlap it: they need ${
          mib(image.end + length + PAGE)
        } of memory and the guest has ${mib(memory.length)}`,
      );
    }
    file.readInto(memory.bytes.subarray(address, address + length));
    initrd = { address, length };
  }

  const { offset, length } = image.payload;
  kernel.readInto(memory.bytes.subarray(KERNEL_ADDRESS, KERNEL_ADDRESS + length), offset);
  memory.bytes.set(cmdline, BOOT.CMDLINE);
  memory.bytes[BOOT.CMDLINE + cmdline.length] = 0;
  memory.bytes.set(acpiTables(options), RSDP_ADDRESS);
  memory.bytes.set(resetVector(), RESET_VECTOR);
  memory.bytes.set(
    zeroPage(image, {
      cmdline: BOOT.CMDLINE,
      initrd,
      rsdp: RSDP_ADDRESS,
      e820: e820(memory),
    }),
    BOOT.ZERO_PAGE,
  );
  writePageTables(memory);
  return { entry: image.entry };
}

/** The memory map that firmware would report. */
export function e820(memory: GuestMemory): E820Entry[] {
  const [low, high] = memory.regions;
  const entries: E820Entry[] = [
    { address: 0, length: LOW_RAM_END, type: "ram" },
    { address: HIGH_RAM_START, length: low.length - HIGH_RAM_START, type: "ram" },
    { address: ECAM.start, length: ecamLength(MAX_HOTPLUG_PORTS), type: "reserved" },
  ];
  if (high !== undefined) {
    entries.push({ address: high.guest, length: high.length, type: "ram" });
  }
  return entries;
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
