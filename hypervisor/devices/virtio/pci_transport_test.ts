import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { PORT } from "../../machine/address_map.ts";
import { Arena } from "../../machine/arena.ts";
import { Bus } from "../../machine/bus.ts";
import { Interrupts } from "../../machine/interrupts.ts";
import { PciRoot } from "../../machine/pci/root.ts";
import { FakeVm } from "../../machine/testing/fake_vm.ts";
import { OpenInterrupts } from "../../machine/testing/open_interrupts.ts";
import { drain, eventfd } from "../../sys/eventfd.ts";
import { COMMON } from "./common_config.ts";
import { BAR } from "./pci_capabilities.ts";
import { VirtioPci } from "./pci_transport.ts";
import { FakeDevice } from "./testing/fake_device.ts";

const WINDOW = { start: 0x40_0000_0000, length: 2 ** 30 };
const BASE = WINDOW.start;
const MEMORY = 2;

const open = new OpenInterrupts();
Deno.test.afterEach(() => open.close());

/** Two cards in a PC without a guest. */
function pc() {
  const fake = new FakeVm();
  const arena = new Arena();
  const interrupts = new Interrupts(arena, fake.vm);
  const root = new PciRoot(arena);
  const [memory, ports] = [new Bus(), new Bus()];
  let wakes = 0;
  const cards = [0, 1].map((i) => {
    const device = Object.assign(new FakeDevice(), { name: `fake${i}` });
    const notifyFds = Int32Array.from([eventfd(), eventfd()]);
    const transport = new VirtioPci({
      arena,
      vm: fake.vm,
      vectors: interrupts.reserve(3),
      base: BASE + i * BAR.SIZE,
      device,
      wakeIo: () => wakes++,
      notifyFds,
    });
    root.plug(i + 1, transport.function);
    return { device, transport, notifyFds: [...notifyFds] };
  });
  root.attach(memory, ports, [WINDOW]);
  interrupts.create([], interrupts.reserved);
  open.add(interrupts, cards.flatMap(({ notifyFds }) => notifyFds));
  root.powerOn();
  for (const { transport } of cards) transport.powerOn();
  const [{ device, transport, notifyFds }] = cards;
  return {
    fake,
    memory,
    ports,
    cards,
    device,
    transport,
    notifyFds,
    fn: transport.function,
    wakes: () => wakes,
    decode: (on: boolean) => transport.function.writeConfig(4, 2, on ? MEMORY : 0),
  };
}

/** The capabilities of a kind in configuration space, as [offset, cfg_type]. */
function vendorCapabilities(fn: VirtioPci["function"]): Map<number, number> {
  const found = new Map<number, number>();
  for (let at = fn.readConfig(0x34, 1); at !== 0; at = fn.readConfig(at + 1, 1)) {
    if (fn.readConfig(at, 1) === 9) found.set(fn.readConfig(at + 3, 1), at);
  }
  return found;
}

Deno.test("the card says that it is a modern virtio device of its kind", () => {
  const { fn } = pc();
  assertEquals([fn.readConfig(0, 2), fn.readConfig(2, 2)], [0x1AF4, 0x1040 + 4]);
  assertEquals(fn.readConfig(8, 1), 1);
});

Deno.test("the capabilities name places in the BAR that do not overlap", () => {
  const { fn } = pc();
  const capabilities = vendorCapabilities(fn);
  assertEquals([...capabilities.keys()].sort(), [1, 2, 3, 4, 5]);
  const places = [1, 2, 3, 4].map((type) => {
    const at = capabilities.get(type)!;
    assertEquals(fn.readConfig(at + 4, 1), 0, "BAR 0");
    return { start: fn.readConfig(at + 8, 4), length: fn.readConfig(at + 12, 4) };
  });
  places.push({ start: BAR.MSIX_TABLE, length: 2048 * 16 }, {
    start: BAR.MSIX_PENDING,
    length: 256,
  });
  places.sort((a, b) => a.start - b.start).reduce((end, { start, length }) => {
    assert(start >= end);
    return start + length;
  }, 0);
  assert(places.at(-1)!.start + places.at(-1)!.length <= BAR.SIZE);
  assertEquals(fn.readConfig(capabilities.get(2)! + 16, 4), BAR.NOTIFY_MULTIPLIER);
});

Deno.test("each register of the BAR leads to what it is of", () => {
  const { memory, decode, device } = pc();
  decode(true);
  const read = (offset: number, size: number) => memory.read(BASE + offset, size);
  assertEquals(read(COMMON.NUM_QUEUES, 2), 2);
  assertEquals(read(BAR.ISR, 1), 0);
  assertEquals(read(BAR.DEVICE + 8, 4), 0xC0DE_0008);
  memory.write(BASE + BAR.DEVICE + 4, 2, 7);
  assertEquals(device.writes, [[4, 2, 7]]);
  assertEquals(read(BAR.MSIX_TABLE + 12, 4), 1);
  assertEquals(read(BAR.MSIX_PENDING, 4), 0);
  assertEquals(read(BAR.NOTIFY, 2), 0);
});

