/**
 * Random accesses to what is not a queue: PCI configuration, MSI-X and a virtio device's common
 * registers.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { COMMON, STATUS } from "../../hypervisor/devices/virtio/common_config.ts";
import { BAR } from "../../hypervisor/devices/virtio/pci_capabilities.ts";
import { testMemory } from "../../hypervisor/devices/virtio/testing/driver.ts";
import { FakeDevice } from "../../hypervisor/devices/virtio/testing/fake_device.ts";
import { ECAM, MMIO32, PORT } from "../../hypervisor/machine/address_map.ts";
import { Arena } from "../../hypervisor/machine/arena.ts";
import { accessSize, mostly, u32 } from "./arbitraries.ts";
import { FuzzMachine } from "./machine.ts";

interface Access {
  port: boolean;
  address: number;
  size: 1 | 2 | 4;
  value: number;
  write: boolean;
}

const VENDOR = 0x1AF4;
const CARDS = 2;
const COMMAND_MEMORY = 2;

/** Where the cards' configuration spaces and BARs are, and what is between them. */
const pciAddress = fc.oneof(
  fc.tuple(
    fc.integer({ min: 0, max: CARDS + 1 }),
    fc.oneof(fc.nat(0x40), fc.nat(0xFF), fc.nat(0xFFF)),
  )
    .map(([slot, register]) => ECAM.start + slot * 0x8000 + register),
  fc.nat(CARDS * BAR.SIZE).map((offset) => MMIO32.start + offset),
  fc.nat(0x40).map((offset) => MMIO32.start + offset),
  fc.nat(ECAM.busLength).map((offset) => ECAM.start + offset),
);

const pciValue = mostly(
  fc.oneof(
    fc.constantFrom(0, 1, 2, 3, 6, 0x80, 0xFFFF_FFFF, 0x8000_0000, 0xC000, 0x8000),
    fc.integer({ min: 0, max: 8 }).map((n) => MMIO32.start + n * BAR.SIZE / 2),
  ),
  u32,
  3,
);

const pciAccess: fc.Arbitrary<Access> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      port: fc.constant(false),
      address: pciAddress,
      size: accessSize,
      value: pciValue,
      write: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      port: fc.constant(true),
      address: fc.integer({ min: 0, max: 8 }).map((offset) => PORT.PCI_CONFIG_ADDRESS + offset),
      size: accessSize,
      value: mostly(
        fc.tuple(fc.nat(CARDS + 1), fc.nat(0xFF)).map(([slot, register]) =>
          (0x8000_0000 + slot * 0x800 + register) >>> 0
        ),
        u32,
      ),
      write: fc.boolean(),
    }),
  },
);

export const pciCase = fc.array(pciAccess, { maxLength: 150, size: "max" });

/** Nothing is thrown, KVM would accept what it is told, and a card can be found again where it was. */
export function checkPciCase(accesses: Access[]): void {
  using memory = testMemory(0x1000);
  const devices = [0, 1].map((i) => Object.assign(new FakeDevice(), { name: `fake${i}` }));
  using machine = new FuzzMachine(new Arena(), memory, devices, { watchRoutes: true });
  for (const one of accesses) {
    const bus = one.port ? machine.portBus : machine.memoryBus;
    if (one.write) bus.write(one.address, one.size, one.value % 2 ** (8 * one.size));
    const read = bus.read(one.address, one.size);
    assert(Number.isInteger(read) && read >= 0 && read <= 0xFFFF_FFFF, `it reads as ${read}`);
    assert(machine.serve(), "the machine does not come to rest");
  }
  const config = (slot: number, register: number) => ECAM.start + slot * 0x8000 + register;
  machine.cards.forEach(({ slot }, i) => {
    const bar = MMIO32.start + i * BAR.SIZE;
    assertEquals(machine.memoryBus.read(config(slot, 0), 2), VENDOR);
    machine.memoryBus.write(config(slot, 4), 2, 0);
    machine.memoryBus.write(config(slot, 0x10), 4, bar);
    machine.memoryBus.write(config(slot, 0x14), 4, 0);
  });
  assertEquals(machine.vm.ioeventfds.size, 0, "notifications of BARs that are nowhere");
  machine.cards.forEach(({ slot, device }, i) => {
    machine.memoryBus.write(config(slot, 4), 2, COMMAND_MEMORY);
    const bar = MMIO32.start + i * BAR.SIZE;
    assertEquals(machine.memoryBus.read(bar + COMMON.NUM_QUEUES, 2), device.queueSizes.length);
    machine.memoryBus.write(bar + COMMON.DEVICE_STATUS, 1, 0);
    assert(machine.serve());
    machine.memoryBus.write(bar + COMMON.DEVICE_STATUS, 1, 1);
    assertEquals(machine.memoryBus.read(bar + COMMON.DEVICE_STATUS, 1), 1);
  });
  const queues = devices.reduce((sum, { queueSizes }) => sum + queueSizes.length, 0);
  assertEquals(machine.vm.ioeventfds.size, queues);
}

