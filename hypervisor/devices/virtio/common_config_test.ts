import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { Arena } from "../../machine/arena.ts";
import { COMMON, CommonConfig } from "./common_config.ts";
import { FakeDevice } from "./testing/fake_device.ts";

const NO_VECTOR = 0xFFFF;
const VECTORS = 3;
const FEATURES_LOW = 1 << 0 | 1 << 28;
const FEATURES_HIGH = 1 << 0 | 1 << 1; // VERSION_1, ACCESS_PLATFORM

function config() {
  let wakes = 0;
  const arena = new Arena();
  const device = new FakeDevice();
  const make = (of: Arena) =>
    new CommonConfig(of, device, { vectors: VECTORS, wakeIo: () => wakes++ });
  const common = make(arena);
  common.powerOn();
  const read = (at: keyof typeof COMMON, size: number) => common.read(COMMON[at], size);
  const write = (at: keyof typeof COMMON, size: number, value: number) =>
    common.write(COMMON[at], size, value);
  const status = (value: number) => {
    write("DEVICE_STATUS", 1, value);
    return read("DEVICE_STATUS", 1);
  };
  const accept = (low: number, high: number) => {
    for (const [select, value] of [[0, low], [1, high]]) {
      write("DRIVER_FEATURE_SELECT", 4, select);
      write("DRIVER_FEATURE", 4, value);
    }
  };
  return {
    common,
    io: () => make(new Arena(arena.buffer)),
    read,
    write,
    status,
    accept,
    wakes: () => wakes,
    /** As a driver does it, up to the given status. */
    upTo: (last: number) => {
      for (const next of [1, 3, 0xB, 0xF]) {
        if (next > last) return;
        if (next === 0xB) accept(1, 1);
        assertEquals(status(next), next);
      }
    },
  };
}

Deno.test("the device's features can be read word by word, with VERSION_1 among them", () => {
  const { read, write } = config();
  for (const [select, word] of [[0, FEATURES_LOW], [1, FEATURES_HIGH], [2, 0], [0xFFFF_FFFF, 0]]) {
    write("DEVICE_FEATURE_SELECT", 4, select);
    assertEquals(read("DEVICE_FEATURE", 4), word);
    assertEquals(read("DEVICE_FEATURE_SELECT", 4), select);
  }
  assertEquals(read("NUM_QUEUES", 2), 2);
});

Deno.test("only the steps of initialization are taken, in their order", () => {
  const steps = [0, 1, 3, 0xB, 0xF];
  for (const at of steps) {
    for (let value = 1; value < 128; value++) {
      const { upTo, status } = config();
      upTo(at);
      const next = steps[steps.indexOf(at) + 1];
      if (at === 3 && value === 0xB) continue; // needs features: the next test
      assertEquals(status(value), value === next ? value : at, `${value} at ${at}`);
    }
  }
});

Deno.test("FEATURES_OK holds only for features that were offered, with VERSION_1", () => {
  const cases = [
    { low: 1, high: 1, ok: true },
    { low: FEATURES_LOW, high: FEATURES_HIGH, ok: true },
    { low: 1, high: 0, ok: false },
    { low: 2, high: 1, ok: false },
    { low: 0, high: 1 | 1 << 31, ok: false },
  ];
  for (const { low, high, ok } of cases) {
    const { upTo, accept, status, common } = config();
    upTo(3);
    accept(low, high);
    assertEquals(status(0xB), ok ? 0xB : 3);
    assertEquals(common.accepted(32), (high & 1) === 1);
    // A driver that was refused may ask for less.
    accept(0, 1);
    if (!ok) assertEquals(status(0xB), 0xB);
  }
});

Deno.test("features are settled once accepted, and not before the driver said that it is one", () => {
  const { upTo, accept, read, write, common } = config();
  accept(1, 1);
  write("DRIVER_FEATURE_SELECT", 4, 0);
  assertEquals(read("DRIVER_FEATURE", 4), 0);
  upTo(0xB);
  accept(FEATURES_LOW, FEATURES_HIGH);
  assertEquals([common.accepted(0), common.accepted(28), common.accepted(33)], [
    true,
    false,
    false,
  ]);
});

