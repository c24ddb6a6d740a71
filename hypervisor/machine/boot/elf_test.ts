import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ELF_ADDRESS, elfKernel } from "../testing/elf.ts";
import { ELF_HEADER_BYTES, isElf, isLoaded, parseElf, pvhEntry } from "./elf.ts";

const parse = (file: Uint8Array) => parseElf(file.subarray(0, ELF_HEADER_BYTES), file.length);

Deno.test("an ELF kernel says where its segments go, and where PVH enters it", () => {
  const file = elfKernel({
    segments: [
      { address: 0x200_0000, bytes: new Uint8Array(64).fill(2), memoryBytes: 0x1000 },
      { address: ELF_ADDRESS, bytes: new Uint8Array(100).fill(1) },
    ],
    entry: ELF_ADDRESS + 8,
    pvh: 0x100_0040,
    behind: new Uint8Array(40),
  });
  const elf = parse(file);
  assertEquals([elf.entry, elf.start, elf.end], [ELF_ADDRESS + 8, ELF_ADDRESS, 0x200_1000]);
  assertEquals(elf.segments.map((s) => [s.address, s.fileBytes, s.memoryBytes]), [
    [ELF_ADDRESS, 100, 100],
    [0x200_0000, 64, 0x1000],
  ]);
  assertEquals(file[elf.segments[0].offset], 1);
  assertEquals(elf.fileEnd, file.length - 40);
  const [{ offset, length }] = elf.notes;
  assertEquals(pvhEntry(file.subarray(offset, offset + length)), 0x100_0040);
  assertEquals(isLoaded(elf, ELF_ADDRESS + 99), true);
  // Memory that is zeros is no place to start.
  assertEquals([isLoaded(elf, 0x200_0800), isLoaded(elf, ELF_ADDRESS - 1)], [false, false]);
});

Deno.test("what is no kernel is refused with what is wrong about it", () => {
  const refused = (change: (file: Uint8Array, view: DataView) => void, why: string) => {
    const file = elfKernel({ pvh: 1 });
    change(file, new DataView(file.buffer));
    assertThrows(() => parse(file), SyntaxError, why);
  };
  refused((file) => file[0] = 0, 'no "\\x7fELF"');
  refused((file) => file[4] = 1, "not 64-bit");
  refused((_, view) => view.setUint16(16, 1, true), "type 1 is not executable");
  refused((_, view) => view.setUint16(18, 183, true), "machine 183 is not x86-64");
  refused((_, view) => view.setUint16(56, 0, true), "no program headers");
  refused((_, view) => view.setUint16(56, 65, true), "its 65 program headers");
  refused((_, view) => view.setBigUint64(32, 2n ** 40n, true), "not at its beginning");
  refused((_, view) => view.setBigUint64(64 + 32, 5000n, true), "it is truncated");
  refused((_, view) => view.setBigUint64(64 + 40, 0n, true), "nothing to load");
  refused((_, view) => view.setBigUint64(64 + 24, 0x8000n, true), "not between 1 MiB and 4 GiB");
  refused((_, view) => view.setBigUint64(64 + 40, 2n ** 63n, true), "not between 1 MiB and 4 GiB");
  assertThrows(
    () =>
      parse(elfKernel({
        segments: [
          { address: 0x10_0000, bytes: new Uint8Array(16), memoryBytes: 0x1001 },
          { address: 0x10_1000, bytes: new Uint8Array(16) },
        ],
      })),
    SyntaxError,
    "two segments overlap at 0x101000",
  );
  assertEquals([isElf(new Uint8Array(64)), isElf(new Uint8Array(3))], [false, false]);
});

Deno.test("notes that are cut off or of others have no entry", () => {
  const file = elfKernel({ pvh: 0x100_0040 });
  const { offset } = parse(file).notes[0];
  for (let length = 0; length < 32; length++) {
    assertEquals(pvhEntry(file.subarray(offset, offset + length)), null);
  }
  file[offset + 26] = 0x4D;
  assertEquals(pvhEntry(file.subarray(offset, offset + 32)), null);
});

Deno.test("any bytes give segments that lie in the file and below 4 GiB, or a SyntaxError", () => {
  const whole = elfKernel({ pvh: ELF_ADDRESS, behind: new Uint8Array(64) });
  const flips = fc.array(
    fc.record({
      at: fc.oneof(fc.nat(63), fc.integer({ min: 64, max: 64 + 112 }), fc.nat(whole.length - 1)),
      byte: fc.nat(255),
    }),
    { maxLength: 6 },
  );
  fc.assert(
    fc.property(flips, fc.option(fc.nat(whole.length)), (flips, cut) => {
      const file = whole.slice(0, cut ?? whole.length);
      for (const { at, byte } of flips) if (at < file.length) file[at] = byte;
      let elf;
      try {
        elf = parse(file);
      } catch (error) {
        assert(error instanceof SyntaxError, String(error));
        return;
      }
      let end = 0x10_0000;
      for (const { offset, fileBytes, address, memoryBytes } of elf.segments) {
        assert(offset + fileBytes <= file.length && fileBytes <= memoryBytes);
        assert(address >= end);
        end = address + memoryBytes;
      }
      assert(end === elf.end && end <= 2 ** 32);
      for (const { offset, length } of elf.notes) {
        assert(offset + length <= file.length);
        const entry = pvhEntry(file.subarray(offset, offset + length));
        assert(entry === null || Number.isInteger(entry));
      }
    }),
    { numRuns: 1000 },
  );
});