type MsixStep =
  | { does: "table"; offset: number; size: 1 | 2 | 4; value: number }
  | { does: "control"; value: number }
  | { does: "signal"; vector: number }
  | { does: "pending"; offset: number; size: 1 | 2 | 4 };

const MSIX_CONTROL = 2;
const MSIX_ENABLE = 0x8000;
const MSIX_MASK = 0x4000;

export const msixCase: fc.Arbitrary<MsixStep[]> = fc.array(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        does: fc.constant("table" as const),
        offset: mostly(fc.nat(11).map((n) => n * 4), fc.oneof(fc.nat(0x60), fc.nat(0x3FFFF))),
        size: mostly(fc.constant(4 as const), accessSize),
        value: mostly(fc.nat(3), u32, 1),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        does: fc.constant("control" as const),
        value: mostly(fc.constantFrom(0, MSIX_ENABLE, MSIX_ENABLE | MSIX_MASK), fc.nat(0xFFFF)),
      }),
    },
    {
      weight: 5,
      arbitrary: fc.record({
        does: fc.constant("signal" as const),
        vector: mostly(fc.nat(2), fc.constantFrom(3, 0x7FF, 0xFFFF)),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        does: fc.constant("pending" as const),
        offset: mostly(fc.constant(0), fc.nat(0x1000)),
        size: accessSize,
      }),
    },
  ),
  { maxLength: 60, size: "max" },
);

/** Every message that is signalled is delivered once: at once, or when its vector is unmasked. */
export function checkMsixCase(steps: MsixStep[]): void {
  using memory = testMemory(0x1000);
  const device = new FakeDevice();
  using machine = new FuzzMachine(new Arena(), memory, [device], { watchRoutes: true });
  const { transport, slot } = machine.cards[0];
  const bus = machine.memoryBus;
  const config = (register: number) => ECAM.start + slot * 0x8000 + register;
  const capability = bus.read(config(0x34), 1);
  assertEquals(bus.read(config(capability), 1), 0x11);
  bus.write(config(4), 2, COMMAND_MEMORY);
  const bar = transport.function.mapped;
  // All three vectors are the queues' and the configuration's.
  bus.write(bar + COMMON.DEVICE_STATUS, 1, 1);
  bus.write(bar + COMMON.DEVICE_STATUS, 1, 3);
  bus.write(bar + COMMON.DRIVER_FEATURE_SELECT, 4, 1);
  bus.write(bar + COMMON.DRIVER_FEATURE, 4, 1);
  bus.write(bar + COMMON.DEVICE_STATUS, 1, 0xB);
  for (const queue of [0, 1]) {
    bus.write(bar + COMMON.QUEUE_SELECT, 2, queue);
    bus.write(bar + COMMON.QUEUE_MSIX_VECTOR, 2, queue);
  }
  bus.write(bar + COMMON.CONFIG_MSIX_VECTOR, 2, 2);
  const signals = [
    () => transport.interruptQueue(0),
    () => transport.interruptQueue(1),
    () => transport.configChanged(),
  ];
  const table = Uint32Array.from({ length: 12 }, (_, i) => i % 4 === 3 ? 1 : 0);
  const waiting = new Set<number>();
  let control = 0;
  const isOn = (vector: number) =>
    (control & MSIX_ENABLE) !== 0 && (control & MSIX_MASK) === 0 &&
    (table[vector * 4 + 3] & 1) === 0;
  for (const step of steps) {
    switch (step.does) {
      case "table":
        bus.write(bar + BAR.MSIX_TABLE + step.offset, step.size, step.value % 2 ** (8 * step.size));
        if (step.size === 4 && step.offset % 4 === 0 && step.offset < 48) {
          table[step.offset / 4] = step.value;
        }
        if (step.offset % 4 === 0 && step.size === 4) {
          const read = bus.read(bar + BAR.MSIX_TABLE + step.offset, 4) >>> 0;
          assertEquals(read, table[step.offset / 4] ?? 0);
        }
        break;
      case "control":
        bus.write(config(capability + MSIX_CONTROL), 2, step.value);
        control = step.value & (MSIX_ENABLE | MSIX_MASK);
        break;
      case "signal":
        signals[step.vector]?.();
        if (step.vector < 3) waiting.add(step.vector);
        break;
      case "pending": {
        const read = bus.read(bar + BAR.MSIX_PENDING + step.offset, step.size);
        const wanted = [...waiting].filter((vector) => !isOn(vector)).reduce(
          (n, v) => n + 2 ** v,
          0,
        );
        assertEquals(read, step.offset === 0 ? wanted : 0);
      }
    }
    const due = [...waiting].filter(isOn);
    for (const vector of due) waiting.delete(vector);
    assertEquals(
      machine.vm.deliver().toSorted(byNumbers),
      due.map((v): [number, number] => [table[v * 4], table[v * 4 + 2]]).toSorted(byNumbers),
    );
  }
}

