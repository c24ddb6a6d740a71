/**
 * A PCI function: its configuration space (PCI Local Bus 3.0, section 6) and its one memory BAR.
 * Bridges are functions too, with registers of their own in place of a device's.
 *
 * @module
 */
import { struct } from "../../sys/struct.ts";
import type { Arena } from "../arena.ts";
import type { BusDevice } from "../bus.ts";

export const CONFIG_BYTES = 256;

/** Offsets in a type 0 header. */
export const PCI = {
  VENDOR_ID: 0x00,
  DEVICE_ID: 0x02,
  COMMAND: 0x04,
  STATUS: 0x06,
  REVISION_ID: 0x08,
  CLASS_PROG: 0x09,
  CLASS_DEVICE: 0x0A,
  HEADER_TYPE: 0x0E,
  BASE_ADDRESS_0: 0x10,
  BASE_ADDRESS_1: 0x14,
  SUBSYSTEM_VENDOR_ID: 0x2C,
  SUBSYSTEM_ID: 0x2E,
  CAPABILITY_LIST: 0x34,
  INTERRUPT_LINE: 0x3C,
} as const;

const COMMAND_MEMORY = 1 << 1;
const COMMAND_MASTER = 1 << 2;
const COMMAND_INTX_DISABLE = 1 << 10;
const STATUS_CAP_LIST = 1 << 4;
/** BAR flags: 64-bit. */
const BAR_TYPE_64 = 0x4;
const FIRST_CAPABILITY = 0x40;

const PciFunctionV1 = struct("pci_function", {
  config: ["u8", CONFIG_BYTES],
  /** Where the BAR answers now; 0 while it does not. Programmed in two writes, mapped as a whole. */
  mapped: "n64",
});

export interface PciIdentity {
  vendor: number;
  device: number;
  revision?: number;
  /** Class and subclass, such as 0x0100. */
  class: number;
  subsystemVendor?: number;
  subsystem?: number;
}

/** A register that not every function has. */
export interface PciRegister {
  offset: number;
  /** In bytes. */
  size: number;
  /** At power-on; 0 without. */
  value?: number;
  /** 1 bits may be written by the guest; none without. */
  writable?: number;
  hook?: CapabilityHook;
}

export interface PciFunctionOptions {
  identity: PciIdentity;
  bar?: BarOptions;
  /** Header type: a device's (0) without. */
  header?: number;
  registers?: readonly PciRegister[];
}

/** Header types (6.1): a bridge's, and the flag of a device with more functions than one. */
export const HEADER = { BRIDGE: 0x01, MULTIFUNCTION: 0x80 } as const;

export interface BarOptions {
  /** A power of two, in bytes. */
  size: number;
  /** Where it lies at power-on. */
  base: number;
  device: BusDevice;
  /** The BAR moved from `from` to `to`; 0 stands for nowhere. */
  moved?: (from: number, to: number) => void;
}

export class PciFunction {
  readonly #state;
  readonly #view: DataView;
  readonly #identity: PciIdentity;
  readonly #bar: BarOptions | undefined;
  /** 1 bits may be written by the guest. */
  readonly #writable = new Uint8Array(CONFIG_BYTES);
  readonly #initial = new Uint8Array(CONFIG_BYTES);
  #nextCapability = FIRST_CAPABILITY;
  #lastLink: number = PCI.CAPABILITY_LIST;
  readonly #hooks: { start: number; end: number; hook: CapabilityHook }[] = [];

  constructor(arena: Arena, name: string, options: PciFunctionOptions) {
    this.#state = arena.place(`${name}.pci`, PciFunctionV1);
    this.#view = new DataView(
      this.#state.config.buffer,
      this.#state.config.byteOffset,
      CONFIG_BYTES,
    );
    this.#identity = options.identity;
    this.#bar = options.bar;
    this.#allow(PCI.COMMAND, 2, COMMAND_MEMORY | COMMAND_MASTER | COMMAND_INTX_DISABLE);
    this.#allow(PCI.INTERRUPT_LINE, 1, 0xFF);
    if (this.#bar !== undefined) {
      this.#allow(PCI.BASE_ADDRESS_0, 4, ~(this.#bar.size - 1) >>> 0);
      this.#allow(PCI.BASE_ADDRESS_1, 4, 0xFFFF_FFFF);
    }
    this.#describe(options.header ?? 0);
    options.registers?.forEach((register) => this.#addRegister(register));
  }

