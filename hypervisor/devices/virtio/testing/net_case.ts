/**
 * Random traffic on a network card that the VMM serves itself, and random commands, mostly valid; and what
 * must hold whatever the driver does.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { Arena } from "../../../machine/arena.ts";
import { VNET_HEADER_BYTES } from "../../../sys/tap_offloads.ts";
import { FramePair } from "../../../sys/testing/frame_pair.ts";
import { VIRTIO_F } from "../device.ts";
import { ControlQueue } from "../net_control.ts";
import { NEW_PAIR } from "../net_pair.ts";
import { ACK, RX, TX, VIRTIO_NET_F } from "../net_protocol.ts";
import { NetRegisters } from "../net_registers.ts";
import { TapBackend } from "../net_tap.ts";
import { RateLimiter } from "../rate_limit.ts";
import { Driver, F_NEXT, F_WRITE, testMemory } from "./driver.ts";
import { TestHost } from "./host.ts";

const MEMORY = 0x40000;
const AREA = 0x10000;
const CONTROL = 2;
const SIZE = 32;
/** What lies where no device may write. */
const UNTOUCHED = 0xa5;

const FAULTS = ["loop", "not in RAM", "order", "twice", "outside"] as const;
type Fault = typeof FAULTS[number];

type Step =
  /** The driver offers a receive buffer. */
  | { kind: "offer"; lengths: number[]; fault: Fault | undefined }
  /** The host sends a frame. */
  | { kind: "frame"; length: number; fill: number }
  /** The driver sends one. */
  | { kind: "send"; lengths: number[]; fill: number; fault: Fault | undefined }
  | { kind: "command"; bytes: Uint8Array; cut: number; answer: boolean }
  /** Another back-end goes on where this one stops. */
  | { kind: "restart" };

export interface NetCase {
  mergeable: boolean;
  eventIdx: boolean;
  steps: Step[];
}

const fault = fc.oneof(
  { weight: 30, arbitrary: fc.constant<Fault | undefined>(undefined) },
  { weight: 1, arbitrary: fc.constantFrom<Fault | undefined>(...FAULTS) },
);
const lengths = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: 1, max: 2000 }) },
    { weight: 1, arbitrary: fc.constantFrom(0, 1, 10, 11, 12) },
  ),
  { minLength: 1, maxLength: 4 },
);
const fill = fc.nat(255);

export const netCase: fc.Arbitrary<NetCase> = fc.record({
  mergeable: fc.boolean(),
  eventIdx: fc.boolean(),
  steps: fc.array(
    fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({ kind: fc.constant("offer" as const), lengths, fault }),
      },
      {
        weight: 4,
        arbitrary: fc.record({
          kind: fc.constant("frame" as const),
          length: fc.integer({ min: 1, max: 4000 }),
          fill,
        }),
      },
      {
        weight: 4,
        arbitrary: fc.record({ kind: fc.constant("send" as const), lengths, fill, fault }),
      },
      {
        weight: 2,
        arbitrary: fc.record({
          kind: fc.constant("command" as const),
          bytes: fc.tuple(fc.nat(6), fc.nat(6), fc.uint8Array({ maxLength: 1000 }))
            .map(([of, command, data]) => Uint8Array.from([of, command, ...data])),
          cut: fc.nat(10),
          answer: fc.boolean(),
        }),
      },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant("restart" as const) }) },
    ),
    { maxLength: 60 },
  ),
});

interface Area {
  address: number;
  length: number;
}

