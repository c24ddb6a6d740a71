/**
 * Random accesses of a guest to its hot-plug ports, between which cards come and go: for the property
 * test and the fuzzer.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { EXPRESS, INDICATOR, SLOT_CONTROL } from "../express.ts";
import { ECAM, MMIO32, PORT, portWindows } from "../../address_map.ts";
import { BRIDGE } from "../bridge.ts";
import { ALL_ON, BITS, EXPRESS_AT, hotplugPc, MSI_AT, PORTS } from "./hotplug_pc.ts";

const OFF = ALL_ON & ~INDICATOR.OFF | INDICATOR.OFF | SLOT_CONTROL.POWER_OFF;

const index = fc.integer({ min: 0, max: PORTS - 1 });
const value = fc.oneof(
  fc.constantFrom(0, 1, 2, 6, 0x40, ALL_ON, OFF, 0xFFF0, 0xFFFF, 0xFFFF_FFFF),
  fc.integer({ min: 0, max: 0xFFFF_FFFF }),
);
const register = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(4, EXPRESS_AT + EXPRESS.SLOT_CONTROL, MSI_AT + 2) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      BRIDGE.SECONDARY_BUS,
      BRIDGE.MEMORY_BASE,
      BRIDGE.MEMORY_LIMIT,
      BRIDGE.CONTROL,
      EXPRESS_AT + EXPRESS.SLOT_STATUS,
    ),
  },
  fc.integer({ min: 0, max: 0x1FF }),
);
const step = fc.oneof(
  // Whole windows are searched for whatever answers, so that accesses reach the cards too.
  fc.record({ do: fc.constant("config" as const), index, register, value, size: size() }),
  fc.record({ do: fc.constant("bus" as const), bus: bus(), register, value, size: size() }),
  fc.record({ do: fc.constant("port" as const), bus: bus(), register, value, size: size() }),
  fc.record({ do: fc.constant("memory" as const), index, offset: offset(), value, size: size() }),
  fc.record({ do: fc.constant("power" as const), index, on: fc.boolean() }),
  fc.record({ do: fc.constantFrom("map", "insert", "press", "settle", "remove"), index }),
);

function size() {
  return fc.constantFrom(1, 2, 4);
}

function bus() {
  return fc.oneof(fc.integer({ min: 0, max: PORTS }), fc.integer({ min: 0, max: 255 }));
}

function offset() {
  return fc.oneof(fc.integer({ min: 0, max: 0x1010 }), fc.integer({ min: 0, max: MMIO32.length }));
}

const fill = fc.record({ do: fc.constant("fill" as const), index });
export const rootPortCase = fc.tuple(
  fc.array(fill, { maxLength: PORTS }),
  fc.array(step, { minLength: 1, maxLength: 80 }),
).map(([first, then]) => [...first, ...then]);
export type RootPortCase = typeof rootPortCase extends fc.Arbitrary<infer T> ? T : never;

/** Applies the steps, the guest's in one thread and the host's in another, and looks after each. */
export function checkRootPortCase(steps: RootPortCase): void {
  using pc = hotplugPc();
  const { fake, main, vcpu } = pc;
  const fixed = () =>
    vcpu.ports.map((_, i) => [
      ...[0, 8, EXPRESS_AT, EXPRESS_AT + EXPRESS.LINK_CAPABILITIES].map((at) =>
        vcpu.config(i, at, 4)
      ),
      vcpu.config(i, EXPRESS_AT + EXPRESS.SLOT_CAPABILITIES, 4),
      vcpu.config(i, 0x0E, 1),
    ]);
  const before = fixed();
  let begun = false;
  for (const one of steps) {
    apply(one);
    for (const [i, port] of main.ports.entries()) {
      const other = vcpu.ports[i];
      assertEquals(other.occupant === undefined, !port.isOccupied);
      if (port.isSettling || !port.isOccupied) assertEquals(port.reachable, undefined);
      assertEquals(vcpu.linkActive(i), port.reachable !== undefined);
      const { secondary } = port;
      if (secondary > 0 && secondary <= PORTS) {
        // Two ports with one bus: the first has it.
        const first = main.ports.find((it) => it.secondary === secondary)!;
        assertEquals(vcpu.vendor(secondary) === 0x1AF4, first.reachable !== undefined);
      }
    }
    assertEquals(fixed(), before);
    assert(fake.irqfds.size <= PORTS);
  }

  function apply(one: RootPortCase[number]): void {
    const port = "index" in one ? main.ports[one.index] : main.ports[0];
    // What is there from the start is so before anything else happens.
    begun ||= one.do !== "fill";
    switch (one.do) {
      case "config":
        vcpu.configure(one.index, one.register, one.value % 2 ** (8 * one.size), one.size);
        return check(vcpu.config(one.index, one.register, one.size), one.size);
      case "bus": {
        const at = ECAM.start + one.bus * ECAM.busLength + one.register;
        vcpu.memory.write(at, one.size, one.value);
        return check(vcpu.memory.read(at, one.size), 4);
      }
      case "port": {
        const at = (0x8000_0000 | one.bus << 16 | one.register & 0xFC) >>> 0;
        vcpu.io.write(PORT.PCI_CONFIG_ADDRESS, 4, at);
        vcpu.io.write(PORT.PCI_CONFIG_DATA, one.size, one.value);
        return check(vcpu.io.read(PORT.PCI_CONFIG_DATA, one.size), one.size);
      }
      case "memory": {
        const at = portWindows(one.index, BITS).memory.start + one.offset;
        vcpu.memory.write(at, one.size, one.value);
        return check(vcpu.memory.read(at, one.size), 4);
      }
      case "power":
        return vcpu.slotControl(one.index, one.on ? ALL_ON : OFF);
      case "map":
        vcpu.mapCard(one.index);
        return;
      case "fill":
        if (!begun && !port.isOccupied) main.fill(one.index);
        return;
      case "insert":
        if (!port.isOccupied) main.insert(one.index);
        return;
      case "press":
        if (port.isOccupied) port.press();
        return;
      case "settle":
        if (port.isSettling) port.settled();
        return;
      case "remove":
        return port.remove();
    }
  }

  function check(read: number, size: number): void {
    assert(Number.isInteger(read) && read >= 0 && read < 2 ** (8 * size), `read ${read}`);
  }
}
