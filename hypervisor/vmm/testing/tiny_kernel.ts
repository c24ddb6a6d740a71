/**
 * Guests of a few bytes, which boot as Linux does: to see how a VMM runs and ends one, no more is
 * needed.
 *
 * @module
 */
import { ACPI_PORT, RESET_VALUE } from "../../machine/acpi/tables.ts";
import { S5_SLEEP_TYPE } from "../../machine/acpi/dsdt.ts";
import { PORT } from "../../machine/address_map.ts";
import { bzImage } from "../../machine/testing/bzimage.ts";

const u16 = (value: number) => [value & 0xFF, value >> 8];
/** mov dx, port */
const toPort = (port: number) => [0x66, 0xBA, ...u16(port)];
/** mov dx, port; mov al, value; out dx, al */
const out = (port: number, value: number) => [...toPort(port), 0xB0, value, 0xEE];
const print = (text: string) =>
  [...new TextEncoder().encode(text)].flatMap((b) => out(PORT.COM1, b));

const SLEEP_OFF = S5_SLEEP_TYPE << 2 | 1 << 5;
/** hlt; jmp to it */
const HALT = [0xF4, 0xEB, 0xFD];
const POWER_OFF = [...out(PORT.ACPI + ACPI_PORT.SLEEP_CONTROL, SLEEP_OFF), ...HALT];
const RESET = [...out(PORT.ACPI + ACPI_PORT.RESET, RESET_VALUE), ...HALT];
/** ud2: its handler is not there, nor is that of the fault which follows from this. */
const TRIPLE_FAULT = [0x0F, 0x0B];

/** Until a byte has come: mov dx, COM1 + 5; in al, dx; test al, 1; jz; then it is in al and sent back. */
const ECHO = [
  ...[...toPort(PORT.COM1 + 5), 0xEC, 0xA8, 0x01, 0x74, 0xF7],
  ...[...toPort(PORT.COM1), 0xEC, 0xEE],
];
/** cmp al, 'q'; jne to the beginning of the echo */
const UNTIL_Q = [0x3C, 0x71, 0x75, 256 - (ECHO.length + 4)];

const CODE = {
  poweroff: POWER_OFF,
  reset: RESET,
  crash: TRIPLE_FAULT,
  halt: HALT,
  /** Sends back what is typed, up to a "q", which powers it off. */
  echo: [...ECHO, ...UNTIL_Q, ...POWER_OFF],
};

export type TinyKernel = keyof typeof CODE;

/** A bzImage that prints `text` on COM1 and then does as it is named. */
export function tinyKernel(kind: TinyKernel, text = "hello\n"): Uint8Array<ArrayBuffer> {
  return bzImage({ code: Uint8Array.from([...print(text), ...CODE[kind]]) });
}
