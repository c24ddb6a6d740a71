/**
 * A guest's first hot-plug port, as part of a {@linkcode GuestProgram}.
 *
 * @module
 */
import { ECAM, portWindows } from "../../hypervisor/machine/address_map.ts";
import { BRIDGE } from "../../hypervisor/machine/pci/bridge.ts";
import {
  EXPRESS,
  INDICATOR,
  LINK_ACTIVE,
  SLOT_CONTROL,
  SLOT_STATUS,
} from "../../hypervisor/machine/pci/express.ts";
import { PCI } from "../../hypervisor/machine/pci/function.ts";
import type { GuestProgram } from "./guest_program.ts";

/** The port's registers, and the configuration space of what is behind it. */
export const AT_PORT = ECAM.start + 31 * 0x8000;
const BEHIND = ECAM.start + ECAM.busLength;
export const EXPRESS_AT = AT_PORT + 0x40;
export const WINDOW = portWindows(0, 39).memory;

export const ON = INDICATOR.ON;
export const OFF = SLOT_CONTROL.POWER_OFF | INDICATOR.OFF;
export const ONES = 0xFFFF_FFFF;

export class Slot {
  constructor(readonly program: GuestProgram) {}

  control(value: number): void {
    this.program.write(EXPRESS_AT + EXPRESS.SLOT_CONTROL, 2, value);
  }

  waitForStatus(wanted: number, mask: number): void {
    this.program.wait(EXPRESS_AT + EXPRESS.SLOT_STATUS, 2, wanted, mask);
  }

  clearStatus(): void {
    this.program.write(EXPRESS_AT + EXPRESS.SLOT_STATUS, 2, 0xFFFF);
  }

  /** Gives the slot power and waits until something answers behind the port. */
  turnOn(): void {
    this.control(ON);
    this.program.wait(EXPRESS_AT + EXPRESS.LINK_STATUS, 2, LINK_ACTIVE, LINK_ACTIVE);
  }

  waitForDisk(): void {
    this.waitForStatus(SLOT_STATUS.PRESENT, SLOT_STATUS.PRESENT);
    this.clearStatus();
    this.turnOn();
  }

  /** The header as firmware left it. */
  restore(): void {
    const { program } = this;
    const last = WINDOW.start + WINDOW.length - 2 ** 20;
    program.write(AT_PORT + BRIDGE.SECONDARY_BUS, 1, 1);
    program.write(AT_PORT + BRIDGE.MEMORY_BASE, 2, WINDOW.start / 0x10000);
    program.write(AT_PORT + BRIDGE.MEMORY_LIMIT, 2, last / 0x10000);
    program.write(AT_PORT + BRIDGE.CONTROL, 2, 0);
    program.write(AT_PORT + PCI.COMMAND, 2, 6);
  }

  expectNothing(): void {
    this.program.read(BEHIND, 4);
    this.program.expect("vendor and device", ONES);
    this.program.write(BEHIND + PCI.COMMAND, 2, 6);
    this.program.read(BEHIND + 0x40, 4);
    this.program.expect("a capability", ONES);
  }
}
