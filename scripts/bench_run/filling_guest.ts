/**
 * A guest of a few bytes that has memory in use, for machines on which Linux does not boot: it fills some
 * with numbers, says that it is there, and then halts or writes to its memory over and over.
 *
 * @module
 */
import { bzImage } from "../../hypervisor/machine/testing/bzimage.ts";
import { TINY_MARKER } from "./guest_files.ts";

const MIB = 2 ** 20;
const COM1 = 0x3F8;
/** Past what monitors put anywhere before. */
const FROM = 16 * MIB;
/** As the guest with Linux does. */
const BUSY_BYTES = 32 * MIB;
/** Odd, so that it takes long until a number comes again. */
const STEP = 0x9E37_79B9;

export interface Filling {
  filledMiB: number;
  load?: string;
}

const u16 = (value: number) => [value & 0xFF, value >>> 8 & 0xFF];
const u32 = (value: number) => [...u16(value & 0xFFFF), ...u16(value >>> 16)];

/** The same bytes mean the same in 32 and in 64 bits, where the first 4 GiB are mapped to themselves. */
function code({ filledMiB, load = "idle" }: Filling): number[] {
  if (load !== "idle" && load !== "busy") {
    throw new RangeError(`Cannot make a guest of a few bytes that is "${load}": it has no devices`);
  }
  return [
    // Of the first MiB: cld; mov edi, from; mov ecx, double words; mov eax, step
    ...[0xFC, 0xBF, ...u32(FROM), 0xB9, ...u32(MIB / 4), 0xB8, ...u32(STEP)],
    // stosd; add eax, step; loop
    ...[0xAB, 0x05, ...u32(STEP), 0xE2, 256 - 8],
    // Of the others, from each to the next: mov esi, from; mov ecx, double words; rep movsd
    ...[0xBE, ...u32(FROM), 0xB9, ...u32((filledMiB - 1) * MIB / 4), 0xF3, 0xA5],
    // mov dx, COM1; mov al, the marker; out dx, al
    ...[0x66, 0xBA, ...u16(COM1), 0xB0, TINY_MARKER.charCodeAt(0), 0xEE],
    ...load === "idle"
      // cli; hlt; jmp to the hlt
      ? [0xFA, 0xF4, 0xEB, 256 - 3]
      // mov edi, from; mov ecx, double words; rep stosd; add eax, 1; jmp to the beginning
      : [
        ...[0xBF, ...u32(FROM), 0xB9, ...u32(BUSY_BYTES / 4), 0xF3, 0xAB],
        ...[0x05, ...u32(1), 0xEB, 256 - 19],
      ],
  ];
}

/** What our VMM boots. */
export function fillingKernel(filling: Filling): Uint8Array<ArrayBuffer> {
  return bzImage({ code: Uint8Array.from(code(filling)) });
}

const FIRMWARE_BYTES = 64 * 1024;
/** Where it goes on, in memory, with as much of it as there is. */
const AT = 0x8000;
const COPIED_BYTES = 0x1000;
const GDT = 0x800;
const FLAT_CODE = 0x00CF_9A00_0000_FFFFn;
const FLAT_DATA = 0x00CF_9200_0000_FFFFn;
const SELECTOR = { code: 8, data: 16 } as const;

/** The same as a PC's firmware: from real mode, 16 bytes before its end, to flat 32 bits. */
export function fillingFirmware(filling: Filling): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(FIRMWARE_BYTES).fill(0xF4);
  const enter = [
    // cli; cld; mov ax, cs; mov ds, ax; xor ax, ax; mov es, ax
    ...[0xFA, 0xFC, 0x8C, 0xC8, 0x8E, 0xD8, 0x31, 0xC0, 0x8E, 0xC0],
    // xor si, si; mov di, at; mov cx, bytes; rep movsb
    ...[0x31, 0xF6, 0xBF, ...u16(AT), 0xB9, ...u16(COPIED_BYTES), 0xF3, 0xA4],
    // lgdt []; mov eax, cr0; or al, 1; mov cr0, eax
    ...[0x66, 0x0F, 0x01, 0x16, ...u16(GDT - 8), 0x0F, 0x20, 0xC0, 0x0C, 0x01, 0x0F, 0x22, 0xC0],
  ];
  const flat = AT + enter.length + 8;
  bytes.set([
    // jmp to the next, in 32 bits; mov ax, data; mov ds, ax; mov es, ax; mov ss, ax
    ...[...enter, 0x66, 0xEA, ...u32(flat), ...u16(SELECTOR.code)],
    ...[0x66, 0xB8, ...u16(SELECTOR.data), 0x8E, 0xD8, 0x8E, 0xC0, 0x8E, 0xD0],
    ...code(filling),
  ]);
  bytes.set([...u16(3 * 8 - 1), ...u32(AT + GDT)], GDT - 8);
  const gdt = new DataView(bytes.buffer, GDT);
  gdt.setBigUint64(0, 0n, true);
  gdt.setBigUint64(SELECTOR.code, FLAT_CODE, true);
  gdt.setBigUint64(SELECTOR.data, FLAT_DATA, true);
  // jmp F000:0000
  bytes.set([0xEA, 0x00, 0x00, 0x00, 0xF0], FIRMWARE_BYTES - 16);
  return bytes;
}