Deno.test("queues are set up between FEATURES_OK and their enabling, and frozen then", () => {
  const { upTo, status, read, write, common } = config();
  write("QUEUE_SIZE", 2, 8);
  assertEquals(read("QUEUE_SIZE", 2), 256, "too early");
  upTo(0xB);
  write("QUEUE_SELECT", 2, 1);
  assertEquals([read("QUEUE_SIZE", 2), read("QUEUE_NOTIFY_OFF", 2)], [64, 1]);
  write("QUEUE_SIZE", 2, 32);
  write("QUEUE_MSIX_VECTOR", 2, 2);
  const rings = [["QUEUE_DESC", 0x1000], ["QUEUE_DRIVER", 0x2000], [
    "QUEUE_DEVICE",
    0x3000,
  ]] as const;
  for (const [ring, low] of rings) {
    common.write(COMMON[ring], 4, low);
    common.write(COMMON[ring] + 4, 4, 1);
  }
  assertEquals(common.queue(1), null);
  write("QUEUE_ENABLE", 2, 1);
  const set = {
    index: 1,
    size: 32,
    desc: 0x1_0000_1000,
    avail: 0x1_0000_2000,
    used: 0x1_0000_3000,
  };
  assertEquals(common.queue(1), set);
  // Whatever comes after is ignored, before DRIVER_OK and after it.
  for (const last of [0xB, 0xF]) {
    if (last === 0xF) assertEquals(status(last), last);
    write("QUEUE_SIZE", 2, 16);
    write("QUEUE_MSIX_VECTOR", 2, 0);
    for (const [ring] of rings) write(ring, 4, 0xBAD0);
    write("QUEUE_ENABLE", 2, 0);
    assertEquals(common.queue(1), set);
    assertEquals([common.queueVector(1), read("QUEUE_ENABLE", 2)], [2, 1]);
  }
  assertEquals(common.queue(0), null, "the other was not enabled");
});

Deno.test("a queue that does not exist reads zeros and takes no write", () => {
  const { upTo, read, write, common } = config();
  upTo(0xB);
  for (const select of [2, 15, 16, 0xFFFF]) {
    write("QUEUE_SELECT", 2, select);
    assertEquals(read("QUEUE_SELECT", 2), select);
    for (const at of ["QUEUE_SIZE", "QUEUE_ENABLE", "QUEUE_DESC"] as const) {
      write(at, 4, 0xFFFF_FFFF);
      write(at, 2, 1);
      assertEquals(read(at, 4), 0);
    }
  }
  write("QUEUE_SELECT", 2, 0);
  assertEquals([read("QUEUE_SIZE", 2), read("QUEUE_ENABLE", 2)], [256, 0]);
  assertEquals([0, 1].map((i) => common.queue(i)), [null, null]);
});

Deno.test("a vector that cannot be had reads back as none", () => {
  const { upTo, read, write } = config();
  upTo(0xB);
  for (const at of ["CONFIG_MSIX_VECTOR", "QUEUE_MSIX_VECTOR"] as const) {
    assertEquals(read(at, 2), NO_VECTOR);
    for (
      const [asked, had] of [[0, 0], [2, 2], [3, NO_VECTOR], [0x7FFF, NO_VECTOR], [
        0xFFFF,
        NO_VECTOR,
      ]]
    ) {
      write(at, 2, asked);
      assertEquals(read(at, 2), had);
    }
  }
});

Deno.test("DRIVER_OK asks the main loop to activate, and a reset is done when that says so", () => {
  const { upTo, status, wakes, io, common, read } = config();
  upTo(0xF);
  const worker = io();
  assertEquals([wakes(), worker.pending], [1, "activate"]);
  worker.activated();
  assertEquals(common.pending, "none");
  assertEquals(status(0), 0xF, "still stopping");
  assertEquals([wakes(), worker.pending], [2, "reset"]);
  assertEquals(status(1), 0xF, "nothing else until then");
  worker.resetDone();
  assertEquals([read("DEVICE_STATUS", 1), worker.pending], [0, "none"]);
  // And the whole of it again.
  upTo(0xF);
  assertEquals(worker.pending, "activate");
});

