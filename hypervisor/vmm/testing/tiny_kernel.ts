/**
 * Guests of a few bytes, which boot as Linux does: to see how a VMM runs and ends one, no more is
 * needed.
 *
 * @module
 */
import { ACPI_PORT, RESET_VALUE, S5_SLEEP_TYPE } from "../../machine/acpi/registers.ts";
import { PORT } from "../../machine/address_map.ts";
import { BOOT } from "../../machine/boot/plan.ts";
import { bzImage } from "../../machine/testing/bzimage.ts";
import { ELF_ADDRESS, elfKernel } from "../../machine/testing/elf.ts";

const u16 = (value: number) => [value & 0xFF, value >> 8];
/** mov dx, port */
const toPort = (port: number) => [0x66, 0xBA, ...u16(port)];
/** mov dx, port; mov al, value; out dx, al */
const out = (port: number, value: number) => [...toPort(port), 0xB0, value, 0xEE];
const print = (text: string) =>
  [...new TextEncoder().encode(text)].flatMap((b) => out(PORT.COM1, b));

/** A page that nothing else of the boot uses. */
const SPARE_PAGE = 0xD000;

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

/** Eight bytes at once: lea rsi, [the bytes]; mov ecx, 8; mov dx, COM1; rep outsb; jmp over the bytes */
const STRING = [
  ...[0x48, 0x8D, 0x35, 13, 0, 0, 0],
  ...[0xB9, 8, 0, 0, 0],
  ...toPort(PORT.COM1),
  ...[0xF3, 0x6E, 0xEB, 8],
  ...new TextEncoder().encode("strings\n"),
];

const CONFIG_ENABLE = 0x8000_0000;
const u32 = (value: number) => [...u16(value & 0xFFFF), ...u16(value >>> 16)];
/** Sends four bytes of PCI configuration: mov eax, address; out dx, eax; in eax, dx; then byte by byte. */
const pciConfig = (slot: number, register: number) => [
  ...[...toPort(PORT.PCI_CONFIG_ADDRESS), 0xB8, ...u32(CONFIG_ENABLE + slot * 0x800 + register)],
  ...[0xEF, ...toPort(PORT.PCI_CONFIG_DATA), 0xED, ...toPort(PORT.COM1)],
  // out dx, al; shr eax, 8
  ...[0, 1, 2, 3].flatMap(() => [0xEE, 0xC1, 0xE8, 8]),
];

/** mov dword [address], value */
const store = (address: number, value: number) => [
  ...[0xC7, 0x04, 0x25, ...u32(address), ...u32(value)],
];
/** Maps the 2 MiB from 4 GiB on, and writes there: mov rax, 4 GiB; mov [rax], al */
const WRITE_ABOVE_4_GIB = [
  ...[...store(BOOT.PDPT + 4 * 8, SPARE_PAGE | 3), ...store(SPARE_PAGE, 0x83)],
  ...[...store(SPARE_PAGE + 4, 1), 0x48, 0xB8, 0, 0, 0, 0, 1, 0, 0, 0, 0x88, 0x00],
];

