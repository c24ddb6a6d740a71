/**
 * The PVH boot protocol: how a hypervisor starts an uncompressed kernel, in 32-bit mode without
 * paging (Xen's docs/misc/pvh.pandoc and public/arch-x86/hvm/start_info.h).
 *
 * @module
 */
import type { E820Entry } from "./bzimage.ts";

const MAGIC = 0x336E_C578;
const VERSION = 1;
/** `struct hvm_start_info` of version 1 has 56 bytes; the module and the memory map follow it. */
const MODULE = 64;
const MODULE_BYTES = 32;
const MEMORY_MAP = MODULE + MODULE_BYTES;
const MEMORY_MAP_ENTRY_BYTES = 24;
const MEMORY_TYPES = { ram: 1, reserved: 2 } as const;

export interface StartInfoOptions {
  /** Guest physical address of what is made here. */
  address: number;
  cmdline: number;
  initrd: { address: number; length: number } | null;
  rsdp: number;
  e820: readonly E820Entry[];
}

/** `struct hvm_start_info` and the tables that it points to, which the kernel finds by EBX. */
export function startInfo(options: StartInfoOptions): Uint8Array {
  const { address, initrd, e820 } = options;
  const out = new Uint8Array(MEMORY_MAP + e820.length * MEMORY_MAP_ENTRY_BYTES);
  const view = new DataView(out.buffer);
  const u64 = (at: number, value: number) => view.setBigUint64(at, BigInt(value), true);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, VERSION, true);
  view.setUint32(12, initrd === null ? 0 : 1, true); // nr_modules
  u64(16, initrd === null ? 0 : address + MODULE); // modlist_paddr
  u64(24, options.cmdline);
  u64(32, options.rsdp);
  u64(40, address + MEMORY_MAP);
  view.setUint32(48, e820.length, true);
  if (initrd !== null) {
    u64(MODULE, initrd.address);
    u64(MODULE + 8, initrd.length);
  }
  e820.forEach((entry, i) => {
    const at = MEMORY_MAP + i * MEMORY_MAP_ENTRY_BYTES;
    u64(at, entry.address);
    u64(at + 8, entry.length);
    view.setUint32(at + 16, MEMORY_TYPES[entry.type], true);
  });
  return out;
}
