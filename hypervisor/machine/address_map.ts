/**
 * The PC's address map: where everything that is not RAM lies. RAM's own map is in memory.ts.
 *
 * @module
 */
import { HOLE_END } from "./memory.ts";

const MiB = 2 ** 20;
const GiB = 2 ** 30;

/** A range of addresses, in bytes. */
export interface Window {
  readonly start: number;
  readonly length: number;
}

/** Window for 32-bit BARs; begins where RAM below 4 GiB must have ended. */
export const MMIO32 = { start: 3 * GiB, length: 512 * MiB } as const;

/**
 * PCIe configuration space (ECAM), from bus 0 on: 32 devices, 8 functions, 4 KiB each. Behind each
 * hot-plug port there is one more bus.
 */
export const ECAM = { start: 0xE000_0000, busLength: MiB } as const;

/** How much configuration space there is, in bytes. */
export function ecamLength(hotplugPorts: number): number {
  return (1 + hotplugPorts) * ECAM.busLength;
}

/** The functions of bus 0's last device. */
export const MAX_HOTPLUG_PORTS = 8;

/**
 * What hot-plug port `index` forwards at power-on, as firmware would have set it: from the ends of
 * the windows, far from where BARs are given out. Linux puts a virtio device's BAR, which is not
 * prefetchable, into the 32-bit part.
 */
export function portWindows(
  index: number,
  physicalBits: number,
): { memory: Window; prefetchable: Window } {
  const high = mmio64(physicalBits);
  const end = (window: Window) => window.start + window.length;
  const below = (top: number, length: number) => ({ start: top - (index + 1) * length, length });
  return { memory: below(end(MMIO32), 4 * MiB), prefetchable: below(end(high), GiB) };
}

export const IOAPIC = { start: 0xFEC0_0000, length: 0x1000 } as const;
export const LAPIC = { start: 0xFEE0_0000, length: 0x1000 } as const;

/** Where a PC has its firmware: no RAM to a guest, though memory of its own is behind it. */
export const FIRMWARE = { start: 0xE_0000, length: 0x2_0000 } as const;

/** The VM generation id, in a page of its own below the reset vector's. */
export const VM_GENERATION = 0xF_E000;

/** Three pages for VT-x's real mode, in the part of the hole where a PC has its firmware. */
export const TSS_ADDRESS = 0xFFFB_D000;

/**
 * Window for 64-bit BARs: the upper half of what the CPU can address, so that BARs do not move when
 * RAM grows; no higher than 256 GiB, so that a guest may move to a CPU with 39 bits.
 */
export function mmio64(physicalBits: number): Window {
  const start = 2 ** (Math.min(physicalBits, 39) - 1);
  return { start, length: start };
}

/** The most RAM that fits below the 64-bit window, in bytes. */
export function maxRam(physicalBits: number): number {
  return mmio64(physicalBits).start - (HOLE_END - MMIO32.start);
}

/** I/O ports. */
export const PORT = {
  RTC: 0x70,
  COM1: 0x3F8,
  /** ACPI's reset and sleep registers (FADT), in a range that PCs leave free. */
  ACPI: 0x600,
  PCI_CONFIG_ADDRESS: 0xCF8,
  PCI_CONFIG_DATA: 0xCFC,
} as const;

/** Global system interrupts of the devices that are not on PCI. */
export const GSI = { COM1: 4, ACPI: 9, RTC: 8, GENERATION: 10, FIRST_MSI: 24 } as const;
