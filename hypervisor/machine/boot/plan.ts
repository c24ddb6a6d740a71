/**
 * What every way to boot has in common: what it asks of the memory, and how the CPU then starts.
 *
 * @module
 */
import type { GuestMemory } from "../memory.ts";
import type { E820Entry } from "./bzimage.ts";

/** Guest physical addresses of what the boot needs below 640 KiB. */
export const BOOT = {
  GDT: 0x500,
  IDT: 0x520,
  START_INFO: 0x6000,
  ZERO_PAGE: 0x7000,
  STACK: 0x8FF0,
  PML4: 0x9000,
  PDPT: 0xA000,
  PAGE_DIRECTORY: 0xB000,
  CMDLINE: 0x2_0000,
} as const;

export interface BootEntry {
  /** Guest physical address of the first instruction. */
  entry: number;
  /** `linux64`: 64-bit mode, RSI at the zero page. `pvh`: 32-bit mode, EBX at the start info. */
  mode: "linux64" | "pvh";
}

export interface Placement {
  cmdline: string;
  initrd: { address: number; length: number } | null;
  e820: readonly E820Entry[];
  /** The kernel may have the memory up to here. */
  top: number;
}

/** A kernel that was found to be one, before there is anything of it in memory. */
export interface KernelPlan extends Disposable {
  /** It takes the memory up to here. */
  readonly end: number;
  /** Bytes of the initrd must lie at or below this. */
  readonly initrdAddressMax: number;
  /** The longest command line, in bytes, without its 0. */
  readonly cmdlineSize: number;
  /** Puts it and the tables of its protocol into memory; the command line is there already. */
  place(memory: GuestMemory, placement: Placement): BootEntry;
}
