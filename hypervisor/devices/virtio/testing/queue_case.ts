/**
 * Random queues, mostly valid, each way to be invalid rare; and what must hold for every one of them.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { VirtQueue } from "../queue.ts";
import { Driver, F_INDIRECT, F_NEXT, F_WRITE, testMemory } from "./driver.ts";

const MEMORY = 0x40000;
const BASE = 0x1000;
const TABLES = 0x8000;
const TABLE_BYTES = 0x200;

/** Ways to spoil a chain. */
const FAULTS = [
  "loop",
  "next outside",
  "not in RAM",
  "order",
  "nested",
  "odd table",
  "table outside",
  "table with next",
] as const;
type Fault = typeof FAULTS[number];

interface Segment {
  address: number;
  length: number;
}

interface ChainCase {
  readable: Segment[];
  writable: Segment[];
  indirect: boolean;
  fault: Fault | undefined;
  written: number;
}

export interface QueueCase {
  size: number;
  startAt: number;
  eventIdx: boolean;
  usedEvent: number;
  batches: ChainCase[][];
  /** Where in each batch the chains in flight are returned from. */
  order: number;
}

const segment: fc.Arbitrary<Segment> = fc.record({
  address: fc.integer({ min: 0x20000, max: MEMORY - 0x1000 }),
  length: fc.oneof(
    { weight: 8, arbitrary: fc.integer({ min: 1, max: 0x1000 }) },
    { weight: 1, arbitrary: fc.constantFrom(0, 1, 0x1000) },
  ),
});

const chain: fc.Arbitrary<ChainCase> = fc.record({
  readable: fc.array(segment, { maxLength: 5 }),
  writable: fc.array(segment, { maxLength: 5 }),
  indirect: fc.boolean(),
  fault: fc.oneof(
    { weight: 11, arbitrary: fc.constant<Fault | undefined>(undefined) },
    { weight: 1, arbitrary: fc.constantFrom<Fault | undefined>(...FAULTS) },
  ),
  written: fc.integer({ min: 0, max: 0xffff_ffff }),
}).filter(({ readable, writable }) => readable.length + writable.length > 0);

export const queueCase: fc.Arbitrary<QueueCase> = fc.record({
  size: fc.constantFrom(8, 16, 64),
  startAt: fc.constantFrom(0, 1, 65530, 65535),
  eventIdx: fc.boolean(),
  usedEvent: fc.integer({ min: 0, max: 65535 }),
  batches: fc.array(fc.array(chain, { maxLength: 12 }), { minLength: 1, maxLength: 4 }),
  order: fc.nat(),
});

/** Writes the chain; its head, or -1 if there is no room for it. */
function write(driver: Driver, one: ChainCase, number: number): number {
  const buffers = [
    ...one.readable,
    ...one.writable.map((buffer) => ({ ...buffer, writable: true })),
  ];
  const table = TABLES + TABLE_BYTES * (number % 64);
  const { fault } = one;
  if (fault === undefined) {
    return driver.add(buffers, one.indirect ? { indirectTable: table } : {});
  }
  const head = driver.add([{ address: 0x20000, length: 1 }]);
  if (head < 0) return head;
  const spoil = (address: number, length: number, flags: number, next = 0) =>
    driver.describe(head, { address, length, flags, next });
  switch (fault) {
    case "loop":
      spoil(0x20000, 1, F_NEXT, head);
      break;
    case "next outside":
      spoil(0x20000, 1, F_NEXT, driver.setup.size + number);
      break;
    case "not in RAM":
      spoil(MEMORY - 10, 11, 0);
      break;
    case "order":
      spoil(table, 32, F_INDIRECT);
      driver.describe(0, { address: 0x20000, length: 1, flags: F_NEXT | F_WRITE, next: 1 }, table);
      driver.describe(1, { address: 0x20000, length: 1, flags: 0, next: 0 }, table);
      break;
    case "nested":
      spoil(table, 16, F_INDIRECT);
      driver.describe(0, { address: table, length: 16, flags: F_INDIRECT, next: 0 }, table);
      break;
    case "odd table":
      spoil(table, 24, F_INDIRECT);
      break;
    case "table outside":
      spoil(MEMORY - 16, 32, F_INDIRECT);
      break;
    case "table with next":
      spoil(table, 16, F_INDIRECT | F_NEXT, head);
      break;
  }
  return head;
}

