import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { buffer, bytes, eisaId, integer, le, nameString, scope, uuid } from "./aml.ts";

/** Reads a PkgLength (ACPI 6.5, 20.2.4): what it says, and its own width. */
function pkgLength(aml: Uint8Array, at: number): { length: number; width: number } {
  const lead = aml[at];
  const follow = lead >> 6;
  if (follow === 0) return { length: lead & 0x3F, width: 1 };
  assertEquals(lead & 0x30, 0);
  let length = lead & 0xF;
  for (let i = 0; i < follow; i++) length += aml[at + 1 + i] * 2 ** (4 + 8 * i);
  return { length, width: 1 + follow };
}

function checkScope(bodyBytes: number): number {
  const aml = scope("ABCD", new Uint8Array(bodyBytes));
  const { length, width } = pkgLength(aml, 1);
  assertEquals(length, aml.length - 1);
  assertEquals(aml.length, 1 + width + 4 + bodyBytes);
  return width;
}

Deno.test("a package's length counts itself, in as few bytes as hold it", () => {
  // 63 is the most that one byte says, 4,095 two, 1,048,575 three; 4 bytes of each are the name.
  assertEquals(checkScope(63 - 1 - 4), 1);
  assertEquals(checkScope(63 - 1 - 4 + 1), 2);
  assertEquals(checkScope(4095 - 2 - 4), 2);
  assertEquals(checkScope(4095 - 2 - 4 + 1), 3);
  assertEquals(checkScope(2 ** 20 - 1 - 3 - 4), 3);
  assertEquals(checkScope(2 ** 20 - 1 - 3 - 4 + 1), 4);
  fc.assert(fc.property(fc.integer({ min: 0, max: 10_000 }), (n) => void checkScope(n)));
});

Deno.test("an integer comes back from its encoding", () => {
  const WIDTHS: Record<number, number> = { 0x0A: 1, 0x0B: 2, 0x0C: 4, 0x0E: 8 };
  fc.assert(fc.property(fc.oneof(fc.maxSafeNat(), fc.nat(300), fc.nat(70_000)), (value) => {
    const aml = integer(value);
    if (value < 2) return assertEquals([...aml], [value]);
    assertEquals(aml.length, 1 + WIDTHS[aml[0]]);
    const back = aml.subarray(1).reduceRight((n, byte) => n * 256 + byte, 0);
    assertEquals(back, value);
  }));
});

Deno.test("a path has its root, its prefix by number of segments, and padded segments", () => {
  const text = (path: string) => new TextDecoder("latin1").decode(nameString(path));
  assertEquals(text("C0"), "C0__");
  assertEquals(text("\\_S5"), "\\_S5_");
  assertEquals(text("\\_SB.PWRB"), "\\._SB_PWRB");
  assertEquals(text("_SB.PCI0.COM1"), "/\x03_SB_PCI0COM1");
});

Deno.test("ids are packed as the specification's macros pack them", () => {
  assertEquals([...eisaId("PNP0A08")], [0x0C, 0x41, 0xD0, 0x0A, 0x08]);
  const packed = uuid("00112233-4455-6677-8899-AABBCCDDEEFF");
  const content = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15].map((i) => i * 0x11);
  assertEquals(packed, buffer(Uint8Array.from(content)));
});

Deno.test("a buffer says its size before its bytes", () => {
  assertEquals([...buffer(bytes(7, 8, 9))], [0x11, 6, 0x0A, 3, 7, 8, 9]);
  assertEquals([...le(0x12_3456_789A, 8)], [0x9A, 0x78, 0x56, 0x34, 0x12, 0, 0, 0]);
});
