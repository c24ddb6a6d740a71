import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { type Field, type Scalar, struct } from "./struct.ts";

const WIDTH: Record<Scalar, number> = { u8: 1, u16: 2, u32: 4, i32: 4, u64: 8, n64: 8 };

Deno.test("fields lie where the x86-64 ABI puts them, and the struct ends on its alignment", () => {
  const S = struct("s", { a: "u8", b: "u16", c: "u8", d: "n64", e: ["u16", 3], f: "u8" });
  assertEquals(S.offsets, { a: 0, b: 2, c: 4, d: 8, e: 16, f: 22 });
  assertEquals([S.size, S.align], [24, 8]);
});

Deno.test("any table is naturally aligned, without overlap and without needless room", () => {
  const scalar = fc.constantFrom<Scalar>("u8", "u16", "u32", "i32", "u64", "n64");
  const array = fc.tuple(
    fc.constantFrom("u8", "u16", "u32", "i32", "u64"),
    fc.integer({ min: 1, max: 9 }),
  );
  fc.assert(fc.property(fc.array(fc.oneof(scalar, array), { minLength: 1 }), (types) => {
    const S = struct("any", Object.fromEntries(types.map((t, i) => [`f${i}`, t as Field])));
    let end = 0;
    types.forEach((t, i) => {
      const width = WIDTH[(typeof t === "string" ? t : t[0]) as Scalar];
      const offset = S.offsets[`f${i}`];
      assertEquals(offset, Math.ceil(end / width) * width);
      end = offset + width * (typeof t === "string" ? 1 : Number(t[1]));
    });
    assertEquals(S.size, Math.ceil(end / S.align) * S.align);
  }));
});

const All = struct("all", {
  u8: "u8",
  u16: "u16",
  u32: "u32",
  i32: "i32",
  u64: "u64",
  n64: "n64",
  list: ["u32", 2],
});

Deno.test("values come back as they were written, little-endian", () => {
  fc.assert(fc.property(
    fc.record({
      u8: fc.integer({ min: 0, max: 0xFF }),
      u16: fc.integer({ min: 0, max: 0xFFFF }),
      u32: fc.integer({ min: 0, max: 0xFFFF_FFFF }),
      i32: fc.integer(),
      u64: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      n64: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
    }),
    (values) => {
      const view = All.create(values);
      const { u8, u16, u32, i32, u64, n64 } = view;
      assertEquals({ u8, u16, u32, i32, u64, n64 }, values);
      const raw = new DataView(view.$bytes.buffer);
      assertEquals(raw.getBigUint64(All.offsets.n64, true), BigInt(values.n64));
      assertEquals(raw.getUint16(All.offsets.u16, true), values.u16);
    },
  ));
});

Deno.test("two views of the same bytes see the same values", () => {
  const buffer = new SharedArrayBuffer(16 + All.size);
  const one = All.at(buffer, 16);
  const other = All.at(buffer, 16);
  one.list[1] = 7;
  one.u16 = 0x1234;
  assertEquals([other.list[1], other.u16], [7, 0x1234]);
  assertEquals(new Uint8Array(buffer)[16 + All.offsets.u16], 0x34);
});

Deno.test("a view that does not fit its buffer is refused", () => {
  assertThrows(() => All.at(new ArrayBuffer(All.size - 1)), RangeError);
});
