/**
 * The fixed hardware of a hardware-reduced ACPI PC (ACPI 6.5, section 4.8.3.7 and 4.8.3.6): sleep
 * control and status, and reset. All that is left of the power management of a chipset.
 *
 * @module
 */
import { ACPI_PORT, RESET_VALUE, S5_SLEEP_TYPE } from "../machine/acpi/registers.ts";
import type { BusDevice } from "../machine/bus.ts";

/** Sleep control register: SLP_TYPx in bits 4:2, SLP_EN in bit 5. */
const SLP_TYP_SHIFT = 2;
const SLP_TYP_MASK = 7;
const SLP_EN = 1 << 5;

export class AcpiRegisters implements BusDevice {
  readonly #powerOff: () => void;
  readonly #reset: () => void;

  constructor(options: { powerOff: () => void; reset: () => void }) {
    this.#powerOff = options.powerOff;
    this.#reset = options.reset;
  }

  read(_offset: number, _size: number): number {
    return 0;
  }

  write(offset: number, _size: number, value: number): void {
    if (offset === ACPI_PORT.SLEEP_CONTROL && (value & SLP_EN) !== 0) {
      if ((value >> SLP_TYP_SHIFT & SLP_TYP_MASK) === S5_SLEEP_TYPE) this.#powerOff();
    }
    if (offset === ACPI_PORT.RESET && (value & 0xFF) === RESET_VALUE) this.#reset();
  }
}
