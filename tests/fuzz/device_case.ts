/**
 * A random driver of one device, from its first register to its last request: mostly a good one, which
 * now and then does something that no driver may.
 *
 * @module
 */
import { assert } from "@std/assert";
import fc from "fast-check";
import { COMMON, STATUS } from "../../hypervisor/devices/virtio/common_config.ts";
import { VIRTIO_F } from "../../hypervisor/devices/virtio/device.ts";
import { BAR } from "../../hypervisor/devices/virtio/pci_capabilities.ts";
import { type Buffer, Driver } from "../../hypervisor/devices/virtio/testing/driver.ts";
import { assertOnlyChanged } from "../../hypervisor/devices/virtio/testing/queue_case.ts";
import type { GuestMemory } from "../../hypervisor/machine/memory.ts";
import { accessSize, mostly, u16, u32 } from "./arbitraries.ts";
import {
  type DeviceKind,
  type DeviceUnderFuzz,
  MEMORY_BYTES,
  type Request,
} from "./device_kind.ts";
import { type Card, FuzzMachine } from "./machine.ts";
import { MarkedWrites } from "./marked_writes.ts";

type Step =
  | {
    does: "start";
    features: number;
    spoil: { queue: number; register: number; value: number } | null;
  }
  | { does: "send"; request: Request; at: number; indirect: boolean; kick: boolean }
  | { does: "take" | "reset" | "report" }
  | { does: "elapse"; ms: number }
  | { does: "kick"; queue: number }
  | { does: "register"; offset: number; size: 1 | 2 | 4; value: number }
  | { does: "config"; register: number; size: 1 | 2 | 4; value: number }
  | { does: "scribble"; queue: number; at: number; value: number };

export type DeviceCase = Step[];

const ALL_FEATURES = 0xFFFF_FFFF;
const QUEUE_SIZE = 32;
const RINGS = 0x1000;
const RING_BYTES = 0x1000;
const MAX_QUEUES = 18;
/** Where indirect tables and buffers lie. */
const TABLES = RINGS + MAX_QUEUES * RING_BYTES;
const TABLE_BYTES = 0x400;
const BUFFERS = TABLES + 64 * TABLE_BYTES;
const ROOM = MEMORY_BYTES - BUFFERS;

const queue = fc.integer({ min: 0, max: 5 });
const ringValue = fc.oneof(u16, fc.integer({ min: 0, max: 40 }));

function step(request: fc.Arbitrary<Request>): fc.Arbitrary<Step> {
  const send = fc.record({
    does: fc.constant("send" as const),
    request,
    at: fc.integer({ min: 0, max: ROOM / 16 }).map((n) => n * 16),
    indirect: fc.boolean(),
    kick: mostly(fc.constant(true), fc.constant(false), 5),
  });
  const start = fc.record({
    does: fc.constant("start" as const),
    features: mostly(fc.constant(ALL_FEATURES), fc.oneof(u32, fc.constant(0)), 2),
    spoil: fc.option(
      fc.record({
        queue,
        register: fc.constantFrom(
          COMMON.QUEUE_SIZE,
          COMMON.QUEUE_DESC,
          COMMON.QUEUE_DESC + 4,
          COMMON.QUEUE_DRIVER,
          COMMON.QUEUE_DEVICE,
          COMMON.QUEUE_MSIX_VECTOR,
        ),
        value: fc.oneof(u32, fc.integer({ min: 0, max: MEMORY_BYTES + 64 })),
      }),
      { freq: 10 },
    ),
  });
  const register = fc.record({
    does: fc.constant("register" as const),
    offset: fc.oneof(
      fc.integer({ min: 0, max: 0x40 }),
      fc.integer({ min: 0, max: 0x40 }).map((n) => BAR.DEVICE + n),
      fc.integer({ min: 0, max: 0x80 }).map((n) => BAR.MSIX_TABLE + n),
      fc.integer({ min: 0, max: BAR.SIZE }),
    ),
    size: accessSize,
    value: fc.oneof(u32, fc.constantFrom(0, 1, 3, 0xB, 0xF, 0x80)),
  });
  const config = fc.record({
    does: fc.constant("config" as const),
    register: fc.integer({ min: 0, max: 0x108 }),
    size: accessSize,
    value: u32,
  });
  const scribble = fc.record({
    does: fc.constant("scribble" as const),
    queue,
    at: fc.integer({ min: 0, max: 0x300 }).map((n) => n * 2),
    value: ringValue,
  });
  return fc.oneof(
    { weight: 24, arbitrary: send },
    { weight: 6, arbitrary: fc.record({ does: fc.constant("take" as const) }) },
    { weight: 2, arbitrary: start },
    {
      weight: 1,
      arbitrary: fc.record({ does: fc.constantFrom("reset" as const, "report" as const) }),
    },
    {
      weight: 2,
      arbitrary: fc.record({ does: fc.constant("elapse" as const), ms: fc.nat(20_000) }),
    },
    { weight: 2, arbitrary: fc.record({ does: fc.constant("kick" as const), queue }) },
    { weight: 2, arbitrary: register },
    { weight: 1, arbitrary: config },
    { weight: 1, arbitrary: scribble },
  );
}