  #addRegister(register: PciRegister): void {
    const { offset, size, value = 0, writable = 0, hook } = register;
    this.#allow(offset, size, writable);
    for (let i = 0; i < size; i++) this.#initial[offset + i] = (value >>> (8 * i)) & 0xFF;
    if (hook !== undefined) this.#hooks.push({ start: offset, end: offset + size, hook });
  }

  #allow(offset: number, size: number, mask: number): void {
    for (let i = 0; i < size; i++) this.#writable[offset + i] = (mask >>> (8 * i)) & 0xFF;
  }

  #describe(header: number): void {
    const id = this.#identity;
    const view = new DataView(this.#initial.buffer);
    view.setUint16(PCI.VENDOR_ID, id.vendor, true);
    view.setUint16(PCI.DEVICE_ID, id.device, true);
    view.setUint8(PCI.REVISION_ID, id.revision ?? 0);
    view.setUint16(PCI.CLASS_DEVICE, id.class, true);
    view.setUint8(PCI.HEADER_TYPE, header);
    if ((header & HEADER.BRIDGE) === 0) {
      view.setUint16(PCI.SUBSYSTEM_VENDOR_ID, id.subsystemVendor ?? 0, true);
      view.setUint16(PCI.SUBSYSTEM_ID, id.subsystem ?? 0, true);
    }
    if (this.#bar !== undefined) {
      view.setUint32(
        PCI.BASE_ADDRESS_0,
        (this.#bar.base % 0x1_0000_0000 | BAR_TYPE_64) >>> 0,
        true,
      );
      view.setUint32(PCI.BASE_ADDRESS_1, this.#bar.base / 0x1_0000_0000, true);
    }
  }

  /**
   * Appends a capability: `bytes` begin with its id, the link is filled in. `writable` has 1 bits
   * where the guest may write. Returns its offset.
   */
  addCapability(bytes: Uint8Array, options: { writable?: Uint8Array; hook?: CapabilityHook } = {}) {
    const offset = this.#nextCapability;
    this.#initial.set(bytes, offset);
    this.#initial[offset + 1] = 0;
    this.#initial[this.#lastLink] = offset;
    this.#initial[PCI.STATUS] |= STATUS_CAP_LIST;
    if (options.writable !== undefined) this.#writable.set(options.writable, offset);
    this.#lastLink = offset + 1;
    this.#nextCapability = Math.ceil((offset + bytes.length) / 4) * 4;
    if (options.hook !== undefined) {
      this.#hooks.push({ start: offset, end: offset + bytes.length, hook: options.hook });
    }
    return offset;
  }

  /** Once, by the thread that sets the machine up. */
  powerOn(): void {
    this.#state.config.set(this.#initial);
  }

  /** By the thread that sets a machine up from saved registers: carries through what they say. */
  restore(): void {
    // Where it answered was in another process.
    this.#state.mapped = 0;
    this.#remap();
    for (const { hook } of this.#hooks) hook.restored?.();
  }

  /** Power is cut or the bus is reset: the function forgets what it was told, and answers nowhere. */
  powerOff(): void {
    this.#state.config.set(this.#initial);
    this.#remap();
    for (const { hook } of this.#hooks) hook.poweredOff?.();
  }

  /** What configuration space holds; little-endian. */
  get config(): DataView {
    return this.#view;
  }

  readConfig(offset: number, size: number): number {
    if (offset + size > CONFIG_BYTES) return 0;
    for (const h of this.#hooks) {
      if (h.hook.beforeRead && offset < h.end && offset + size > h.start) {
        h.hook.beforeRead(offset - h.start, size);
      }
    }
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 256 + this.#state.config[offset + i];
    return value;
  }

  writeConfig(offset: number, size: number, value: number): void {
    if (offset + size > CONFIG_BYTES) return;
    const config = this.#state.config;
    for (let i = 0; i < size; i++) {
      const mask = this.#writable[offset + i];
      const byte = (value >>> (8 * i)) & 0xFF;
      config[offset + i] = (config[offset + i] & ~mask) | (byte & mask);
    }
    if (offset < PCI.BASE_ADDRESS_1 + 4 && offset + size > PCI.COMMAND) this.#remap();
    for (const h of this.#hooks) {
      if (offset < h.end && offset + size > h.start) h.hook.written(offset - h.start, size, value);
    }
  }

  #remap(): void {
    const bar = this.#bar;
    if (bar === undefined) return;
    const from = this.#state.mapped;
    let to = 0;
    if (this.#view.getUint16(PCI.COMMAND, true) & COMMAND_MEMORY) {
      const low = (this.#view.getUint32(PCI.BASE_ADDRESS_0, true) & ~0xF) >>> 0;
      to = this.#view.getUint32(PCI.BASE_ADDRESS_1, true) * 0x1_0000_0000 + low;
    }
    // A driver that sizes a BAR leaves all ones in it; nothing answers there.
    if (to + bar.size > 2 ** 52) to = 0;
    if (from === to) return;
    this.#state.mapped = to;
    bar.moved?.(from, to);
  }

  /** Where the BAR answers now; 0 while it does not. */
  get mapped(): number {
    return this.#state.mapped;
  }

  /** Whether an access to memory is to the BAR. */
  answers(address: number, size: number): boolean {
    const base = this.#state.mapped;
    return base !== 0 && address >= base && address + size <= base + this.#bar!.size;
  }

  get bar(): BarOptions | undefined {
    return this.#bar;
  }
}

/** What lies behind a capability's bytes; offsets are from its start. */
export interface CapabilityHook {
  beforeRead?(offset: number, size: number): void;
  /** `value` is what was written, before what is not writable was left out. */
  written(offset: number, size: number, value: number): void;
  poweredOff?(): void;
  /** The registers are those of a machine that was saved. */
  restored?(): void;
}