/** Each valid chain is popped as it was written, each spoilt one returned at once, every one once. */
export function checkQueueCase(one: QueueCase): void {
  using memory = testMemory(MEMORY);
  const driver = new Driver(memory, { size: one.size, base: BASE, eventIdx: one.eventIdx });
  driver.startAt(one.startAt);
  driver.setUsedEvent(one.usedEvent);
  const violations: string[] = [];
  const queue = new VirtQueue(memory, driver.setup, {
    maxSize: 256,
    eventIdx: one.eventIdx,
    indirect: true,
    onViolation: (reason) => violations.push(reason),
    state: { nextAvail: one.startAt, nextUsed: one.startAt },
  });
  let number = 0;
  for (const batch of one.batches) {
    const expected: { head: number; one: ChainCase }[] = [];
    const returned = new Map<number, number>();
    for (const one of batch) {
      const head = write(driver, one, number++);
      if (head < 0) continue;
      if (one.fault === undefined) {
        expected.push({ head, one });
        returned.set(head, one.written);
      } else returned.set(head, 0);
    }
    const before = memory.bytes.slice();
    for (const { head, one } of expected) {
      assertEquals(queue.pop(), head);
      const wanted = [...one.readable, ...one.writable].filter(({ length }) => length > 0);
      const got = wanted.map((_, i) => ({ address: queue.offsets[i], length: queue.lengths[i] }));
      assertEquals(got, wanted);
      assertEquals(queue.readable, one.readable.filter(({ length }) => length > 0).length);
      assertEquals(queue.readable + queue.writable, wanted.length);
    }
    assertEquals(queue.pop(), -1);
    const turn = expected.length === 0 ? 0 : one.order % expected.length;
    for (const { head, one } of [...expected.slice(turn), ...expected.slice(0, turn)]) {
      queue.push(head, one.written);
    }
    const oldUsed = driver.usedIndex;
    const wants = queue.publish();
    const newUsed = driver.usedIndex;
    const passed = ((newUsed - one.usedEvent - 1) & 0xffff) < ((newUsed - oldUsed) & 0xffff);
    assertEquals(wants, returned.size > 0 && (one.eventIdx ? passed : true));
    const used = driver.takeAll();
    assertEquals(new Map(used.map(({ head, written }) => [head, written])), returned);
    assertEquals(used.length, returned.size);
    const ring = [driver.setup.used, driver.setup.used + 6 + 8 * one.size];
    assertOnlyChanged(before, memory.bytes, (at) => at >= ring[0] && at < ring[1]);
  }
  assertEquals(violations, []);
  assertEquals(queue.inFlight, 0);
}

/** Fails at the first byte that differs where it may not. */
export function assertOnlyChanged(
  before: Uint8Array,
  after: Uint8Array,
  may: (at: number) => boolean,
): void {
  // By words, and by bytes only where they differ: this is most of what a case costs.
  const length = before.length >> 2;
  const old = new Uint32Array(before.buffer, before.byteOffset, length);
  const now = new Uint32Array(after.buffer, after.byteOffset, length);
  for (let word = 0; word < length; word++) {
    if (old[word] === now[word]) continue;
    for (let at = word * 4; at < word * 4 + 4; at++) {
      if (before[at] !== after[at]) assert(may(at), `byte 0x${at.toString(16)} was changed`);
    }
  }
}

export interface NoiseCase {
  size: number;
  eventIdx: boolean;
  avail: number;
  heads: number[];
  descriptors: { address: number; length: number; flags: number; next: number }[];
}

const small = fc.integer({ min: 0, max: 20 });

/** Rings of which nothing can be expected. */
export const noiseCase: fc.Arbitrary<NoiseCase> = fc.record({
  size: fc.constantFrom(1, 2, 8, 16),
  eventIdx: fc.boolean(),
  avail: fc.oneof(fc.integer({ min: 0, max: 18 }), fc.integer({ min: 0, max: 65535 })),
  heads: fc.array(small, { minLength: 16, maxLength: 16 }),
  descriptors: fc.array(
    fc.record({
      address: fc.oneof(
        fc.integer({ min: 0, max: MEMORY }),
        fc.constantFrom(BASE, TABLES, MEMORY - 1, 2 ** 32, 2 ** 63, 2 ** 64 - 2048),
      ),
      length: fc.oneof(
        small.map((n) => n * 16),
        fc.constantFrom(0, 1, 2 ** 31, 2 ** 32 - 1),
      ),
      flags: fc.integer({ min: 0, max: 7 }),
      next: small,
    }),
    { minLength: 48, maxLength: 48 },
  ),
});

/** Whatever a driver writes: no exception, segments in RAM, a head at most once, no byte changed. */
export function checkNoiseCase(one: NoiseCase): void {
  using memory = testMemory(MEMORY);
  const driver = new Driver(memory, { size: one.size, base: BASE });
  one.descriptors.forEach((descriptor, i) => {
    if (i < 16) {
      if (i < one.size) driver.describe(i, descriptor);
    } else driver.describe(i - 16, descriptor, TABLES);
  });
  for (let i = 0; i < one.size; i++) driver.offer(one.heads[i]);
  driver.setAvailIndex(one.avail);
  let violations = 0;
  const queue = new VirtQueue(memory, driver.setup, {
    maxSize: 16,
    eventIdx: one.eventIdx,
    indirect: true,
    onViolation: () => violations++,
  });
  const before = memory.bytes.slice();
  const held = new Set<number>();
  for (let head = queue.pop(); head >= 0; head = queue.pop()) {
    assert(head < one.size && !held.has(head));
    held.add(head);
    const count = queue.readable + queue.writable;
    let bytes = 0;
    for (let i = 0; i < count; i++) {
      assert(queue.offsets[i] >= 0 && queue.lengths[i] > 0);
      assert(queue.offsets[i] + queue.lengths[i] <= MEMORY);
      bytes += queue.lengths[i];
    }
    assertEquals(queue.readableBytes + queue.writableBytes, bytes);
  }
  assertEquals(violations, queue.broken ? 1 : 0);
  for (const head of held) queue.push(head, 0);
  queue.publish();
  const used = driver.takeAll().map(({ head }) => head);
  assertEquals(used.length, held.size + queue.rejected);
  const ring = [driver.setup.used, driver.setup.used + 6 + 8 * one.size];
  assertOnlyChanged(before, memory.bytes, (at) => at >= ring[0] && at < ring[1]);
}