/** rdtsc; shl rdx, 32; or rax, rdx */
const TSC = [0x0F, 0x31, 0x48, 0xC1, 0xE2, 32, 0x48, 0x09, 0xD0];
/** mov rax, r9 or r8; mov cl, 8; then, eight times: out dx, al; shr rax, 8; dec cl; jnz */
const send64 = (register: number) => [
  ...[0x4C, 0x89, register, 0xB1, 8],
  ...[0xEE, 0x48, 0xC1, 0xE8, 8, 0xFE, 0xC9, 0x75, 256 - 9],
];
/** r9 is when it looked last, r8 how long it did not at the most. */
const WATCH_STEP = [
  ...TSC,
  // mov r10, rax; sub rax, r9; cmp rax, r8; jbe over the next; mov r8, rax; mov r9, r10
  ...[0x49, 0x89, 0xC2, 0x4C, 0x29, 0xC8, 0x4C, 0x39, 0xC0, 0x76, 3, 0x49, 0x89, 0xC0],
  ...[0x4D, 0x89, 0xD1],
];
/** mov ecx, 4096; then as often: the step; dec ecx; jnz */
const WATCH_STEPS = [
  ...[0xB9, ...u32(4096), ...WATCH_STEP],
  ...[0xFF, 0xC9, 0x75, 256 - (WATCH_STEP.length + 4)],
];
/** mov dx, COM1 + 5; in al, dx; test al, 1; jz to the steps; mov dx, COM1; in al, dx */
const WATCH_TYPED = [
  ...[...toPort(PORT.COM1 + 5), 0xEC, 0xA8, 0x01, 0x74, 256 - (WATCH_STEPS.length + 9)],
  ...[...toPort(PORT.COM1), 0xEC],
];
const WATCH = [
  // The time; mov r9, rax; xor r8d, r8d
  ...[...TSC, 0x49, 0x89, 0xC1, 0x45, 0x31, 0xC0],
  ...[...WATCH_STEPS, ...WATCH_TYPED, ...send64(0xC8), ...send64(0xC0)],
];
/** jmp to the beginning */
const WATCH_AGAIN = [0xE9, ...u32(2 ** 32 - (WATCH.length + 5))];

const CODE = {
  poweroff: POWER_OFF,
  reset: RESET,
  crash: TRIPLE_FAULT,
  halt: HALT,
  /** Writes to the first byte above 4 GiB, and powers off if it can. */
  high: [...WRITE_ABOVE_4_GIB, ...POWER_OFF],
  /** Sends a string by one instruction, and who is in PCI slots 1 and 31. */
  looks: [...STRING, ...pciConfig(1, 0), ...pciConfig(31, 0), ...POWER_OFF],
  /** Sends back what is typed, up to a "q", which powers it off. */
  echo: [...ECHO, ...UNTIL_Q, ...POWER_OFF],
  /**
   * Reads its time stamp counter over and over. For each byte that is typed it sends two numbers of 64 bits:
   * what it read last, and how much more that was than the time before, at the most, since it last told.
   */
  watch: [...WATCH, ...WATCH_AGAIN],
};

export type TinyKernel = keyof typeof CODE;

/** A bzImage that prints `text` on COM1 and then does as it is named. */
export function tinyKernel(kind: TinyKernel, text = "hello\n"): Uint8Array<ArrayBuffer> {
  return bzImage({ code: Uint8Array.from([...print(text), ...CODE[kind]]) });
}

/** cmp dword [ebx], the start info's magic; je over the ud2 */
const CHECK_START_INFO = [0x81, 0x3B, 0x78, 0xC5, 0x6E, 0x33, 0x74, 2, ...TRIPLE_FAULT];

/** An ELF vmlinux that PVH enters, which crashes if it is not given what PVH gives. */
export function tinyPvhKernel(kind: TinyKernel, text = "hello\n"): Uint8Array<ArrayBuffer> {
  const bytes = Uint8Array.from([...CHECK_START_INFO, ...print(text), ...CODE[kind]]);
  return elfKernel({ segments: [{ address: ELF_ADDRESS, bytes }], pvh: ELF_ADDRESS });
}

/** A bzImage whose packed kernel prints `text` and powers off; unpacking itself, it says "slow". */
export function tinyPackedKernel(pack: (bytes: Uint8Array) => Uint8Array, text = "hello\n") {
  const bytes = Uint8Array.from([...print(text), ...POWER_OFF]);
  const vmlinux = elfKernel({ segments: [{ address: ELF_ADDRESS, bytes }] });
  const packed = pack(vmlinux);
  const sized = new Uint8Array(packed.length + 4);
  sized.set(packed);
  new DataView(sized.buffer).setUint32(packed.length, vmlinux.length, true);
  return bzImage({ code: Uint8Array.from([...print("slow\n"), ...POWER_OFF]), packed: sized });
}
