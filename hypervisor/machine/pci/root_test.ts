import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ECAM, MMIO32, mmio64, PORT } from "../address_map.ts";
import { Arena } from "../arena.ts";
import { Bus } from "../bus.ts";
import { PciFunction } from "./function.ts";
import { PciRoot } from "./root.ts";

const WINDOW = mmio64(48);
const SIZE = 0x1000;
const SLOT = 3;

function pc() {
  const arena = new Arena();
  const root = new PciRoot(arena);
  const [memory, ports] = [new Bus(), new Bus()];
  const writes: [number, number, number][] = [];
  const fn = new PciFunction(arena, "card", {
    identity: { vendor: 0x1AF4, device: 0x1044, class: 0x00FF },
    bar: {
      size: SIZE,
      base: WINDOW.start + SIZE,
      device: {
        read: (offset) => 0x1000 + offset,
        write: (offset, size, value) => writes.push([offset, size, value]),
      },
    },
  });
  root.plug(SLOT, fn);
  root.attach(memory, ports, [WINDOW, MMIO32]);
  root.powerOn();
  fn.powerOn();
  return { root, memory, ports, fn, writes };
}

const ecam = (device: number, fn: number, register: number) =>
  ECAM.start + device * 0x8000 + fn * 0x1000 + register;
const address = (device: number, fn: number, register: number) =>
  (0x8000_0000 | device << 11 | fn << 8 | register & 0xFC) >>> 0;

Deno.test("the memory-mapped and the port way into configuration space agree", () => {
  const device = fc.oneof(fc.constantFrom(0, SLOT), fc.integer({ min: 0, max: 31 }));
  const register = fc.integer({ min: 0, max: 255 });
  const access = fc.record({
    device,
    fn: fc.integer({ min: 0, max: 7 }),
    register,
    size: fc.constantFrom(1, 2, 4),
    value: fc.integer({ min: 0, max: 0xFFFF_FFFF }),
    byPort: fc.boolean(),
  });
  fc.assert(fc.property(fc.array(access), (accesses) => {
    const { memory, ports } = pc();
    for (const { device, fn, size, value, byPort, ...rest } of accesses) {
      const register = rest.register & ~(size - 1);
      ports.write(PORT.PCI_CONFIG_ADDRESS, 4, address(device, fn, register));
      const data = PORT.PCI_CONFIG_DATA + (register & 3);
      if (byPort) ports.write(data, size, value);
      else memory.write(ecam(device, fn, register), size, value);
      assertEquals(ports.read(data, size), memory.read(ecam(device, fn, register), size));
    }
  }));
});

Deno.test("devices and functions that are not there read all ones and take no write", () => {
  const { memory, ports } = pc();
  for (let device = 0; device < 32; device++) {
    for (let fn = 0; fn < 8; fn++) {
      const there = fn === 0 && (device === 0 || device === SLOT);
      for (const [size, ones] of [[1, 0xFF], [2, 0xFFFF], [4, 0xFFFF_FFFF]]) {
        memory.write(ecam(device, fn, 0), size, 0);
        ports.write(PORT.PCI_CONFIG_ADDRESS, 4, address(device, fn, 0));
        assertEquals(memory.read(ecam(device, fn, 0), size) !== ones, there);
        assertEquals(ports.read(PORT.PCI_CONFIG_DATA, size) !== ones, there);
      }
    }
  }
});

Deno.test("the data port answers only while the address port's enable bit is set, for bus 0", () => {
  const { ports } = pc();
  const vendorAt = (value: number) => {
    ports.write(PORT.PCI_CONFIG_ADDRESS, 4, value);
    assertEquals(ports.read(PORT.PCI_CONFIG_ADDRESS, 4), value);
    return ports.read(PORT.PCI_CONFIG_DATA, 2);
  };
  assertEquals(vendorAt(address(SLOT, 0, 0)), 0x1AF4);
  assertEquals(vendorAt(address(SLOT, 0, 0) & 0x7FFF_FFFF), 0xFFFF);
  assertEquals(vendorAt(address(SLOT, 0, 0) + 0x1_0000), 0xFFFF);
  // A narrower access to the address port is none to it: 0xCF9 is a reset register on other PCs.
  ports.write(PORT.PCI_CONFIG_ADDRESS, 4, address(SLOT, 0, 0));
  ports.write(PORT.PCI_CONFIG_ADDRESS + 1, 1, 6);
  assertEquals(ports.read(PORT.PCI_CONFIG_ADDRESS, 4), address(SLOT, 0, 0));
});

Deno.test("extended configuration space holds no capability", () => {
  const { memory } = pc();
  assertEquals(memory.read(ecam(SLOT, 0, 0x100), 4), 0);
  assertEquals(memory.read(ecam(SLOT, 0, 0xFFC), 4), 0);
  memory.write(ecam(SLOT, 0, 0x100), 4, 5);
  assertEquals(memory.read(ecam(SLOT, 0, 0), 2), 0x1AF4);
});

Deno.test("a BAR answers where it was moved to, in either window, and no more where it was", () => {
  const { memory, fn, writes } = pc();
  const first = WINDOW.start + SIZE;
  assertEquals(memory.read(first, 4), 0xFFFF_FFFF);
  fn.writeConfig(4, 2, 2);
  assertEquals(memory.read(first + 8, 4), 0x1008);
  for (const to of [WINDOW.start + 16 * SIZE, MMIO32.start + 2 * SIZE]) {
    const from = fn.mapped;
    fn.writeConfig(4, 2, 0);
    fn.writeConfig(0x10, 4, to % 2 ** 32);
    fn.writeConfig(0x14, 4, Math.floor(to / 2 ** 32));
    fn.writeConfig(4, 2, 2);
    assertEquals(memory.read(to + 8, 4), 0x1008);
    assertEquals(memory.read(from + 8, 4), 0xFFFF_FFFF);
    memory.write(to + 4, 2, 0xABCD);
    memory.write(from + 4, 2, 0x1234);
    assertEquals(writes.splice(0), [[4, 2, 0xABCD]]);
  }
});

Deno.test("an access that leaves the BAR does not reach the device", () => {
  const { memory, fn, writes } = pc();
  fn.writeConfig(4, 2, 2);
  const end = WINDOW.start + 2 * SIZE;
  assertEquals(memory.read(end - 2, 4), 0xFFFF_FFFF);
  memory.write(end - 1, 2, 0);
  assertEquals(memory.read(end, 1), 0xFF);
  assertEquals(writes, []);
});

Deno.test("a slot takes one device, and slot 0 is the bridge's", () => {
  const { root, fn } = pc();
  for (const slot of [0, SLOT, 32, -1]) {
    assertThrows(() => root.plug(slot, fn), RangeError, `PCI slot ${slot}`);
  }
});
