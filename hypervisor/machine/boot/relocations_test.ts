import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { elfKernel } from "../testing/elf.ts";
import { ELF_HEADER_BYTES, parseElf } from "./elf.ts";
import { parseRelocations, randomShift, relocate, virtualRoom } from "./relocations.ts";

const KERNEL = 0x8100_0000;
const bytesOf = (words: number[]) => new Uint8Array(Uint32Array.from(words).buffer);

function kernel(length = 64) {
  const file = elfKernel({ segments: [{ address: 0x100_0000, bytes: new Uint8Array(length) }] });
  return parseElf(file.subarray(0, ELF_HEADER_BYTES), file.length);
}

Deno.test("the lists are told apart, those of older kernels and of newer ones", () => {
  const old = parseRelocations(bytesOf([0, KERNEL, KERNEL + 8, 0, KERNEL + 16, 0, KERNEL + 20]))!;
  assertEquals([...old.pointers], [KERNEL, KERNEL + 8]);
  assertEquals([[...old.inverse], [...old.words]], [[KERNEL + 16], [KERNEL + 20]]);
  const recent = parseRelocations(bytesOf([0, KERNEL, 0, KERNEL + 20, KERNEL + 24]))!;
  assertEquals([...recent.pointers], [KERNEL]);
  assertEquals([[...recent.inverse], [...recent.words]], [[], [KERNEL + 20, KERNEL + 24]]);
  for (const none of [[], [0], [KERNEL, 0, 0], [0, 0, 0, 0, 0]]) {
    assertEquals(parseRelocations(bytesOf(none)), null);
  }
  assertEquals(parseRelocations(new Uint8Array(7)), null);
});

Deno.test("every value moves by as much as the kernel does, wherever it lies", () => {
  const relocations = parseRelocations(
    bytesOf([0, KERNEL, 0, KERNEL + 9, 0, KERNEL + 16, KERNEL + 60]),
  )!;
  for (const physical of [0, 0x20_0000]) {
    const memory = new DataView(new ArrayBuffer(0x100_0000 + physical + 64));
    const base = 0x100_0000 + physical;
    memory.setBigUint64(base, 0xFFFF_FFFF_8100_1234n, true);
    memory.setInt32(base + 9, -100, true);
    memory.setUint32(base + 16, 0x8100_0000, true);
    memory.setUint32(base + 60, 0xFFFF_FFF0, true);
    relocate(memory, relocations, { elf: kernel(), physical, virtual: 0x60_0000 });
    assertEquals(memory.getBigUint64(base, true), 0xFFFF_FFFF_8160_1234n);
    assertEquals(memory.getInt32(base + 9, true), -100 - 0x60_0000);
    assertEquals(memory.getUint32(base + 16, true), 0x8160_0000);
    assertEquals(memory.getUint32(base + 60, true), 0x5F_FFF0);
  }
});

Deno.test("a pointer's upper half takes the carry", () => {
  const memory = new DataView(new ArrayBuffer(0x100_0040));
  memory.setBigUint64(0x100_0000, 0x1_FFFF_FFFFn, true);
  const relocations = parseRelocations(bytesOf([0, KERNEL, 0, 0]))!;
  relocate(memory, relocations, { elf: kernel(), physical: 0, virtual: 0x20_0000 });
  assertEquals(memory.getBigUint64(0x100_0000, true), 0x2_001F_FFFFn);
});

Deno.test("no relocation reaches outside the kernel", () => {
  const memory = new DataView(new ArrayBuffer(0x100_0100));
  const elf = kernel();
  const where = { elf, physical: 0, virtual: 0x20_0000 };
  for (const address of [KERNEL - 1, KERNEL + 61, 0x7FFF_FFFF, 1, 0xFFFF_FFFF]) {
    const relocations = parseRelocations(bytesOf([0, 0, address]))!;
    assertThrows(() => relocate(memory, relocations, where), SyntaxError, "outside the kernel");
  }
  fc.assert(fc.property(fc.array(fc.nat(0xFFFF_FFFF), { maxLength: 8 }), (words) => {
    const relocations = parseRelocations(bytesOf([0, ...words]));
    if (relocations === null) return;
    try {
      relocate(memory, relocations, where);
    } catch (error) {
      assert(error instanceof SyntaxError, String(error));
    }
  }));
  assert(new Uint8Array(memory.buffer, 0, 0x100_0000).every((byte) => byte === 0));
});

Deno.test("a shift is a multiple of the alignment, within the room, and not always the same", () => {
  const MiB2 = 2 ** 21;
  const shifts = Array.from({ length: 200 }, () => randomShift(64 * 2 ** 20, MiB2));
  for (const shift of shifts) assert(shift % MiB2 === 0 && shift >= 0 && shift <= 64 * 2 ** 20);
  // 33 places: that 200 are among four has a chance of 1 in 10^183.
  assert(new Set(shifts).size > 4);
  assertEquals(randomShift(0, MiB2), 0);
  // Short of the end by a large page, which Linux could not map itself in.
  assertEquals(virtualRoom(kernel()), 2 ** 30 - 2 ** 21 - 0x100_0040);
});
