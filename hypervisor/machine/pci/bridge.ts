/**
 * The registers of a PCI-to-PCI bridge (PCI-to-PCI Bridge 1.2, section 3.2): which buses lie behind
 * it, and which addresses it forwards there. It has no I/O window: no device here has ports.
 *
 * @module
 */
import type { Window } from "../address_map.ts";
import { type CapabilityHook, PCI, type PciFunction, type PciRegister } from "./function.ts";

/** Offsets in a type 1 header, as far as they differ from a device's. */
export const BRIDGE = {
  PRIMARY_BUS: 0x18,
  SECONDARY_BUS: 0x19,
  SUBORDINATE_BUS: 0x1A,
  MEMORY_BASE: 0x20,
  MEMORY_LIMIT: 0x22,
  PREFETCHABLE_BASE: 0x24,
  PREFETCHABLE_LIMIT: 0x26,
  PREFETCHABLE_BASE_HIGH: 0x28,
  PREFETCHABLE_LIMIT_HIGH: 0x2C,
  CONTROL: 0x3E,
} as const;

export const BRIDGE_CONTROL_SECONDARY_RESET = 1 << 6;

const COMMAND_MEMORY = 1 << 1;
/** Low bits of a prefetchable base or limit: it has an upper half. */
const WINDOW_64 = 1;
const MiB = 2 ** 20;
const GiB4 = 2 ** 32;

/** The registers at power-on as firmware would leave them: a bus and two windows. */
export function bridgeRegisters(
  at: { secondary: number; memory: Window; prefetchable: Window },
  control: CapabilityHook,
): PciRegister[] {
  const bus = (offset: number, value: number) => ({ offset, size: 1, value, writable: 0xFF });
  // Bits 31 to 20 of an address are bits 15 to 4 of its register.
  const half = (address: number) => (address % GiB4 / MiB) << 4;
  const edge = (offset: number, address: number, flags = 0) => ({
    offset,
    size: 2,
    value: half(address) | flags,
    writable: 0xFFF0,
  });
  const high = (offset: number, address: number) => ({
    offset,
    size: 4,
    value: Math.floor(address / GiB4),
    writable: 0xFFFF_FFFF,
  });
  const { memory: m, prefetchable: p } = at;
  const last = (window: Window) => window.start + window.length - MiB;
  return [
    bus(BRIDGE.PRIMARY_BUS, 0),
    bus(BRIDGE.SECONDARY_BUS, at.secondary),
    bus(BRIDGE.SUBORDINATE_BUS, at.secondary),
    edge(BRIDGE.MEMORY_BASE, m.start),
    edge(BRIDGE.MEMORY_LIMIT, last(m)),
    edge(BRIDGE.PREFETCHABLE_BASE, p.start, WINDOW_64),
    edge(BRIDGE.PREFETCHABLE_LIMIT, last(p), WINDOW_64),
    high(BRIDGE.PREFETCHABLE_BASE_HIGH, p.start),
    high(BRIDGE.PREFETCHABLE_LIMIT_HIGH, last(p)),
    {
      offset: BRIDGE.CONTROL,
      size: 2,
      // Parity and system errors' forwarding are remembered, and of no effect.
      writable: BRIDGE_CONTROL_SECONDARY_RESET | 0x3,
      hook: control,
    },
  ];
}

/** Whether the bridge hands an access to memory on to what lies behind it. */
export function forwards(bridge: PciFunction, address: number, size: number): boolean {
  const { config } = bridge;
  if ((config.getUint16(PCI.COMMAND, true) & COMMAND_MEMORY) === 0) return false;
  const end = address + size;
  const edge = (offset: number) => (config.getUint16(offset, true) >> 4) * MiB;
  if (address >= edge(BRIDGE.MEMORY_BASE) && end <= edge(BRIDGE.MEMORY_LIMIT) + MiB) return true;
  const high = (offset: number) => config.getUint32(offset, true) * GiB4;
  const base = high(BRIDGE.PREFETCHABLE_BASE_HIGH) + edge(BRIDGE.PREFETCHABLE_BASE);
  const limit = high(BRIDGE.PREFETCHABLE_LIMIT_HIGH) + edge(BRIDGE.PREFETCHABLE_LIMIT);
  return address >= base && end <= limit + MiB;
}