Deno.test("a reset that is asked for while the device is activated is not lost", () => {
  const { upTo, status, io, read } = config();
  upTo(0xF);
  const worker = io();
  assertEquals(worker.pending, "activate");
  status(0);
  worker.activated();
  assertEquals(worker.pending, "reset");
  worker.resetDone();
  assertEquals([read("DEVICE_STATUS", 1), worker.pending], [0, "none"]);
});

Deno.test("a reset forgets what the driver had written", () => {
  const { upTo, status, read, write, io, common } = config();
  upTo(0xB);
  write("CONFIG_MSIX_VECTOR", 2, 1);
  write("QUEUE_SELECT", 2, 1);
  write("QUEUE_SIZE", 2, 2);
  write("QUEUE_DESC", 4, 0x5000);
  write("QUEUE_ENABLE", 2, 1);
  status(0);
  io().resetDone();
  assertEquals([read("QUEUE_SELECT", 2), read("CONFIG_MSIX_VECTOR", 2)], [0, NO_VECTOR]);
  write("QUEUE_SELECT", 2, 1);
  assertEquals([read("QUEUE_SIZE", 2), read("QUEUE_ENABLE", 2), read("QUEUE_DESC", 4)], [64, 0, 0]);
  assertEquals([common.accepted(0), common.queue(1)], [false, null]);
});

Deno.test("a device that failed, or that needs a reset, does nothing but be reset", () => {
  const failed = config();
  failed.upTo(3);
  assertEquals(failed.status(0x83), 0x83);
  assertEquals(failed.status(0xB), 0x83);
  const broken = config();
  broken.upTo(0xF);
  broken.io().activated();
  broken.io().needsReset();
  assertEquals(broken.read("DEVICE_STATUS", 1), 0x4F);
  assertEquals(broken.status(0xF), 0x4F);
  for (const { status, io, read } of [failed, broken]) {
    status(0);
    io().resetDone();
    assertEquals(read("DEVICE_STATUS", 1), 0);
  }
});

Deno.test("a change of the configuration shows in its generation", () => {
  const { common, read } = config();
  const before = read("CONFIG_GENERATION", 1);
  common.configChanged();
  assertEquals(read("CONFIG_GENERATION", 1), before + 1);
  for (let i = 0; i < 255; i++) common.configChanged();
  assertEquals(read("CONFIG_GENERATION", 1), before);
});

Deno.test("a device with more queues than there is room for is refused", () => {
  const many = Object.assign(new FakeDevice(), { queueSizes: new Array(18).fill(8) });
  const make = () => new CommonConfig(new Arena(), many, { vectors: 1, wakeIo: () => {} });
  assertThrows(make, RangeError, 'Cannot give "fake0" more than 17 queues');
});

Deno.test("no sequence of accesses throws or gives more than was asked for", () => {
  const access = fc.record({
    offset: fc.oneof(fc.integer({ min: 0, max: 0x40 }), fc.integer({ min: 0, max: 0x1FFF })),
    size: fc.constantFrom(1, 2, 4),
    value: fc.oneof(
      fc.constantFrom(0, 1, 3, 0xB, 0xF, 0xFFFF),
      fc.integer({ min: 0, max: 0xFFFF_FFFF }),
    ),
  });
  fc.assert(fc.property(fc.array(access, { maxLength: 80 }), (accesses) => {
    const { common } = config();
    for (const { offset, size, value } of accesses) {
      common.write(offset, size, value);
      const read = common.read(offset, size);
      assert(Number.isInteger(read) && read >= 0 && read < 2 ** (8 * size));
      if (common.pending === "reset") common.resetDone();
      for (const index of [0, 1]) common.queue(index);
    }
  }));
});
