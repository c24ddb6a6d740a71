/**
 * What random guests and programs of the host do with a socket device, and what must hold whatever
 * they do.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { BUFFER_BYTES } from "../vsock_connection.ts";
import { RX, VIRTIO_VSOCK_OP as OP, VIRTIO_VSOCK_SHUTDOWN } from "../vsock_protocol.ts";
import { MAX_CONNECTIONS } from "../vsock_table.ts";
import type { UnixClient } from "./unix_client.ts";
import { CID, type Sent, VsockGuest } from "./vsock_guest.ts";

const HOST_PORTS = [1000, 1001];
const GUEST_PORTS = [50, 51];

type Action =
  | { does: "packet"; packet: Sent }
  | { does: "accept" | "connect" | "write" | "read" | "end" | "close"; which: number }
  | { does: "offer"; count: number };

export interface VsockCase {
  actions: Action[];
}

/** Nearly always `usual`, now and then `rare`. */
function mostly<T>(usual: fc.Arbitrary<T>, rare: fc.Arbitrary<T>): fc.Arbitrary<T> {
  return fc.oneof({ weight: 12, arbitrary: usual }, { weight: 1, arbitrary: rare });
}

const u32 = fc.nat(0xffff_ffff);

const packet: fc.Arbitrary<Sent> = fc.record({
  op: mostly(
    fc.constantFrom<number>(OP.REQUEST, OP.REQUEST, OP.RW, OP.RW, ...Object.values(OP)),
    fc.nat(0xffff),
  ),
  // Whom the host's programs reach has a port of the host from 2^30 on.
  hostPort: mostly(fc.constantFrom(...HOST_PORTS, 2 ** 30, 2 ** 30 + 1), u32),
  guestPort: mostly(fc.constantFrom(...GUEST_PORTS), u32),
  payload: fc.oneof(fc.nat(100), fc.nat(40_000)).map((length) => new Uint8Array(length).fill(1)),
  flags: mostly(fc.nat(3), u32),
  type: mostly(fc.constant(1), fc.nat(0xffff)),
  srcCid: mostly(fc.constant(CID), u32),
  dstCid: mostly(fc.constant(2), u32),
  bufAlloc: mostly(fc.constantFrom(4096, 65536), u32),
  fwdCnt: mostly(fc.nat(4096), u32),
  piece: fc.integer({ min: 700, max: 50_000 }),
  // Left out nearly always: the packet is then whole, and as long as it says.
  len: fc.oneof({ weight: 12, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: u32 }),
  cut: fc.oneof(
    { weight: 12, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: fc.nat(43) },
  ),
});

const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ does: fc.constant("packet" as const), packet }) },
  {
    weight: 3,
    arbitrary: fc.record({
      does: fc.constantFrom("accept", "connect", "write", "read", "end", "close"),
      which: fc.nat(3),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ does: fc.constant("offer" as const), count: fc.nat(20) }),
  },
);

export const vsockCase: fc.Arbitrary<VsockCase> = fc.record({
  actions: fc.array(action, { maxLength: 60 }),
});

/** Whatever is sent and done: the device goes on, and what it was not given stays as it was. */
export function checkVsockCase({ actions }: VsockCase): void {
  using guest = new VsockGuest();
  const listeners = HOST_PORTS.map((port) => guest.listen(port));
  const programs: UnixClient[] = [];
  const before = guest.memory.bytes.slice(0, 0x1000);
  for (const step of actions) {
    if (step.does === "packet") guest.send(step.packet);
    else if (step.does === "offer") guest.offer(step.count);
    else act(guest, { listeners, programs, step });
    guest.settle(2);
    for (const { op, payload } of guest.packets()) {
      assert(op >= OP.REQUEST && op <= OP.CREDIT_UPDATE);
      assert(op === OP.RW || payload.length === 0);
    }
  }
  assertEquals(guest.host.failures, []);
  assertEquals(guest.memory.bytes.slice(0, 0x1000), before);
  assert((guest.device.report().connections as number) <= MAX_CONNECTIONS);
  // A driver that starts afresh finds all as it should be.
  for (const program of programs) program.close();
  guest.device.reset();
  assertEquals(guest.host.watched, 0);
  guest.activate();
  const program = guest.opened(2000, 60);
  const payload = new TextEncoder().encode("fine");
  guest.send({ op: OP.RW, hostPort: 2000, guestPort: 60, payload });
  assertEquals(program.text(), "fine");
}