/** Plays the case; throws where something does not hold. */
export function checkNetCase(one: NetCase): void {
  using memory = testMemory(MEMORY);
  using host = new TestHost(memory, { queues: 3 });
  using pair = new FramePair();
  const features = new Set<number>([
    VIRTIO_NET_F.CTRL_RX,
    ...(one.mergeable ? [VIRTIO_NET_F.MRG_RXBUF] : []),
    ...(one.eventIdx ? [VIRTIO_F.EVENT_IDX] : []),
  ]);
  memory.bytes.fill(UNTOUCHED, AREA);
  const drivers = [RX, TX, CONTROL].map((index) =>
    new Driver(memory, {
      size: SIZE,
      base: 0x1000 * (1 + 2 * index),
      index,
      eventIdx: one.eventIdx,
    })
  );
  const [rx, tx, control] = drivers;
  const limits = {
    receive: new RateLimiter(),
    send: new RateLimiter(),
    receiveAgain: () => {},
    sendAgain: () => {},
  };
  const start = (state = NEW_PAIR) =>
    new TapBackend(host, { tap: pair.tap, rx: rx.setup, tx: tx.setup, features, state, limits });
  let backend = start();
  const registers = new NetRegisters(new Arena(), "net0");
  registers.reset(Uint8Array.from([2, 0, 0, 0, 0, 1]));
  const commands = new ControlQueue(host, {
    setup: control.setup,
    features,
    commands: {
      setRxMode: (command, on) => (registers.setRxMode(command, on), true),
      setTables: (data, length) => registers.setTables(data, length),
      setMac: () => true,
      announced: () => true,
      setPairs: (pairs) => pairs === 1,
      setOffloads: () => true,
    },
  });

  let next = AREA;
  /** Fresh memory with a byte to each side of every segment that stays as it is. */
  const place = (lengths: number[]): Area[] | undefined => {
    if (next + lengths.reduce((sum, length) => sum + length + 1, 1) > MEMORY) return;
    return lengths.map((length) => {
      const address = next + 1;
      next = address + length;
      return { address, length };
    });
  };
  const writable: Area[] = [];
  const offered = new Map<number, Area[]>();
  const sent: Uint8Array[] = [];
  const expected: Uint8Array[] = [];

  const spoil = (driver: Driver, fault: Fault, flags: number) => {
    const head = SIZE - 1;
    const ok = { address: AREA, length: 0, flags, next: 0 };
    if (fault === "outside") return driver.offer(SIZE + 3);
    if (fault === "loop") driver.describe(head, { ...ok, flags: flags | F_NEXT, next: head });
    else if (fault === "not in RAM") driver.describe(head, { ...ok, address: MEMORY, length: 5 });
    else if (fault === "order") {
      driver.describe(head, { ...ok, length: 1, flags: F_WRITE | F_NEXT, next: head - 1 });
      driver.describe(head - 1, { ...ok, length: 1, flags: 0 });
    } else driver.describe(head, ok);
    driver.offer(head);
    if (fault === "twice") driver.offer(head);
  };

  const collect = () => {
    const chains: { areas: Area[]; written: number }[] = [];
    for (const { head, written } of rx.takeAll()) {
      const areas = offered.get(head);
      offered.delete(head);
      if (areas === undefined) continue;
      assert(written <= areas.reduce((sum, { length }) => sum + length, 0), "a buffer overflowed");
      if (written > 0) chains.push({ areas, written });
    }
    while (chains.length > 0) {
      const bytes = (chain: { areas: Area[]; written: number }) =>
        chain.areas.flatMap(({ address, length }) => [
          ...memory.bytes.subarray(address, address + length),
        ]).slice(0, chain.written);
      const parts = bytes(chains.shift()!);
      const buffers = parts[10] | parts[11] << 8;
      assert(one.mergeable ? buffers >= 1 : buffers === 1, `${buffers} buffers`);
      for (let i = 1; i < buffers; i++) parts.push(...bytes(chains.shift()!));
      parts[10] = parts[11] = 0;
      // Frames may be lost, but neither changed nor reordered.
      let was: Uint8Array | undefined;
      do was = sent.shift(); while (was && !sameBytes(was, parts));
      assert(was, "a frame came that nobody sent");
    }
  };

  for (const step of one.steps) {
    if (host.failures.length > 0) break;
    if (step.kind === "restart") {
      const state = backend.stop();
      assertEquals(state.rx.nextAvail, state.rx.nextUsed, "a buffer was lost");
      backend = start(state);
      backend.notify(RX);
      backend.notify(TX);
    } else if (step.kind === "frame") {
      const frame = new Uint8Array(VNET_HEADER_BYTES + step.length).fill(step.fill);
      frame.fill(0, 0, VNET_HEADER_BYTES);
      if (pair.send(frame)) sent.push(frame);
      host.turn(0);
    } else if (step.kind === "command") {
      const areas = place([
        Math.min(step.cut, step.bytes.length),
        Math.max(0, step.bytes.length - step.cut),
        1,
      ]);
      if (areas === undefined) break;
      memory.bytes.set(step.bytes.subarray(0, areas[0].length), areas[0].address);
      memory.bytes.set(step.bytes.subarray(areas[0].length), areas[1].address);
      const chain = areas.map((area, i) => ({ ...area, writable: i === 2 }));
      if (step.answer) writable.push(areas[2]);
      const read = [...areas.slice(0, 2)];
      read.forEach((area) => writable.push(area));
      control.add(step.answer ? chain : chain.slice(0, 2));
      commands.serve();
      assertEquals(control.takeAll().map(({ written }) => written), [step.answer ? 1 : 0]);
      if (step.answer) assert(memory.bytes[areas[2].address] <= ACK.ERR);
    } else if (step.fault !== undefined) {
      spoil(step.kind === "offer" ? rx : tx, step.fault, step.kind === "offer" ? F_WRITE : 0);
      backend.notify(step.kind === "offer" ? RX : TX);
    } else {
      const areas = place(step.lengths);
      if (areas === undefined) break;
      writable.push(...areas);
      if (step.kind === "offer") {
        const head = rx.add(areas.map((area) => ({ ...area, writable: true })));
        if (head >= 0) offered.set(head, areas);
        backend.notify(RX);
      } else {
        for (const { address, length } of areas) {
          memory.bytes.fill(step.fill, address, address + length);
        }
        const length = step.lengths.reduce((sum, length) => sum + length, 0);
        if (tx.add(areas) >= 0 && length > 0) expected.push(new Uint8Array(length).fill(step.fill));
        backend.notify(TX);
        for (let got = pair.receive(); got; got = pair.receive()) {
          // The frame of a chain without bytes is empty.
          if (got.length > 0) assertEquals(got, expected.shift());
        }
        if (host.failures.length === 0) assertEquals(expected, []);
        tx.takeAll();
      }
    }
    if (host.failures.length === 0) collect();
  }
  backend.stop();
  commands.stop();
  assertEquals(host.watched, 0);
  for (const { address, length } of writable) {
    memory.bytes.fill(UNTOUCHED, address, address + length);
  }
  const untouched = new Uint8Array(MEMORY - AREA).fill(UNTOUCHED);
  assert(Buffer.compare(memory.bytes.subarray(AREA), untouched) === 0, "foreign memory changed");
}

function sameBytes(a: Uint8Array, b: ArrayLike<number>): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
