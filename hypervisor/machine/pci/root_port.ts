/**
 * A PCIe root port with a slot into which a function is put, and from which it is taken, while the
 * guest runs (PCI Express Base 5.0, sections 6.7 and 7.5.3).
 *
 * Registers lie in the arena; that the slot's content changed is seen there too, so every thread
 * makes the function that is in the slot for itself when it next looks. All of this is under the bus
 * lock.
 *
 * @module
 */
import { struct } from "../../sys/struct.ts";
import type { Window } from "../address_map.ts";
import type { Arena } from "../arena.ts";
import type { MsiVectors } from "../interrupts.ts";
import { BRIDGE, BRIDGE_CONTROL_SECONDARY_RESET, bridgeRegisters, forwards } from "./bridge.ts";
import {
  EXPRESS,
  expressCapability,
  INDICATOR,
  LINK_ACTIVE,
  SLOT_CONTROL,
  SLOT_STATUS,
} from "./express.ts";
import { HEADER, PCI, PciFunction } from "./function.ts";
import { Msi } from "./msi.ts";

const RootPortV1 = struct("pci_root_port", {
  /** Counts the functions that came and went. */
  generation: "u32",
  occupied: "u8",
  /** Power is on, and the bus behind is not held in reset. */
  on: "u8",
  /** The function lost its power, and has not been reset since. */
  settling: "u8",
  /** The guest was asked to let go of the function. */
  leaving: "u8",
  /** There is something to interrupt for. */
  asserted: "u8",
  /** Where the BAR was of a function that was torn out. */
  vacated: "n64",
  vacated_length: "n64",
});

export interface RootPortOptions {
  /** From 0. */
  index: number;
  /** How many there are. */
  ports: number;
  /** What it forwards at power-on. */
  windows: { memory: Window; prefetchable: Window };
  /** One, for its own interrupt. */
  vectors: MsiVectors;
  /** Makes, for this thread, the function that another thread has put into the slot. */
  build: () => PciFunction;
  /** The function in the slot lost its power: it is to be reset, then {@linkcode RootPort.settled}. */
  cut: () => void;
}

export class RootPort {
  /** The port itself, on bus 0. */
  readonly function: PciFunction;
  readonly #s;
  readonly #msi: Msi;
  readonly #express: number;
  readonly #memory: Window;
  readonly #build: () => PciFunction;
  readonly #cut: () => void;
  #seen = 0;
  #occupant: PciFunction | undefined;