function act(
  guest: VsockGuest,
  world: {
    listeners: { accept(): UnixClient | undefined }[];
    programs: UnixClient[];
    step: { does: string; which: number };
  },
): void {
  const { listeners, programs, step: { does, which } } = world;
  const program = programs.at(-1 - which);
  switch (does) {
    case "accept": {
      const accepted = listeners[which % 2].accept();
      if (accepted) programs.push(accepted);
      return;
    }
    case "connect": {
      const client = guest.connect();
      client.send(["CONNECT 50\n", "CONNECT 51\nhello", "CONN", "nonsense\n"][which]);
      programs.push(client);
      return;
    }
    case "read":
      program?.read();
      return;
    case "close":
      program?.close();
      if (program) programs.splice(programs.indexOf(program), 1);
      return;
  }
  try {
    if (does === "write") program?.send(new Uint8Array(10_000));
    else program?.endSending();
  } catch {
    // The device has closed it.
  }
}

export interface VsockStreamCase {
  bufAlloc: number;
  steps: { toGuest: number; toHost: number; piece: number; buffers: number; read: boolean }[];
}

export const vsockStreamCase: fc.Arbitrary<VsockStreamCase> = fc.record({
  bufAlloc: fc.integer({ min: 1, max: 100_000 }),
  steps: fc.array(
    fc.record({
      toGuest: fc.nat(40_000),
      toHost: fc.nat(60_000),
      piece: fc.integer({ min: 1000, max: 70_000 }),
      buffers: fc.nat(20),
      read: fc.boolean(),
    }),
    { minLength: 1, maxLength: 10 },
  ),
});

/** Whatever the portions: each side gets what the other sent, and nobody more than it has room for. */
export function checkVsockStream(one: VsockStreamCase): void {
  using guest = new VsockGuest();
  guest.bufAlloc = one.bufAlloc;
  const ports = { hostPort: 1000, guestPort: 50 };
  const program = guest.opened(1000, 50);
  const byte = (at: number) => (at * 7 + (at >> 8) * 13) & 0xff;
  const bytes = (from: number, length: number) =>
    Uint8Array.from({ length }, (_, i) => byte(from + i));
  const sent = { toGuest: 0, toHost: 0 };
  const got = { toGuest: 0, toHost: 0 };
  /** What the host has said that it took. */
  let taken = 0;
  const check = (way: keyof typeof got, part: Uint8Array) => {
    for (const value of part) {
      if (value !== byte(got[way]++)) throw new Error(`byte ${got[way] - 1} ${way} is ${value}`);
    }
  };
  const look = () => {
    const before = got.toGuest;
    for (const { op, payload, fwdCnt } of guest.packets()) {
      assert(op === OP.RW || op === OP.CREDIT_UPDATE, `op ${op}`);
      taken = fwdCnt;
      check("toGuest", payload);
    }
    assert(got.toGuest - before <= guest.bufAlloc);
    guest.send({ op: OP.CREDIT_UPDATE, ...ports, fwdCnt: got.toGuest });
  };
  for (const { toGuest, toHost, piece, buffers, read } of one.steps) {
    sent.toGuest += program.send(bytes(sent.toGuest, toGuest));
    const length = Math.min(toHost, BUFFER_BYTES - (sent.toHost - taken));
    const fwdCnt = got.toGuest;
    guest.send({ op: OP.RW, ...ports, payload: bytes(sent.toHost, length), piece, fwdCnt });
    sent.toHost += length;
    guest.offer(buffers);
    guest.settle(3);
    look();
    if (read) check("toHost", program.read());
  }
  for (let i = 0; i < 5000 && (got.toGuest < sent.toGuest || got.toHost < sent.toHost); i++) {
    if (guest.drivers[RX].free > 20) guest.offer();
    guest.settle(1);
    look();
    check("toHost", program.read());
    // At a few bytes a time it would take for ever.
    guest.bufAlloc = Math.max(guest.bufAlloc, 4096);
  }
  assertEquals(got, sent);
  // Both ends in good order.
  program.close();
  let last = guest.packets().at(-1);
  for (let i = 0; i < 50 && last === undefined; i++) {
    guest.settle(3);
    guest.offer();
    last = guest.packets().at(-1);
  }
  assertEquals(
    [last?.op, last?.flags],
    [OP.SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN.RCV | VIRTIO_VSOCK_SHUTDOWN.SEND],
  );
}
