/**
 * What a PC's firmware does first, and all that is left of firmware here: reset the machine.
 *
 * Linux on a hardware-reduced ACPI PC does not use ACPI's reset register when it reboots. It asks
 * EFI, and where there is none it goes back to real mode and jumps to where a BIOS would begin.
 *
 * @module
 */
import { ACPI_PORT, RESET_VALUE } from "../acpi/registers.ts";
import { PORT } from "../address_map.ts";

/** F000:FFF0, where a BIOS begins that is jumped to in real mode. */
export const RESET_VECTOR = 0xF_FFF0;

/** 16-bit code that writes to ACPI's reset register, and halts should that return. */
export function resetVector(): Uint8Array {
  const port = PORT.ACPI + ACPI_PORT.RESET;
  return Uint8Array.of(
    ...[0xBA, port & 0xFF, port >> 8], // mov dx, port
    ...[0xB0, RESET_VALUE], // mov al, RESET_VALUE
    0xEE, // out dx, al
    0xF4, // hlt
    ...[0xEB, 0xFD], // jmp to the hlt
  );
}
