/**
 * What random drivers and clients do with a console device, and what must hold whatever they do.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  CONTROL_TX,
  receiveQueue,
  transmitQueue,
  VIRTIO_CONSOLE,
  VIRTIO_CONSOLE_F,
} from "../console_protocol.ts";
import { ConsoleGuest } from "./console_guest.ts";
import type { UnixClient } from "./unix_client.ts";

const PORTS = ["hvc0", "one", "two"];
const QUEUES = 2 * PORTS.length + 2;

type Action =
  | { does: "tell"; id: number; event: number; value: number; length: number; piece: number }
  | { does: "offer"; queue: number; count: number; length: number }
  | { does: "write"; queue: number; length: number; piece: number }
  | { does: "connect" | "send" | "read" | "end" | "close"; port: number };

export interface ConsoleCase {
  multiport: boolean;
  actions: Action[];
}

/** Nearly always `usual`, now and then `rare`. */
function mostly<T>(usual: fc.Arbitrary<T>, rare: fc.Arbitrary<T>): fc.Arbitrary<T> {
  return fc.oneof({ weight: 8, arbitrary: usual }, { weight: 1, arbitrary: rare });
}

const port = fc.nat(PORTS.length - 1);
const queue = fc.nat(QUEUES - 1);

const action: fc.Arbitrary<Action> = fc.oneof(
  fc.record({
    does: fc.constant("tell" as const),
    id: mostly(port, fc.nat(0xffff_ffff)),
    event: mostly(fc.constantFrom<number>(...Object.values(VIRTIO_CONSOLE)), fc.nat(0xffff)),
    value: mostly(fc.constantFrom(0, 1), fc.nat(0xffff)),
    length: mostly(fc.constant(8), fc.nat(24)),
    piece: fc.integer({ min: 1, max: 8 }),
  }),
  fc.record({
    does: fc.constant("offer" as const),
    queue,
    count: fc.nat(8),
    length: mostly(fc.constant(4096), fc.nat(64)),
  }),
  fc.record({
    does: fc.constant("write" as const),
    queue,
    length: mostly(fc.nat(3000), fc.nat(100_000)),
    piece: fc.integer({ min: 2000, max: 70_000 }),
  }),
  fc.record({ does: fc.constantFrom("connect", "send", "read", "end", "close"), port }),
);

export const consoleCase: fc.Arbitrary<ConsoleCase> = fc.record({
  multiport: mostly(fc.constant(true), fc.constant(false)),
  actions: fc.array(action, { maxLength: 60 }),
});

/** Whatever is said and done: the device goes on, and what it was not given stays as it was. */
export function checkConsoleCase(one: ConsoleCase): void {
  using guest = new ConsoleGuest({
    console: { columns: 80, rows: 25 },
    ports: PORTS.slice(1),
    features: one.multiport ? [VIRTIO_CONSOLE_F.MULTIPORT] : [],
  });
  const clients = new Map<number, UnixClient>();
  // Nothing in front of the rings is the device's.
  const before = guest.memory.bytes.slice(0, 0x1000);
  for (const step of one.actions) {
    act(guest, clients, step);
    guest.settle(2);
  }
  assertEquals(guest.host.failures, []);
  assertEquals(guest.memory.bytes.slice(0, 0x1000), before);
  for (const driver of guest.drivers) {
    for (const { written } of driver.takeAll()) assert(written <= 4096);
  }
  // A driver that starts afresh finds all as it should be.
  for (const client of clients.values()) client.close();
  guest.device.reset();
  assertEquals(guest.host.watched, 0);
  guest.activate();
  guest.start();
  // Who was still waiting for a turn has gone, and is passed over.
  const client = guest.connect(PORTS[0]);
  guest.settle(40);
  guest.say(0, "fine");
  guest.settle(5);
  assertEquals(client.text(), "fine");
}

function act(guest: ConsoleGuest, clients: Map<number, UnixClient>, step: Action): void {
  switch (step.does) {
    case "tell": {
      const bytes = new Uint8Array(24);
      const view = new DataView(bytes.buffer);
      view.setUint32(0, step.id, true);
      view.setUint16(4, step.event, true);
      view.setUint16(6, step.value, true);
      guest.write(CONTROL_TX, bytes.subarray(0, step.length), step.piece);
      return;
    }
    case "offer":
      guest.offer(step.queue, step.count, step.length);
      return;
    case "write":
      guest.write(step.queue, new Uint8Array(step.length).fill(step.queue + 1), step.piece);
      return;
    case "connect":
      clients.get(step.port)?.close();
      clients.set(step.port, guest.connect(PORTS[step.port]));
      return;
    case "send":
      try {
        clients.get(step.port)?.send("something for the guest");
      } catch {
        // Closed already, by itself or by the device.
      }
      return;
    case "read":
      clients.get(step.port)?.read();
      return;
    case "end":
      try {
        clients.get(step.port)?.endSending();
      } catch {
        // As above.
      }
      return;
    case "close":
      clients.get(step.port)?.close();
      clients.delete(step.port);
  }
}

export interface StreamCase {
  /** Bytes to the guest and from it, buffers offered, and how much the client reads in between. */
  steps: { toGuest: number; fromGuest: number; piece: number; buffers: number; read: boolean }[];
}

export const consoleStreamCase: fc.Arbitrary<StreamCase> = fc.record({
  steps: fc.array(
    fc.record({
      toGuest: fc.nat(20_000),
      fromGuest: fc.nat(100_000),
      piece: fc.integer({ min: 3000, max: 100_000 }),
      buffers: fc.nat(6),
      read: fc.boolean(),
    }),
    { minLength: 1, maxLength: 8 },
  ),
});

/** In whatever portions, each side gets what the other sent: all of it, once, in order. */
export function checkConsoleStream({ steps }: StreamCase): void {
  using guest = new ConsoleGuest();
  guest.start();
  const client = guest.connect("one");
  const [rx, tx] = [receiveQueue(1), transmitQueue(1)];
  const byte = (at: number) => (at * 7 + (at >> 8) * 13) & 0xff;
  const bytes = (from: number, length: number) =>
    Uint8Array.from({ length }, (_, i) => byte(from + i));
  const sent = { toGuest: 0, fromGuest: 0 };
  const got = { toGuest: 0, fromGuest: 0 };
  const take = (way: keyof typeof got, part: Uint8Array) => {
    for (const value of part) {
      if (value !== byte(got[way]++)) throw new Error(`byte ${got[way] - 1} ${way} is ${value}`);
    }
  };
  for (const step of steps) {
    sent.toGuest += client.send(bytes(sent.toGuest, step.toGuest));
    // Only what surely has its own place in the guest's memory until it is taken.
    guest.drivers[tx].takeAll();
    if (guest.drivers[tx].free === 64) {
      guest.write(tx, bytes(sent.fromGuest, step.fromGuest), step.piece);
      sent.fromGuest += step.fromGuest;
    }
    guest.offer(rx, step.buffers);
    guest.settle(3);
    for (const part of guest.taken(rx)) take("toGuest", part);
    if (step.read) take("fromGuest", client.read());
  }
  for (let i = 0; i < 50 && got.fromGuest < sent.fromGuest; i++) {
    take("fromGuest", client.read());
    guest.settle(3);
  }
  take("toGuest", guest.drain(1));
  assertEquals(got, sent);
}