Deno.test("notifications are watched where the BAR is, and nowhere while it is off", () => {
  const { fake, decode, fn, notifyFds } = pc();
  const watched = (base: number) =>
    new Set(notifyFds.map((fd, i) => `${base + BAR.NOTIFY + 4 * i}:${fd}`));
  assertEquals(fake.ioeventfds, new Set());
  decode(true);
  assertEquals(fake.ioeventfds, watched(BASE));
  decode(false);
  assertEquals(fake.ioeventfds, new Set());
  fn.writeConfig(0x10, 4, 8 * BAR.SIZE);
  decode(true);
  assertEquals(fake.ioeventfds, watched(BASE + 8 * BAR.SIZE));
});

Deno.test("a notification that no ioeventfd takes is passed on; one of no queue is dropped", () => {
  const { memory, decode, notifyFds } = pc();
  decode(true);
  memory.write(BASE + BAR.NOTIFY + 4, 2, 1);
  assertEquals(notifyFds.map(drain), [false, true]);
  memory.write(BASE + BAR.NOTIFY + 8, 2, 2);
  memory.write(BASE + BAR.NOTIFY + 0x1FFC, 4, 2);
  assertEquals(notifyFds.map(drain), [false, false]);
});

Deno.test("two cards at one address do not break the PC, and come apart again", () => {
  const { fake, cards, decode, memory } = pc();
  decode(true);
  const other = cards[1].transport.function;
  other.writeConfig(0x10, 4, BASE % 2 ** 32);
  other.writeConfig(4, 2, MEMORY);
  assertEquals(fake.ioeventfds.size, 2);
  decode(false);
  // The other's notifications come by an exit now.
  memory.write(BASE + BAR.NOTIFY, 2, 0);
  assertEquals(cards[1].notifyFds.map(drain), [true, false]);
  other.writeConfig(4, 2, 0);
  decode(true);
  other.writeConfig(0x10, 4, BAR.SIZE);
  other.writeConfig(4, 2, MEMORY);
  assertEquals(fake.ioeventfds.size, 4);
});

Deno.test("the configuration window reads and writes the BAR, in the width that it is set to", () => {
  const { fn, device, notifyFds, ports } = pc();
  const at = vendorCapabilities(fn).get(5)!;
  const set = (offset: number, length: number, bar = 0) => {
    fn.writeConfig(at + 4, 1, bar);
    fn.writeConfig(at + 8, 4, offset);
    fn.writeConfig(at + 12, 4, length);
  };
  set(COMMON.NUM_QUEUES, 2);
  assertEquals(fn.readConfig(at + 16, 4), 2);
  set(BAR.DEVICE + 0x10, 4);
  assertEquals(fn.readConfig(at + 16, 4), 0xC0DE_0010);
  fn.writeConfig(at + 16, 4, 0x1234_5678);
  set(BAR.DEVICE + 2, 1);
  fn.writeConfig(at + 16, 4, 0x1234_5678);
  assertEquals(device.writes, [[0x10, 4, 0x1234_5678], [2, 1, 0x78]]);
  set(BAR.NOTIFY + 4, 2);
  fn.writeConfig(at + 16, 2, 1);
  assertEquals(notifyFds.map(drain), [false, true]);
  // As firmware does it, by ports alone and before there is a BAR.
  ports.write(PORT.PCI_CONFIG_ADDRESS, 4, 0x8000_0000 + (1 << 11) + at + 8);
  ports.write(PORT.PCI_CONFIG_DATA, 4, BAR.DEVICE + 0x20);
  ports.write(PORT.PCI_CONFIG_ADDRESS, 4, 0x8000_0000 + (1 << 11) + at + 12);
  ports.write(PORT.PCI_CONFIG_DATA, 4, 4);
  ports.write(PORT.PCI_CONFIG_ADDRESS, 4, 0x8000_0000 + (1 << 11) + at + 16);
  assertEquals(ports.read(PORT.PCI_CONFIG_DATA, 4), 0xC0DE_0020);
});

