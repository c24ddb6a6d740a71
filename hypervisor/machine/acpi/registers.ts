/**
 * The fixed registers and interrupts that the ACPI tables tell of: apart from those, so that what
 * answers the registers does not come with all that writes tables.
 *
 * @module
 */
import { GSI } from "../address_map.ts";

/** Registers at PORT.ACPI. */
export const ACPI_PORT = { SLEEP_CONTROL: 0, SLEEP_STATUS: 1, RESET: 2, LENGTH: 4 } as const;
/** What is to be written to the reset register. */
export const RESET_VALUE = 1;
/** The sleep type that means "off" in `_S5_` and in the sleep control register. */
export const S5_SLEEP_TYPE = 5;
/** The interrupt that the Generic Event Device turns into a press of the power button. */
export const POWER_BUTTON_GSI = GSI.ACPI;
