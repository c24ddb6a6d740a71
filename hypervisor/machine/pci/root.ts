/**
 * The PCIe root: bus 0 and the buses behind its hot-plug ports, their configuration space by ECAM
 * and by ports, and the window where BARs lie.
 *
 * @module
 */
import { struct } from "../../sys/struct.ts";
import { ECAM, ecamLength, PORT, type Window } from "../address_map.ts";
import type { Arena } from "../arena.ts";
import type { Bus, BusDevice } from "../bus.ts";
import { PciFunction } from "./function.ts";
import type { RootPort } from "./root_port.ts";

const SLOTS = 32;
const FUNCTIONS = 8;
/** The hot-plug ports are the functions of the last device. */
const PORTS_SLOT = SLOTS - 1;
const CONFIG_ENABLE = 0x8000_0000;

const PciRootV1 = struct("pci_root", { config_address: "u32" });

export class PciRoot {
  /** Bus 0: device * 8 + function. */
  readonly #functions: (PciFunction | undefined)[] = new Array(SLOTS * FUNCTIONS).fill(undefined);
  /** Those with a BAR. */
  readonly #mapped: PciFunction[] = [];
  readonly #ports: RootPort[] = [];
  readonly #state;
  readonly #bridge: PciFunction;
  #last: PciFunction | undefined;

  constructor(arena: Arena) {
    this.#state = arena.place("pci.root", PciRootV1);
    // A host bridge of no particular make: vendor 0x1b36 is what virtual hardware uses.
    this.#bridge = new PciFunction(arena, "pci.bridge", {
      identity: { vendor: 0x1B36, device: 0x0008, class: 0x0600 },
    });
    this.#functions[0] = this.#bridge;
  }

  powerOn(): void {
    this.#bridge.powerOn();
  }

  restore(): void {
    this.#bridge.restore();
  }

  /** For good: see {@linkcode RootPort} for what comes and goes. */
  plug(slot: number, fn: PciFunction): void {
    if (slot < 1 || slot >= SLOTS || this.#functions[slot * FUNCTIONS] !== undefined) {
      throw new RangeError(`Cannot plug a device into PCI slot ${slot}: it is taken or not there`);
    }
    this.#functions[slot * FUNCTIONS] = fn;
    if (fn.bar !== undefined) this.#mapped.push(fn);
  }

  /** Ports in the order of their indexes; all before {@linkcode attach}. */
  addPort(port: RootPort): void {
    this.#functions[PORTS_SLOT * FUNCTIONS + this.#ports.length] = port.function;
    this.#ports.push(port);
  }

  /** BARs answer within `windows`, wherever in them the guest puts them. */
  attach(memory: Bus, ports: Bus, windows: readonly Window[]): void {
    memory.attach(ECAM.start, ecamLength(this.#ports.length), this.#ecam);
    for (const { start, length } of windows) memory.attach(start, length, this.#window(start));
    ports.attach(PORT.PCI_CONFIG_ADDRESS, 4, this.#configAddress);
    ports.attach(PORT.PCI_CONFIG_DATA, 4, this.#configData);
  }

  /** The function at a bus, and at device * 8 + function on it. */
  #function(bus: number, devfn: number): PciFunction | undefined {
    if (bus === 0) return this.#functions[devfn];
    // Behind a port there is device 0 alone.
    if (devfn !== 0) return undefined;
    for (const port of this.#ports) if (port.secondary === bus) return port.reachable;
  }

  // An ECAM offset: bus 20, device 15, function 12, register 0.
  readonly #ecam: BusDevice = {
    read: (o, size) => {
      const fn = this.#function(o >> 20, (o >> 12) & 0xFF);
      return fn === undefined ? 2 ** (8 * size) - 1 : fn.readConfig(o & 0xFFF, size);
    },
    write: (o, size, value) => {
      this.#function(o >> 20, (o >> 12) & 0xFF)?.writeConfig(o & 0xFFF, size, value);
    },
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
      const fn = this.#selected(a);
      return fn === undefined ? 2 ** (8 * size) - 1 : fn.readConfig((a & 0xFC) + offset, size);
    },
    write: (offset, size, value) => {
      const a = this.#state.config_address;
      this.#selected(a)?.writeConfig((a & 0xFC) + offset, size, value);
    },
  };

  // A configuration address: enable 31, bus 16, device 11, function 8, register 0.
  #selected(address: number): PciFunction | undefined {
    if ((address & CONFIG_ENABLE) === 0) return undefined;
    return this.#function((address >> 16) & 0xFF, (address >> 8) & 0xFF);
  }

  #window(start: number): BusDevice {
    return {
      read: (offset, size) => {
        const address = start + offset;
        const fn = this.#at(address, size);
        if (fn !== undefined) return fn.bar!.device.read(address - fn.mapped, size);
        return this.#isVacated(address, size) ? 0 : 2 ** (8 * size) - 1;
      },
      write: (offset, size, value) => {
        const address = start + offset;
        const fn = this.#at(address, size);
        if (fn !== undefined) fn.bar!.device.write(address - fn.mapped, size, value);
      },
    };
  }

  #at(address: number, size: number): PciFunction | undefined {
    // The BARs may have moved since, in any thread, so the last hit is checked again.
    if (this.#last?.answers(address, size)) return this.#last;
    for (const fn of this.#mapped) if (fn.answers(address, size)) return this.#last = fn;
    // What a port leads to may be gone the next time, so it is not remembered.
    for (const port of this.#ports) {
      const fn = port.at(address, size);
      if (fn !== undefined) return fn;
    }
  }

  #isVacated(address: number, size: number): boolean {
    for (const port of this.#ports) if (port.isVacated(address, size)) return true;
    return false;
  }
}