Deno.test("the configuration window does nothing where it is set to nonsense", () => {
  const { fn, device } = pc();
  const at = vendorCapabilities(fn).get(5)!;
  const places = [
    [BAR.DEVICE, 0, 0],
    [BAR.DEVICE, 3, 0],
    [BAR.DEVICE, 8, 0],
    [BAR.DEVICE + 1, 2, 0],
    [BAR.DEVICE, 4, 1],
    [BAR.SIZE, 4, 0],
    [0xFFFF_FFFC, 4, 0],
  ];
  for (const [offset, length, bar] of places) {
    fn.writeConfig(at + 4, 1, bar);
    fn.writeConfig(at + 8, 4, offset);
    fn.writeConfig(at + 12, 4, length);
    fn.writeConfig(at + 16, 4, 0x55);
    assertEquals(fn.readConfig(at + 16, 4), 0x55, "bytes like others");
  }
  assertEquals(device.writes, []);
});

Deno.test("a driver's set-up reaches the main loop: queues, features, interrupts, reset", () => {
  const { fake, memory, decode, transport, wakes } = pc();
  decode(true);
  const write = (offset: number, size: number, value: number) =>
    memory.write(BASE + offset, size, value);
  const status = (value: number) => write(COMMON.DEVICE_STATUS, 1, value);
  const capability = transport.function.readConfig(0x34, 1);
  transport.function.writeConfig(capability + 2, 2, 0x8000);
  status(1);
  status(3);
  write(COMMON.DRIVER_FEATURE_SELECT, 4, 0);
  write(COMMON.DRIVER_FEATURE, 4, 1 << 28);
  write(COMMON.DRIVER_FEATURE_SELECT, 4, 1);
  write(COMMON.DRIVER_FEATURE, 4, 1);
  status(0xB);
  write(COMMON.CONFIG_MSIX_VECTOR, 2, 0);
  write(COMMON.QUEUE_SELECT, 2, 1);
  write(COMMON.QUEUE_MSIX_VECTOR, 2, 2);
  write(COMMON.QUEUE_DESC, 4, 0x1000);
  write(COMMON.QUEUE_ENABLE, 2, 1);
  for (const vector of [0, 2]) {
    write(BAR.MSIX_TABLE + vector * 16, 4, 0xFEE0_0000);
    write(BAR.MSIX_TABLE + vector * 16 + 8, 4, 0x40 + vector);
    write(BAR.MSIX_TABLE + vector * 16 + 12, 4, 0);
  }
  status(0xF);
  assertEquals([wakes(), transport.pending], [1, "activate"]);
  assertEquals(transport.features(), new Set([28, 32]));
  const [none, queue] = transport.queues();
  assertEquals([none, queue?.size, queue?.desc], [null, 64, 0x1000]);
  transport.activated();
  assertEquals(transport.queueInterruptFd(0), -1);
  assert(transport.queueInterruptFd(1) >= 0);
  transport.interruptQueue(0);
  transport.interruptQueue(1);
  assertEquals(fake.deliver(), [[0xFEE0_0000, 0x42]]);
  transport.needsReset();
  assertEquals(fake.deliver(), [[0xFEE0_0000, 0x40]]);
  assertEquals(memory.read(BASE + COMMON.DEVICE_STATUS, 1), 0x4F);
  status(0);
  assertEquals(transport.pending, "reset");
  transport.resetDone();
  assertEquals([memory.read(BASE + COMMON.DEVICE_STATUS, 1), transport.pending], [0, "none"]);
});

Deno.test("no sequence of accesses to a card throws", () => {
  const place = fc.oneof(
    fc.integer({ min: 0, max: 0x38 }),
    fc.integer({ min: BAR.MSIX_TABLE, max: BAR.MSIX_TABLE + 80 }),
    fc.integer({ min: 0, max: BAR.SIZE }),
  );
  const access = fc.record({
    where: fc.constantFrom("bar", "bar", "config", "window"),
    place,
    size: fc.constantFrom(1, 2, 4),
    value: fc.oneof(
      fc.constantFrom(0, 1, 2, 3, 0xB, 0xF),
      fc.integer({ min: 0, max: 0xFFFF_FFFF }),
    ),
  });
  fc.assert(
    fc.property(fc.array(access, { maxLength: 60 }), (accesses) => {
      const { memory, fn, decode } = pc();
      decode(true);
      const window = vendorCapabilities(fn).get(5)!;
      for (const { where, place, size, value } of accesses) {
        if (where === "bar") {
          memory.write(fn.mapped + place, size, value);
          const read = memory.read(fn.mapped + place, size);
          assert(Number.isInteger(read) && read >= 0);
        } else if (where === "config") {
          fn.writeConfig(place & 0xFF, size, value);
          fn.readConfig(place & 0xFF, size);
        } else {
          fn.writeConfig(window + 8, 4, place & ~(size - 1));
          fn.writeConfig(window + 12, 4, size);
          fn.writeConfig(window + 16, 4, value);
          fn.readConfig(window + 16, 4);
        }
      }
      open.close();
    }),
    { numRuns: 60 },
  );
});