  constructor(arena: Arena, options: RootPortOptions) {
    const { index } = options;
    const name = `pci.port${index}`;
    this.#memory = options.windows.memory;
    this.#s = arena.place(`${name}.slot`, RootPortV1);
    this.#build = options.build;
    this.#cut = options.cut;
    this.function = new PciFunction(arena, name, {
      // Of no particular make, as the host bridge.
      identity: { vendor: 0x1B36, device: 0x000C, class: 0x0604 },
      header: HEADER.BRIDGE | (options.ports > 1 ? HEADER.MULTIFUNCTION : 0),
      registers: bridgeRegisters({ secondary: 1 + index, ...options.windows }, {
        written: () => this.#update(),
      }),
    });
    const { bytes, writable } = expressCapability(1 + index);
    this.#express = this.function.addCapability(bytes, {
      writable,
      hook: { written: (offset, size, value) => this.#written(offset, size, value) },
    });
    this.#msi = new Msi(this.function, options.vectors);
  }

  /** Once, by the thread that sets the machine up: the slot is empty and without power. */
  powerOn(): void {
    this.function.powerOn();
  }

  /** In its place, from saved registers. What is in the slot is restored by whoever puts it there. */
  restore(): void {
    this.function.restore();
  }

  /** From saved registers: `fn` is what was in the slot. */
  refill(fn: PciFunction): void {
    this.#seen = this.#s.generation;
    this.#occupant = fn;
  }

  /** The bus behind the port. */
  get secondary(): number {
    return this.function.config.getUint8(BRIDGE.SECONDARY_BUS);
  }

  /** What answers behind the port. */
  get reachable(): PciFunction | undefined {
    return this.#s.on === 1 && this.#s.settling === 0 ? this.occupant : undefined;
  }

  /** What is in the slot, with power or without. */
  get occupant(): PciFunction | undefined {
    const s = this.#s;
    if (this.#seen !== s.generation) {
      this.#seen = s.generation;
      this.#occupant = s.occupied === 1 ? this.#build() : undefined;
    }
    return this.#occupant;
  }

  /** The function behind the port whose BAR is accessed. */
  at(address: number, size: number): PciFunction | undefined {
    const fn = this.reachable;
    if (fn === undefined || !fn.answers(address, size)) return undefined;
    return forwards(this.function, address, size) ? fn : undefined;
  }

  /**
   * Whether an access is to where the BAR was of a function that was torn out. Reads are 0 there
   * until the guest has noticed: Linux's virtio driver, which waits until the device that it lets
   * go of has a status of 0, would wait for ever for a status of all ones.
   */
  isVacated(address: number, size: number): boolean {
    const { vacated, vacated_length } = this.#s;
    return address >= vacated && address + size <= vacated + vacated_length;
  }

  get #control(): number {
    return this.function.config.getUint16(this.#express + EXPRESS.SLOT_CONTROL, true);
  }

  set #control(value: number) {
    this.function.config.setUint16(this.#express + EXPRESS.SLOT_CONTROL, value, true);
  }

  get #status(): number {
    return this.function.config.getUint16(this.#express + EXPRESS.SLOT_STATUS, true);
  }

  set #status(value: number) {
    this.function.config.setUint16(this.#express + EXPRESS.SLOT_STATUS, value, true);
  }

  #written(offset: number, size: number, value: number): void {
    const { ATTENTION_BUTTON, PRESENCE_CHANGED, LINK_CHANGED } = SLOT_STATUS;
    // What was written to the status register: 0 where the access did not reach it.
    let ones = 0;
    for (let i = 0; i < size; i++) {
      const byte = offset + i - EXPRESS.SLOT_STATUS;
      if (byte === 0 || byte === 1) ones |= ((value >>> (8 * i)) & 0xFF) << (8 * byte);
    }
    this.#status &= ~(ones & (ATTENTION_BUTTON | PRESENCE_CHANGED | LINK_CHANGED));
    this.#update();
  }

  /** Carries through what the registers now say. */
  #update(): void {
    const s = this.#s;
    const powered = (this.#control & SLOT_CONTROL.POWER_OFF) === 0;
    const reset = this.function.config.getUint16(BRIDGE.CONTROL, true) &
      BRIDGE_CONTROL_SECONDARY_RESET;
    const on = powered && reset === 0 ? 1 : 0;
    if (!powered) s.vacated_length = 0;
    if (on !== s.on) {
      s.on = on;
      const fn = this.occupant;
      if (on === 0 && fn !== undefined) {
        fn.powerOff();
        s.settling = 1;
        this.#cut();
      }
    }
    this.#updateLink();
    this.#interrupt();
  }

  #updateLink(): void {
    const s = this.#s;
    const at = this.#express + EXPRESS.LINK_STATUS;
    const before = this.function.config.getUint16(at, true);
    const active = s.occupied === 1 && s.on === 1 && s.settling === 0 ? LINK_ACTIVE : 0;
    if ((before & LINK_ACTIVE) === active) return;
    this.function.config.setUint16(at, before & ~LINK_ACTIVE | active, true);
    this.#status |= SLOT_STATUS.LINK_CHANGED;
  }

  // Section 6.7.3.4: a message when there begins to be something that the guest wants to hear of.
  #interrupt(): void {
    const s = this.#s;
    const [control, status] = [this.#control, this.#status];
    const C = SLOT_CONTROL;
    const asserted = (control & C.INTERRUPT_ENABLE) !== 0 && (
        (control & C.ATTENTION_BUTTON_ENABLE) !== 0 &&
          (status & SLOT_STATUS.ATTENTION_BUTTON) !== 0 ||
        (control & C.PRESENCE_ENABLE) !== 0 && (status & SLOT_STATUS.PRESENCE_CHANGED) !== 0 ||
        (control & C.LINK_ENABLE) !== 0 && (status & SLOT_STATUS.LINK_CHANGED) !== 0
      )
      ? 1
      : 0;
    if (asserted === s.asserted) return;
    s.asserted = asserted;
    if (asserted === 1) this.#msi.signal();
  }

  // What follows is for the thread that serves the devices.

  get isOccupied(): boolean {
    return this.#s.occupied === 1;
  }

  /** The function lost its power and is to be reset. */
  get isSettling(): boolean {
    return this.#s.settling === 1;
  }

  /** The guest has not cut the slot's power. */
  get isPowered(): boolean {
    return (this.#control & SLOT_CONTROL.POWER_OFF) === 0;
  }

  /** Whether the guest was asked to let go of the function. */
  get isLeaving(): boolean {
    return this.#s.leaving === 1;
  }

  /**
   * After power-on, before the guest runs: `fn`, which is as after power-on too, has been in the slot all
   * along. It has power, and an address, as firmware would have left it; of nothing is there news.
   */
  fill(fn: PciFunction): void {
    const s = this.#s;
    s.generation++;
    s.occupied = 1;
    this.#seen = s.generation;
    this.#occupant = fn;
    fn.writeConfig(PCI.BASE_ADDRESS_0, 4, this.#memory.start);
    this.#control = this.#control & ~SLOT_CONTROL.POWER_OFF & ~SLOT_CONTROL.POWER_INDICATOR |
      INDICATOR.ON;
    this.#status |= SLOT_STATUS.PRESENT;
    this.#update();
    this.#status &= ~SLOT_STATUS.LINK_CHANGED;
  }

  /** Puts `fn`, which is as after power-on, into the empty slot. */
  insert(fn: PciFunction): void {
    const s = this.#s;
    s.generation++;
    s.occupied = 1;
    // What was torn out a moment ago, the guest may not have noticed yet: that stays.
    s.settling = s.leaving = 0;
    this.#seen = s.generation;
    this.#occupant = fn;
    this.#status |= SLOT_STATUS.PRESENT | SLOT_STATUS.PRESENCE_CHANGED;
    // Where there is a button, Linux does not listen for presence: whoever puts something in presses
    // it, and the guest powers the slot some seconds later. A slot with power sees its link come up.
    if (!this.isPowered) this.#status |= SLOT_STATUS.ATTENTION_BUTTON;
    this.#updateLink();
    this.#interrupt();
  }

  /**
   * Presses the attention button (section 6.7.1.5): the guest lets go of the function and cuts its
   * power. A second press would take the first back, so there is none while the guest is at it;
   * false then.
   */
  press(): boolean {
    const s = this.#s;
    const blinks = (this.#control & SLOT_CONTROL.POWER_INDICATOR) === INDICATOR.BLINK;
    const pending = (this.#status & SLOT_STATUS.ATTENTION_BUTTON) !== 0;
    if (s.leaving === 1 && (blinks || pending)) return false;
    s.leaving = 1;
    this.#status |= SLOT_STATUS.ATTENTION_BUTTON;
    this.#interrupt();
    return true;
  }

  /** The function, having lost its power, is as after power-on. */
  settled(): void {
    this.#s.settling = 0;
    this.#updateLink();
    this.#interrupt();
  }

  /** Takes the function out of the slot, whether the guest is ready for that or not. */
  remove(): void {
    const s = this.#s;
    const fn = this.occupant;
    if (fn === undefined) return;
    s.vacated = fn.mapped;
    s.vacated_length = fn.mapped === 0 ? 0 : fn.bar!.size;
    fn.powerOff();
    s.generation++;
    s.occupied = s.settling = s.leaving = 0;
    this.#seen = s.generation;
    this.#occupant = undefined;
    this.#status = this.#status & ~SLOT_STATUS.PRESENT | SLOT_STATUS.PRESENCE_CHANGED;
    this.#updateLink();
    this.#interrupt();
  }
}
