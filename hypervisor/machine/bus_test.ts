import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { Bus, type BusDevice } from "./bus.ts";

function recorder(answer: number): BusDevice & { log: [string, number, number, number?][] } {
  const log: [string, number, number, number?][] = [];
  return {
    log,
    read: (offset, size) => (log.push(["read", offset, size]), answer),
    write: (offset, size, value) => void log.push(["write", offset, size, value]),
  };
}

Deno.test("an access reaches the device whose range it is in, with the offset in that range", () => {
  const bus = new Bus();
  const [a, b] = [recorder(1), recorder(2)];
  bus.attach(0x100, 0x10, a);
  bus.attach(0x110, 0x10, b);
  assertEquals([bus.read(0x10F, 1), bus.read(0x110, 4), bus.read(0x100, 2)], [1, 2, 1]);
  bus.write(0x11C, 4, 0x1234);
  assertEquals(a.log, [["read", 0xF, 1], ["read", 0, 2]]);
  assertEquals(b.log, [["read", 0, 4], ["write", 0xC, 4, 0x1234]]);
});

Deno.test("where nothing answers reads are all ones and writes are dropped", () => {
  const bus = new Bus();
  const device = recorder(0);
  assertEquals(bus.read(0, 4), 0xFFFF_FFFF);
  bus.attach(0x100, 0x10, device);
  for (const address of [0, 0xFF, 0x110, 2 ** 51]) {
    assertEquals(bus.read(address, 4), 0xFFFF_FFFF);
    bus.write(address, 4, 1);
  }
  // Half in a range is not in it.
  assertEquals(bus.read(0x10E, 4), 0xFFFF_FFFF);
  bus.write(0x10E, 4, 1);
  assertEquals(device.log, []);
});

Deno.test("ranges that overlap are refused, neighbours are not", () => {
  const bus = new Bus();
  bus.attach(0x100, 0x10, recorder(0));
  for (const [start, length] of [[0x100, 0x10], [0xFF, 2], [0x10F, 1], [0x104, 4], [0, 0x1000]]) {
    assertThrows(() => bus.attach(start, length, recorder(0)), RangeError, "overlaps another at");
  }
  bus.attach(0xF0, 0x10, recorder(0));
  bus.attach(0x110, 0x10, recorder(0));
});

Deno.test("any set of ranges answers as a search one by one would", () => {
  const range = fc.record({
    start: fc.integer({ min: 0, max: 300 }),
    length: fc.integer({ min: 1, max: 20 }),
  });
  const access = fc.record({
    address: fc.integer({ min: 0, max: 330 }),
    size: fc.constantFrom(1, 2, 3, 4),
  });
  fc.assert(fc.property(fc.array(range), fc.array(access), (ranges, accesses) => {
    const bus = new Bus();
    const attached: { start: number; end: number; id: number }[] = [];
    ranges.forEach(({ start, length }, id) => {
      const overlaps = attached.some((r) => start < r.end && r.start < start + length);
      const attach = () => bus.attach(start, length, { read: () => id, write: () => {} });
      if (overlaps) return assertThrows(attach, RangeError);
      attach();
      attached.push({ start, end: start + length, id });
    });
    for (const { address, size } of accesses) {
      const owner = attached.find((r) => address >= r.start && address + size <= r.end);
      assertEquals(bus.read(address, size), owner?.id ?? 0xFFFF_FFFF);
    }
  }));
});