function byNumbers(a: [number, number], b: [number, number]): number {
  return a[0] - b[0] || a[1] - b[1];
}

interface CommonAccess {
  offset: number;
  size: 1 | 2 | 4;
  value: number;
  /** Lets the I/O side do what was asked of it. */
  serve: boolean;
}

const WIDTHS: Record<number, 1 | 2 | 4> = {
  0x10: 2,
  0x12: 2,
  0x14: 1,
  0x15: 1,
  0x16: 2,
  0x18: 2,
  0x1A: 2,
  0x1C: 2,
  0x1E: 2,
};

/** What a good driver writes, one after the other. */
const INITIALIZATION: [offset: number, size: 1 | 2 | 4, value: number][] = [
  [COMMON.DEVICE_STATUS, 1, 0],
  [COMMON.DEVICE_STATUS, 1, 1],
  [COMMON.DEVICE_STATUS, 1, 3],
  [COMMON.DRIVER_FEATURE_SELECT, 4, 1],
  [COMMON.DRIVER_FEATURE, 4, 1],
  [COMMON.DEVICE_STATUS, 1, 0xB],
  [COMMON.QUEUE_SELECT, 2, 1],
  [COMMON.QUEUE_DESC, 4, 0x1000],
  [COMMON.QUEUE_ENABLE, 2, 1],
  [COMMON.DEVICE_STATUS, 1, 0xF],
];

const anyCommonAccess: fc.Arbitrary<CommonAccess> = fc
  .record({
    offset: mostly(fc.constantFrom(...Object.values(COMMON)), fc.nat(0x3F)),
    odd: fc.option(accessSize, { freq: 8 }),
    value: mostly(fc.constantFrom(0, 1, 3, 0xB, 0xF, 0xB, 0xF, 0x80, 64, 0xFFFF), u32, 4),
    serve: mostly(fc.constant(true), fc.constant(false), 4),
  }).map(({ offset, odd, value, serve }) => ({
    offset,
    size: odd ?? WIDTHS[offset] ?? 4,
    value,
    serve,
  }));

/** `null` is the next step of a good initialization. */
export const commonCase: fc.Arbitrary<(CommonAccess | null)[]> = fc.array(
  mostly(fc.constant(null), anyCommonAccess, 2),
  { maxLength: 150, size: "max" },
);

const ALLOWED: Record<number, number[]> = { 0: [1], 1: [3], 3: [0xB], 0xB: [0xF] };

/** The status goes its one way, only offered features are accepted, and what is in use is frozen. */
export function checkCommonCase(accesses: (CommonAccess | null)[]): void {
  using memory = testMemory(0x1000);
  const device = new FakeDevice();
  using machine = new FuzzMachine(new Arena(), memory, [device]);
  const { transport } = machine.cards[0];
  transport.function.writeConfig(4, 2, COMMAND_MEMORY);
  const bar = transport.function.mapped;
  const read = (offset: number, size: number) => machine.memoryBus.read(bar + offset, size);
  const queues = () =>
    transport.queues().map((queue, i) => ({ ...queue, vector: transport.queueInterruptFd(i) }));
  let next = 0;
  const good = (): CommonAccess => {
    const [offset, size, value] = INITIALIZATION[next++ % INITIALIZATION.length];
    return { offset, size, value, serve: true };
  };
  for (const one of accesses) {
    const { offset, size, value, serve } = one ?? good();
    const before = read(COMMON.DEVICE_STATUS, 1);
    const frozen = JSON.stringify(queues());
    const written = value % 2 ** (8 * size);
    machine.memoryBus.write(bar + offset, size, written);
    const got = read(offset, size);
    assert(Number.isInteger(got) && got >= 0 && got <= 0xFFFF_FFFF, `it reads as ${got}`);
    const after = read(COMMON.DEVICE_STATUS, 1);
    if (after !== before) {
      assert(offset === COMMON.DEVICE_STATUS, "another register changed the status");
      const isFailed = after === (before | STATUS.FAILED);
      assert(
        isFailed || ALLOWED[before]?.includes(after),
        `the status went from ${before} to ${after}`,
      );
    }
    if (after === 0xB || after === 0xF) {
      const offered = new Set([...device.features, 32]);
      for (const bit of transport.features()) assert(offered.has(bit));
      assert(transport.features().has(32));
    }
    if (before === 0xF) {
      assertEquals(JSON.stringify(queues()), frozen, "a queue in use was changed");
    }
    if (serve) {
      assert(machine.serve());
      if (offset === COMMON.DEVICE_STATUS && (written & 0xFF) === 0) {
        assertEquals(read(COMMON.DEVICE_STATUS, 1), 0);
      }
    }
  }
  machine.memoryBus.write(bar + COMMON.DEVICE_STATUS, 1, 0);
  assert(machine.serve());
  assertEquals(read(COMMON.DEVICE_STATUS, 1), 0);
  assertEquals(transport.queues(), [null, null]);
}
