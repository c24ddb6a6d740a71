/**
 * Puts a kernel, its initrd, its command line and what it asks of firmware into guest RAM.
 *
 * @module
 */
import { newGeneration } from "../acpi/generation.ts";
import { acpiTables, RSDP_ADDRESS } from "../acpi/tables.ts";
import { ECAM, ecamLength, FIRMWARE, MAX_HOTPLUG_PORTS } from "../address_map.ts";
import type { Topology } from "../cpu/topology.ts";
import type { GuestMemory } from "../memory.ts";
import type { NumaTopology } from "../numa.ts";
import { BootFile } from "./boot_file.ts";
import { BZIMAGE_HEADER_BYTES, type E820Entry } from "./bzimage.ts";
import { isElf } from "./elf.ts";
import { planBzImage, planElf } from "./kernels.ts";
import { BOOT, type BootEntry, type KernelPlan } from "./plan.ts";
import { RESET_VECTOR, resetVector } from "./reset_vector.ts";

const LOW_RAM_END = 0x9_FC00;
/** What there is room for, with its 0, whatever a kernel says of itself. */
const MAX_CMDLINE = LOW_RAM_END - BOOT.CMDLINE - 1;
const HIGH_RAM_START = 0x10_0000;
const PAGE = 4096;

export interface BootFiles {
  /** A bzImage, or an ELF vmlinux with a PVH entry. */
  kernel: string;
  initrd?: string;
  cmdline: string;
  /** A folder for unpacked kernels; without it a bzImage unpacks itself. */
  kernelCache?: string;
}

export interface LoadOptions extends BootFiles {
  cpus: number;
  physicalBits: number;
  topology?: Topology;
  hotplugPorts?: number;
  numa?: NumaTopology;
  /** Told why a boot is slower than it could be. */
  log?: (line: string) => void;
}

/** Loads everything or throws with what was wrong; nothing runs before it returns. */
export function loadLinux(memory: GuestMemory, options: LoadOptions): BootEntry {
  const mib = (bytes: number) => `${Math.ceil(bytes / 2 ** 20)} MiB`;
  const low = memory.regions[0].length;
  using kernel = new BootFile(options.kernel, "kernel");
  const refuse = (why: string) => new RangeError(`Cannot boot "${options.kernel}": ${why}`);

  using plan = planKernel(kernel, options);
  if (plan.end > low) {
    throw refuse(
      `it needs ${mib(plan.end)} of memory to unpack and the guest has ${mib(memory.length)}`,
    );
  }
  const cmdline = new TextEncoder().encode(options.cmdline);
  const longest = Math.min(plan.cmdlineSize, MAX_CMDLINE);
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
    const top = Math.min(low, plan.initrdAddressMax + 1);
    const address = Math.floor((top - length) / PAGE) * PAGE;
    if (address < plan.end) {
      throw refuse(
        `its initrd "${options.initrd}" would overlap it: they need ${
          mib(plan.end + length + PAGE)
        } of memory and the guest has ${mib(memory.length)}`,
      );
    }
    file.readInto(memory.bytes.subarray(address, address + length));
    initrd = { address, length };
  }

  memory.bytes.set(cmdline, BOOT.CMDLINE);
  memory.bytes[BOOT.CMDLINE + cmdline.length] = 0;
  memory.bytes.set(acpiTables(options), RSDP_ADDRESS);
  memory.bytes.set(resetVector(), RESET_VECTOR);
  newGeneration(memory);
  try {
    return plan.place(memory, {
      cmdline: options.cmdline,
      initrd,
      e820: e820(memory),
      top: initrd?.address ?? low,
    });
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw new SyntaxError(`Cannot boot "${options.kernel}": ${cause.message}`, { cause });
  }
}

/** By what the file begins with. */
function planKernel(kernel: BootFile, options: LoadOptions): KernelPlan {
  const head = kernel.read(0, BZIMAGE_HEADER_BYTES);
  try {
    return isElf(head) ? planElf(kernel, head) : planBzImage(kernel, head, options);
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw new SyntaxError(`Cannot boot "${options.kernel}": ${cause.message}`, { cause });
  }
}

/** The memory map that firmware would report. */
export function e820(memory: GuestMemory): E820Entry[] {
  const [low, high] = memory.regions;
  const entries: E820Entry[] = [
    { address: 0, length: LOW_RAM_END, type: "ram" },
    { address: FIRMWARE.start, length: FIRMWARE.length, type: "reserved" },
    { address: HIGH_RAM_START, length: low.length - HIGH_RAM_START, type: "ram" },
    { address: ECAM.start, length: ecamLength(MAX_HOTPLUG_PORTS), type: "reserved" },
  ];
  if (high !== undefined) {
    entries.push({ address: high.guest, length: high.length, type: "ram" });
  }
  return entries;
}
