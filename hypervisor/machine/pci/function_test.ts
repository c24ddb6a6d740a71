import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { Arena } from "../arena.ts";
import { CONFIG_BYTES, PCI, PciFunction } from "./function.ts";

const BASE = 0x40_0000_0000;
const SIZE = 0x80000;
const MEMORY = 1 << 1;

function card() {
  const moves: [number, number][] = [];
  const arena = new Arena();
  const fn = new PciFunction(arena, "card", {
    identity: {
      vendor: 0x1AF4,
      device: 0x1042,
      revision: 1,
      class: 0x0100,
      subsystemVendor: 0x1AF4,
      subsystem: 0x1042,
    },
    bar: {
      size: SIZE,
      base: BASE,
      device: { read: () => 0, write: () => {} },
      moved: (from, to) => moves.push([from, to]),
    },
  });
  return { arena, fn, moves };
}

Deno.test("the header says who it is, and that there is one 64-bit memory BAR", () => {
  const { fn } = card();
  fn.powerOn();
  assertEquals(fn.readConfig(PCI.VENDOR_ID, 4), 0x1042_1AF4);
  assertEquals(fn.readConfig(PCI.REVISION_ID, 4), 0x0100_0001);
  assertEquals(fn.readConfig(PCI.HEADER_TYPE, 1), 0);
  assertEquals(fn.readConfig(PCI.SUBSYSTEM_VENDOR_ID, 4), 0x1042_1AF4);
  assertEquals(fn.readConfig(PCI.BASE_ADDRESS_0, 4), (BASE % 2 ** 32) | 4);
  assertEquals(fn.readConfig(PCI.BASE_ADDRESS_1, 4), BASE / 2 ** 32);
  // Nothing behind the BAR's two words, no ROM, no capabilities, no interrupt pin.
  for (const offset of [0x18, 0x1C, 0x20, 0x24, 0x30, 0x34, 0x3C]) {
    assertEquals(fn.readConfig(offset, 4), 0);
  }
});

Deno.test("a driver that writes all ones to the BAR reads its size", () => {
  const { fn } = card();
  fn.powerOn();
  fn.writeConfig(PCI.BASE_ADDRESS_0, 4, 0xFFFF_FFFF);
  fn.writeConfig(PCI.BASE_ADDRESS_1, 4, 0xFFFF_FFFF);
  const low = BigInt(fn.readConfig(PCI.BASE_ADDRESS_0, 4) & ~0xF) & 0xFFFF_FFFFn;
  const mask = BigInt(fn.readConfig(PCI.BASE_ADDRESS_1, 4)) << 32n | low;
  assertEquals((~mask + 1n) & (2n ** 64n - 1n), BigInt(SIZE));
  assertEquals(fn.readConfig(PCI.BASE_ADDRESS_0, 4) & 0xF, 4);
  // Neither it nor the registers behind are BARs of their own.
  fn.writeConfig(0x18, 4, 0xFFFF_FFFF);
  assertEquals(fn.readConfig(0x18, 4), 0);
});

Deno.test("the BAR answers where it is programmed once memory is decoded, and moves as a whole", () => {
  const { fn, moves } = card();
  fn.powerOn();
  assertEquals(fn.mapped, 0);
  fn.writeConfig(PCI.COMMAND, 2, MEMORY);
  assertEquals([fn.mapped, moves], [BASE, [[0, BASE]]]);
  // As drivers do it: off, two halves, on.
  fn.writeConfig(PCI.COMMAND, 2, 0);
  fn.writeConfig(PCI.BASE_ADDRESS_0, 4, 0xC010_0000);
  fn.writeConfig(PCI.BASE_ADDRESS_1, 4, 0);
  assertEquals(fn.mapped, 0);
  fn.writeConfig(PCI.COMMAND, 2, MEMORY);
  assertEquals(moves, [[0, BASE], [BASE, 0], [0, 0xC010_0000]]);
  assertEquals(fn.mapped, 0xC010_0000);
});

Deno.test("a BAR that holds the ones of a driver that sizes it answers nowhere", () => {
  const { fn, moves } = card();
  fn.powerOn();
  fn.writeConfig(PCI.COMMAND, 2, MEMORY);
  fn.writeConfig(PCI.BASE_ADDRESS_1, 4, 0xFFFF_FFFF);
  assertEquals([fn.mapped, moves.at(-1)], [0, [BASE, 0]]);
  fn.writeConfig(PCI.BASE_ADDRESS_1, 4, BASE / 2 ** 32);
  assertEquals([fn.mapped, moves.at(-1)], [BASE, [0, BASE]]);
});

Deno.test("capabilities are a chain that begins at 0x34 and ends with 0", () => {
  const { fn } = card();
  const hits: [number, number][] = [];
  const first = fn.addCapability(Uint8Array.of(0x09, 0xEE, 6, 1, 2, 3));
  const second = fn.addCapability(Uint8Array.of(0x11, 0, 0, 0), {
    writable: Uint8Array.of(0, 0, 0xF0, 0),
    hook: { written: (offset, size) => hits.push([offset, size]) },
  });
  fn.powerOn();
  assertEquals(fn.readConfig(PCI.STATUS, 2) & 0x10, 0x10);
  const chain = [];
  for (let at = fn.readConfig(0x34, 1); at !== 0; at = fn.readConfig(at + 1, 1)) {
    chain.push([at, fn.readConfig(at, 1)]);
  }
  assertEquals(chain, [[first, 0x09], [second, 0x11]]);
  assertEquals([first % 4, second % 4], [0, 0]);
  fn.writeConfig(second, 4, 0xFFFF_FFFF);
  assertEquals(fn.readConfig(second, 4), 0x00F0_0011);
  fn.writeConfig(second + 3, 1, 0);
  fn.writeConfig(second + 4, 4, 0);
  assertEquals(hits, [[0, 4], [3, 1]]);
});

Deno.test("no sequence of accesses throws, changes what is read-only, or parts two threads", () => {
  const access = fc.record({
    offset: fc.oneof(fc.integer({ min: 0, max: 0x30 }), fc.integer({ min: 0, max: 0xFFF })),
    size: fc.constantFrom(1, 2, 3, 4),
    value: fc.oneof(
      fc.integer({ min: 0, max: 0xFFFF_FFFF }),
      fc.constantFrom(0, MEMORY, 0xFFFF_FFFF),
    ),
  });
  fc.assert(fc.property(fc.array(access, { maxLength: 50 }), (accesses) => {
    const { arena, fn, moves } = card();
    fn.powerOn();
    const initial = new Uint8Array(CONFIG_BYTES).map((_, i) => fn.readConfig(i, 1));
    for (const { offset, size, value } of accesses) {
      fn.writeConfig(offset, size, value);
      const read = fn.readConfig(offset, size);
      assert(Number.isInteger(read) && read >= 0 && read < 2 ** (8 * size));
    }
    const mayChange = new Set([4, 5, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x3C]);
    initial.forEach((byte, i) => {
      if (!mayChange.has(i)) assertEquals(fn.readConfig(i, 1), byte);
    });
    // Every move began where the last ended, and the BAR is where they led.
    let at = 0;
    for (const [from, to] of moves) {
      assertEquals(from, at);
      assertEquals(to % SIZE, 0);
      at = to;
    }
    assertEquals(fn.mapped, at);
    const other = new PciFunction(new Arena(arena.buffer), "card", {
      identity: { vendor: 0, device: 0, class: 0 },
    });
    for (let i = 0; i < CONFIG_BYTES; i += 4) {
      assertEquals(other.readConfig(i, 4), fn.readConfig(i, 4));
    }
  }));
});
