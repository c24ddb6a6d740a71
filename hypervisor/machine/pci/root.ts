/**
 * The PCIe root: bus 0, its configuration space by ECAM and by ports, and the window where BARs lie.
 *
 * @module
 */
import { struct } from "../../sys/struct.ts";
import { ECAM, PORT } from "../address_map.ts";
import type { Arena } from "../arena.ts";
import type { Bus, BusDevice } from "../bus.ts";
import { PciFunction } from "./function.ts";

const SLOTS = 32;
const CONFIG_ENABLE = 0x8000_0000;

const PciRootV1 = struct("pci_root", { config_address: "u32" });

export class PciRoot {
  readonly #slots: (PciFunction | undefined)[] = new Array(SLOTS).fill(undefined);
  readonly #state;
  readonly #bridge: PciFunction;
  #last: PciFunction | undefined;

  constructor(arena: Arena) {
    this.#state = arena.place("pci.root", PciRootV1);
    // A host bridge of no particular make: vendor 0x1b36 is what virtual hardware uses.
    this.#bridge = new PciFunction(arena, "pci.bridge", {
      identity: { vendor: 0x1B36, device: 0x0008, class: 0x0600 },
    });
    this.#slots[0] = this.#bridge;
  }

  powerOn(): void {
    this.#bridge.powerOn();
  }

  plug(slot: number, fn: PciFunction): void {
    if (slot < 1 || slot >= SLOTS || this.#slots[slot] !== undefined) {
      throw new RangeError(`Cannot plug a device into PCI slot ${slot}: it is taken or not there`);
    }
    this.#slots[slot] = fn;
  }

  /** BARs answer within `windows`, wherever in them the guest puts them. */
  attach(memory: Bus, ports: Bus, windows: readonly { start: number; length: number }[]): void {
    memory.attach(ECAM.start, ECAM.length, this.#ecam);
    for (const { start, length } of windows) memory.attach(start, length, this.#window(start));
    ports.attach(PORT.PCI_CONFIG_ADDRESS, 4, this.#configAddress);
    ports.attach(PORT.PCI_CONFIG_DATA, 4, this.#configData);
  }

  // An ECAM offset: bus 20, device 15, function 12, register 0.
  #read(device: number, fn: number, register: number, size: number): number {
    const slot = fn === 0 ? this.#slots[device] : undefined;
    if (slot === undefined) return 2 ** (8 * size) - 1;
    return slot.readConfig(register, size);
  }

  #write(device: number, fn: number, register: number, size: number, value: number): void {
    if (fn === 0) this.#slots[device]?.writeConfig(register, size, value);
  }

  readonly #ecam: BusDevice = {
    read: (o, size) => this.#read((o >> 15) & 31, (o >> 12) & 7, o & 0xFFF, size),
    write: (o, size, v) => this.#write((o >> 15) & 31, (o >> 12) & 7, o & 0xFFF, size, v),
  };

  readonly #configAddress: BusDevice = {
    read: (offset, size) => size === 4 && offset === 0 ? this.#state.config_address : 0xFFFF_FFFF,
    write: (offset, size, value) => {
      if (size === 4 && offset === 0) this.#state.config_address = value;
    },
  };

  readonly #configData: BusDevice = {
    read: (offset, size) => {
      const a = this.#state.config_address;
      if ((a & CONFIG_ENABLE) === 0 || (a & 0xFF_0000) !== 0) return 2 ** (8 * size) - 1;
      return this.#read((a >> 11) & 31, (a >> 8) & 7, (a & 0xFC) + offset, size);
    },
    write: (offset, size, value) => {
      const a = this.#state.config_address;
      if ((a & CONFIG_ENABLE) === 0 || (a & 0xFF_0000) !== 0) return;
      this.#write((a >> 11) & 31, (a >> 8) & 7, (a & 0xFC) + offset, size, value);
    },
  };

  #window(start: number): BusDevice {
    return {
      read: (offset, size) => {
        const address = start + offset;
        const fn = this.#at(address, size);
        return fn === undefined ? 2 ** (8 * size) - 1 : fn.bar!.device.read(
          address - fn.mapped,
          size,
        );
      },
      write: (offset, size, value) => {
        const address = start + offset;
        const fn = this.#at(address, size);
        if (fn !== undefined) fn.bar!.device.write(address - fn.mapped, size, value);
      },
    };
  }

  #answers(fn: PciFunction | undefined, address: number, size: number): boolean {
    if (fn === undefined || fn.bar === undefined) return false;
    const base = fn.mapped;
    return base !== 0 && address >= base && address + size <= base + fn.bar.size;
  }

  #at(address: number, size: number): PciFunction | undefined {
    // The BARs may have moved since, in any thread, so the last hit is checked again.
    if (this.#answers(this.#last, address, size)) return this.#last;
    for (const fn of this.#slots) if (this.#answers(fn, address, size)) return this.#last = fn;
  }
}