export function deviceCase(kind: DeviceKind): fc.Arbitrary<DeviceCase> {
  return fc.array(step(kind.request), { maxLength: 50, size: "max" });
}

/** Everything that one case is about. */
class Run implements Disposable {
  readonly machine: FuzzMachine;
  readonly card: Card;
  readonly writes: MarkedWrites;
  readonly #memory: GuestMemory;
  readonly #bar: number;
  #drivers: Driver[] = [];
  /** Where the device may have written. */
  readonly #writable: [start: number, end: number][] = [];
  /** False once the driver has lied about where things are. */
  isHonest = true;
  /** False once the driver has left out features: a device may insist on one. */
  isComplete = true;
  #table = 0;

  constructor(under: DeviceUnderFuzz) {
    this.#memory = under.memory;
    this.writes = new MarkedWrites(under.memory, MEMORY_BYTES);
    this.machine = new FuzzMachine(under.arena, under.memory, [under.device]);
    this.card = this.machine.cards[0];
    const { function: fn } = this.card.transport;
    fn.writeConfig(4, 2, 2);
    this.#bar = fn.mapped;
  }

  write(offset: number, size: 1 | 2 | 4, value: number): void {
    this.machine.memoryBus.write(this.#bar + offset, size, value % 2 ** (8 * size));
  }

  read(offset: number, size: 1 | 2 | 4): number {
    return this.machine.memoryBus.read(this.#bar + offset, size);
  }

  get status(): number {
    return this.read(COMMON.DEVICE_STATUS, 1);
  }

  /** What goes on beside the vCPUs. */
  serve(): void {
    const isDone = this.writes.during(() => this.machine.serve());
    assert(isDone || !this.isHonest, "the device does not come to rest");
  }

  /** The BAR may have been moved, or switched off. */
  #comeBack(): void {
    const { function: fn } = this.card.transport;
    if (fn.mapped === this.#bar) return;
    fn.writeConfig(4, 2, 0);
    fn.writeConfig(0x10, 4, this.#bar % 2 ** 32);
    fn.writeConfig(0x14, 4, Math.floor(this.#bar / 2 ** 32));
    fn.writeConfig(4, 2, 2);
    assert(fn.mapped === this.#bar, "the BAR does not come back");
  }

  reset(): void {
    this.#comeBack();
    this.write(COMMON.DEVICE_STATUS, 1, 0);
    this.serve();
    assert(this.status === 0, `the status is ${this.status} after a reset`);
  }

  start(one: Extract<Step, { does: "start" }>): void {
    const { features, spoil } = one;
    if (features !== ALL_FEATURES) this.isComplete = false;
    this.reset();
    const offered = [0, 1].map((select) => {
      this.write(COMMON.DEVICE_FEATURE_SELECT, 4, select);
      return this.read(COMMON.DEVICE_FEATURE, 4);
    });
    const accepted = [(offered[0] & features) >>> 0, offered[1]];
    for (const status of [1, 3]) this.write(COMMON.DEVICE_STATUS, 1, status);
    accepted.forEach((bits, select) => {
      this.write(COMMON.DRIVER_FEATURE_SELECT, 4, select);
      this.write(COMMON.DRIVER_FEATURE, 4, bits);
    });
    this.write(COMMON.DEVICE_STATUS, 1, 0xB);
    const eventIdx = (accepted[0] >>> VIRTIO_F.EVENT_IDX & 1) === 1;
    this.#drivers = this.card.device.queueSizes.map((max, index) => {
      const size = Math.min(max, QUEUE_SIZE);
      const driver = new Driver(this.#memory, {
        size,
        base: RINGS + index * RING_BYTES,
        index,
        eventIdx,
      });
      this.#setUp(driver);
      return driver;
    });
    if (spoil) this.#spoil(spoil);
    for (let i = 0; i < this.#drivers.length; i++) {
      this.write(COMMON.QUEUE_SELECT, 2, i);
      this.write(COMMON.QUEUE_ENABLE, 2, 1);
    }
    this.write(COMMON.DEVICE_STATUS, 1, 0xF);
    this.serve();
  }

  #setUp({ setup }: Driver): void {
    const { index, size, desc, avail, used } = setup;
    this.write(COMMON.QUEUE_SELECT, 2, index);
    this.write(COMMON.QUEUE_SIZE, 2, size);
    for (
      const [register, address] of [
        [COMMON.QUEUE_DESC, desc],
        [COMMON.QUEUE_DRIVER, avail],
        [COMMON.QUEUE_DEVICE, used],
      ]
    ) this.write(register, 4, address);
    this.#writable.push([RINGS + index * RING_BYTES, RINGS + (index + 1) * RING_BYTES]);
  }

  #spoil(one: { queue: number; register: number; value: number }): void {
    this.isHonest = false;
    this.write(COMMON.QUEUE_SELECT, 2, one.queue);
    const isNarrow = one.register < COMMON.QUEUE_DESC;
    this.write(one.register, isNarrow ? 2 : 4, one.value);
  }

  /** Makes a request available; its head, or undefined where there is no room. */
  send(
    request: Request,
    options: { at: number; indirect: boolean; kick: boolean },
  ): number | undefined {
    const driver = this.#drivers[request.queue];
    if (driver === undefined) return;
    let at = BUFFERS + options.at;
    const place = (length: number) => {
      if (at + length > MEMORY_BYTES) at = BUFFERS;
      const address = at;
      at += length;
      return Math.min(address, MEMORY_BYTES - length);
    };
    const buffers: Buffer[] = request.readable.map((bytes) => {
      const address = place(bytes.length);
      this.#memory.bytes.set(bytes, address);
      this.#writable.push([address, address + bytes.length]);
      return { address, length: bytes.length };
    });
    for (const length of request.writable) {
      const address = place(length);
      this.#writable.push([address, address + length]);
      buffers.push({ address, length, writable: true });
    }
    if (buffers.length === 0) return;
    const indirect = options.indirect && buffers.length <= TABLE_BYTES / 16;
    const table = TABLES + TABLE_BYTES * (this.#table++ % 64);
    this.#writable.push([table, table + TABLE_BYTES]);
    const head = driver.add(buffers, indirect ? { indirectTable: table } : {});
    if (head < 0) return;
    if (options.kick) this.kick(request.queue);
    return head;
  }

  kick(queue: number): void {
    this.write(BAR.NOTIFY + queue * BAR.NOTIFY_MULTIPLIER, 2, queue);
    this.serve();
  }

  take(): void {
    for (const driver of this.#drivers) driver.takeAll();
  }

  driver(queue: number): Driver {
    return this.#drivers[queue];
  }

  do(one: Step): void {
    switch (one.does) {
      case "start":
        return this.start(one);
      case "send":
        this.send(one.request, one);
        return;
      case "take":
        return this.take();
      case "reset":
        return this.reset();
      case "report":
        this.writes.during(() => JSON.stringify(this.card.device.report?.()));
        return;
      case "elapse":
        this.writes.during(() => this.card.host.elapse(one.ms));
        return this.serve();
      case "kick":
        return this.kick(one.queue);
      case "register":
        this.isHonest = false;
        this.write(one.offset, one.size, one.value);
        this.#look(this.read(one.offset, one.size));
        return this.serve();
      case "config":
        this.isHonest = false;
        this.card.transport.function.writeConfig(
          one.register,
          one.size,
          one.value % 2 ** (8 * one.size),
        );
        this.#look(this.card.transport.function.readConfig(one.register, one.size));
        return this.serve();
      case "scribble":
        this.isHonest = false;
        this.#memory.view.setUint16(RINGS + one.queue * RING_BYTES + one.at, one.value, true);
        return this.serve();
    }
  }

  #look(read: number): void {
    assert(
      Number.isInteger(read) && read >= 0 && read <= 0xFFFF_FFFF,
      `a register reads as ${read}`,
    );
  }

  /** Nothing was written that the driver had not offered. */
  checkMemory(before: Uint8Array): void {
    assertOnlyChanged(
      before,
      this.#memory.bytes.subarray(0, before.length),
      (at) => this.#writable.some(([start, end]) => at >= start && at < end),
    );
  }

  [Symbol.dispose](): void {
    this.machine[Symbol.dispose]();
  }
}

/**
 * Nothing is thrown, nothing hangs, nothing foreign is written and what is counts as changed, and after a
 * reset all works again.
 */
export function checkDeviceCase(kind: DeviceKind, steps: DeviceCase): void {
  using under = kind.create();
  using run = new Run(under);
  const start = { does: "start" as const, features: ALL_FEATURES, spoil: null };
  const before = under.memory.bytes.slice(0, MEMORY_BYTES);
  run.start(start);
  for (const one of steps) run.do(one);
  if (run.isHonest) {
    const isStopped = (run.status & STATUS.NEEDS_RESET) !== 0;
    assert(kind.isStrict || !run.isComplete || !isStopped, `${run.card.host.failures}`);
    if (!kind.discards) run.checkMemory(before);
  }
  run.isHonest = true;
  run.start(start);
  const head = run.send(kind.good, { at: 0, indirect: false, kick: true });
  const driver = run.driver(kind.good.queue);
  for (let i = 0; i < 1000 && driver.usedIndex === 0; i++) {
    run.writes.during(() => run.card.host.turn(10));
    run.serve();
  }
  assert(driver.take()?.head === head, "a good request was not answered after a reset");
  run.reset();
  run.writes.check();
}
