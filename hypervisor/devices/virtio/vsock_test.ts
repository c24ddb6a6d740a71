import { assert, assertEquals, assertThrows } from "@std/assert";
import { CID, type Packet, VsockGuest } from "./testing/vsock_guest.ts";
import { VsockDevice } from "./vsock.ts";
import { parseConnect } from "./vsock_clients.ts";
import { BUFFER_BYTES } from "./vsock_connection.ts";
import {
  RX,
  TX,
  VIRTIO_VSOCK_OP as OP,
  VIRTIO_VSOCK_SHUTDOWN as SHUTDOWN,
} from "./vsock_protocol.ts";
import { MAX_CONNECTIONS } from "./vsock_table.ts";

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const bytes = (text: string) => new TextEncoder().encode(text);
const brief = ({ op, hostPort, guestPort }: Packet) => [op, hostPort, guestPort];
const ports = { hostPort: 1000, guestPort: 50 };
const BOTH = SHUTDOWN.RCV | SHUTDOWN.SEND;
const streams = (guest: VsockGuest) => guest.device.report().connections;

Deno.test("a guest's address is in the configuration, in the lower half of 64 bits", () => {
  using guest = new VsockGuest();
  assertEquals([0, 4, 8].map((at) => guest.device.readConfig(at, 4)), [CID, 0, 0]);
});

Deno.test("a program of the guest reaches the one that listens at the socket of that port", () => {
  using guest = new VsockGuest();
  const listener = guest.listen(1000);
  guest.offer();
  guest.send({ op: OP.REQUEST, ...ports });
  const [response, ...none] = guest.packets();
  assertEquals([brief(response), none], [[OP.RESPONSE, 1000, 50], []]);
  assertEquals([response.bufAlloc, response.fwdCnt, response.srcCid], [BUFFER_BYTES, 0, 2]);
  const program = listener.accept()!;
  guest.send({ op: OP.RW, ...ports, payload: bytes("good day"), piece: 13 });
  assertEquals(program.text(), "good day");
  program.send("and to you");
  guest.settle();
  const [data] = guest.packets();
  assertEquals([brief(data), text(data.payload)], [[OP.RW, 1000, 50], "and to you"]);
  assert(guest.host.interrupts[RX] > 0 && guest.host.interrupts[TX] > 0);
});

Deno.test("where nobody listens, the guest's connection is refused", () => {
  using guest = new VsockGuest();
  guest.offer();
  guest.send({ op: OP.REQUEST, hostPort: 9, guestPort: 50 });
  assertEquals(guest.packets().map(brief), [[OP.RST, 9, 50]]);
  assertEquals([streams(guest), guest.device.report().refused], [0, 1]);
});

Deno.test("a program of the host asks for a port, and hears OK once the guest has accepted", () => {
  using guest = new VsockGuest();
  guest.offer();
  const program = guest.connect();
  program.send("CONN");
  guest.settle();
  program.send("ECT 22\nSSH-2.0");
  guest.settle();
  const [request, ...none] = guest.packets();
  assertEquals([request.op, request.guestPort, none], [OP.REQUEST, 22, []]);
  assertEquals(program.text(), "");
  guest.send({ op: OP.RESPONSE, hostPort: request.hostPort, guestPort: 22 });
  assertEquals(program.text(), `OK ${request.hostPort}\n`);
  guest.settle();
  assertEquals(guest.packets().map(({ payload }) => text(payload)), ["SSH-2.0"]);
  guest.send({ op: OP.RW, hostPort: request.hostPort, guestPort: 22, payload: bytes("hello") });
  assertEquals(program.text(), "hello");
});

Deno.test("a guest that refuses, and words that are none, close the connection", () => {
  using guest = new VsockGuest();
  guest.offer();
  const refused = guest.connect();
  refused.send("CONNECT 22\n");
  guest.settle();
  const [{ hostPort }] = guest.packets();
  guest.send({ op: OP.RST, hostPort, guestPort: 22 });
  assertEquals([refused.text(), refused.ended], ["", true]);
  const wrong = ["HELLO\n", "CONNECT\n", "CONNECT -1\n", "CONNECT 4294967295\n", "x".repeat(40)];
  for (const line of wrong) {
    const program = guest.connect();
    program.send(line);
    guest.settle();
    assertEquals([program.text(), program.ended], ["", true], line);
  }
  assertEquals([guest.packets(), streams(guest)], [[], 0]);
  assertEquals(parseConnect("CONNECT 4294967294"), 4294967294);
});

Deno.test("a program that does not wait for the guest's answer is taken back", () => {
  using guest = new VsockGuest();
  guest.offer();
  const program = guest.connect();
  program.send("CONNECT 22\n");
  guest.settle();
  const [{ hostPort }] = guest.packets();
  program.close();
  guest.settle();
  assertEquals(guest.packets().map(brief), [[OP.RST, hostPort, 22]]);
  assertEquals(streams(guest), 0);
});

Deno.test("the host sends no more than the guest has said it can buffer", () => {
  using guest = new VsockGuest();
  guest.bufAlloc = 10_000;
  const program = guest.opened();
  program.send(new Uint8Array(30_000).fill(5));
  guest.settle();
  const total = (packets: Packet[]) =>
    packets.reduce((sum, { payload }) => sum + payload.length, 0);
  assertEquals(total(guest.packets()), 10_000);
  guest.offer();
  guest.settle();
  assertEquals(guest.packets(), []);
  guest.send({ op: OP.CREDIT_UPDATE, ...ports, fwdCnt: 4000 });
  guest.settle();
  assertEquals(total(guest.packets()), 4000);
  // Claims to have taken more than it was sent, and to have less room than is in use.
  guest.send({ op: OP.CREDIT_UPDATE, ...ports, fwdCnt: 4_000_000 });
  guest.settle();
  guest.send({ op: OP.CREDIT_UPDATE, ...ports, fwdCnt: 4000, bufAlloc: 1 });
  guest.settle();
  assertEquals(guest.packets(), []);
  guest.offer();
  guest.send({ op: OP.CREDIT_UPDATE, ...ports, fwdCnt: 14_000, bufAlloc: 100_000 });
  guest.settle();
  assertEquals(total(guest.packets()), 16_000);
});

Deno.test("without buffers of the guest's nothing is read, and nothing lost", () => {
  using guest = new VsockGuest();
  const program = guest.opened();
  guest.packets();
  const data = Uint8Array.from({ length: 60_000 }, (_, i) => i * 7);
  program.send(data);
  const got: number[] = [];
  for (let i = 0; i < 200 && got.length < data.length; i++) {
    guest.offer(1);
    guest.settle(3);
    for (const { payload } of guest.packets()) got.push(...payload);
  }
  assertEquals(got, [...data]);
});

Deno.test("what a program does not read is kept up to the buffer's end, then the guest breaks off", () => {
  using guest = new VsockGuest();
  const program = guest.opened();
  const data = Uint8Array.from({ length: 16_384 }, (_, i) => i * 13 + (i >> 8));
  let sent = 0;
  let told = 0;
  // As a driver does that heeds its credit.
  while (((sent - told) >>> 0) + data.length <= BUFFER_BYTES && sent < 10_000_000) {
    guest.send({ op: OP.RW, ...ports, payload: data });
    sent += data.length;
    guest.offer();
    for (const { fwdCnt } of guest.packets()) told = fwdCnt;
  }
  assert(sent > BUFFER_BYTES, "the socket took some");
  guest.send({ op: OP.CREDIT_REQUEST, ...ports });
  const [update] = guest.packets();
  assertEquals(update.op, OP.CREDIT_UPDATE);
  assert(sent - update.fwdCnt <= BUFFER_BYTES);
  // All of it arrives, and the guest hears that there is room.
  let got = 0;
  for (let i = 0; i < 100 && got < sent; i++) {
    for (const byte of program.read()) assertEquals(byte, data[got++ % data.length]);
    guest.settle(3);
  }
  assertEquals(got, sent);
  guest.offer();
  assert(guest.packets().some(({ op, fwdCnt }) => op === OP.CREDIT_UPDATE && fwdCnt > told));
  // One that does not heed it loses its stream.
  for (let i = 0; i < 100 && streams(guest) === 1; i++) {
    guest.send({ op: OP.RW, ...ports, payload: data });
  }
  guest.offer();
  assertEquals(guest.packets().map(({ op }) => op).at(-1), OP.RST);
  assertEquals(streams(guest), 0);
});

Deno.test("each direction ends by itself, after what was still to come", () => {
  using guest = new VsockGuest();
  const program = guest.opened();
  program.send("question");
  program.endSending();
  guest.settle();
  const [data, end] = guest.packets();
  assertEquals([text(data.payload), end.op, end.flags], ["question", OP.SHUTDOWN, SHUTDOWN.SEND]);
  guest.send({ op: OP.RW, ...ports, payload: bytes("answer") });
  guest.send({ op: OP.SHUTDOWN, ...ports, flags: SHUTDOWN.SEND });
  assertEquals([program.text(), program.ended], ["answer", true]);
  guest.send({ op: OP.SHUTDOWN, ...ports, flags: BOTH });
  assertEquals(guest.packets().map(brief), [[OP.RST, 1000, 50]]);
  assertEquals(streams(guest), 0);
});

Deno.test("a program that goes is told of once all that it left has been sent", () => {
  using guest = new VsockGuest();
  const program = guest.opened();
  program.send("last words");
  program.close();
  guest.settle();
  const [data, end, ...none] = guest.packets();
  assertEquals([text(data.payload), end.op, end.flags], ["last words", OP.SHUTDOWN, BOTH]);
  assertEquals([none, streams(guest)], [[], 1]);
  guest.send({ op: OP.RST, ...ports });
  assertEquals([guest.packets(), streams(guest)], [[], 0]);
});

Deno.test("a guest that takes no more hears when the program goes", () => {
  using guest = new VsockGuest();
  const program = guest.opened();
  guest.send({ op: OP.SHUTDOWN, ...ports, flags: SHUTDOWN.RCV });
  program.send("unheard");
  guest.settle();
  guest.send({ op: OP.RW, ...ports, payload: bytes("still sending") });
  assertEquals([guest.packets(), program.text()], [[], "still sending"]);
  program.close();
  guest.settle();
  const [end, ...none] = guest.packets();
  assertEquals([end.op, end.flags, none], [OP.SHUTDOWN, BOTH, []]);
});

Deno.test("a guest that goes leaves its last bytes to a program that reads late", () => {
  using guest = new VsockGuest();
  const program = guest.opened();
  const part = new Uint8Array(32_768).fill(9);
  let sent = 0;
  for (; sent < 2 * BUFFER_BYTES; sent += part.length) {
    guest.send({ op: OP.RW, ...ports, payload: part });
  }
  guest.send({ op: OP.SHUTDOWN, ...ports, flags: BOTH });
  guest.packets();
  guest.offer();
  assertEquals(streams(guest), 1);
  let got = 0;
  for (let i = 0; i < 50 && !program.ended; i++) {
    got += program.read().length;
    guest.settle(3);
  }
  assertEquals(got, sent);
  assertEquals(guest.packets().at(-1)?.op, OP.RST);
  assertEquals(streams(guest), 0);
});

Deno.test("hostile: a packet that fits no stream is answered by a reset, a reset by nothing", () => {
  using guest = new VsockGuest();
  guest.offer();
  for (const op of [OP.INVALID, OP.RESPONSE, OP.SHUTDOWN, OP.RW, OP.CREDIT_UPDATE, 9, 65535]) {
    guest.send({ op, ...ports });
    assertEquals(guest.packets().map(brief), [[OP.RST, 1000, 50]], `op ${op}`);
  }
  guest.send({ op: OP.RST, ...ports });
  assertEquals(guest.packets(), []);
  // Other kinds of socket, and other machines.
  guest.listen(1000);
  guest.send({ op: OP.REQUEST, ...ports, type: 2 });
  guest.send({ op: OP.REQUEST, ...ports, dstCid: 8 });
  const [kind, machine] = guest.packets();
  assertEquals([kind.op, kind.type, machine.op, machine.srcCid], [OP.RST, 2, OP.RST, 8]);
  assertEquals(streams(guest), 0);
});

Deno.test("hostile: what is no packet, or in another's name, is dropped", () => {
  using guest = new VsockGuest();
  guest.offer();
  guest.listen(1000);
  for (const cut of [0, 1, 43]) guest.send({ op: OP.REQUEST, ...ports, cut });
  guest.send({ op: OP.REQUEST, ...ports, srcCid: CID + 1 });
  assertEquals([guest.packets(), guest.device.report().malformed], [[], 4]);
  assertEquals(guest.host.failures, []);
});

Deno.test("hostile: a stream ends by whatever contradicts it, and its socket with it", () => {
  const wrong: Parameters<VsockGuest["send"]>[0][] = [
    // More than there is, and more than the buffer is.
    { op: OP.RW, len: 10, payload: bytes("four") },
    { op: OP.RW, len: 0xffff_ffff },
    // Again what was done already, and what is not for a guest to say.
    { op: OP.REQUEST },
    { op: OP.RESPONSE },
    { op: OP.INVALID },
    { op: 77 },
  ];
  for (const packet of wrong) {
    using guest = new VsockGuest();
    const program = guest.opened();
    guest.send({ ...packet, ...ports });
    assertEquals(guest.packets().map(brief), [[OP.RST, 1000, 50]], `op ${packet.op}`);
    assertEquals([program.text(), program.ended, streams(guest)], ["", true, 0]);
  }
  using guest = new VsockGuest();
  guest.opened();
  guest.send({ op: OP.SHUTDOWN, ...ports, flags: SHUTDOWN.SEND });
  guest.send({ op: OP.RW, ...ports, payload: bytes("and yet") });
  assertEquals(guest.packets().map(brief), [[OP.RST, 1000, 50]]);
});

Deno.test("hostile: a guest that takes no answers is not listened to for ever", () => {
  using guest = new VsockGuest();
  for (let i = 0; i < 2000; i++) guest.send({ op: OP.RW, hostPort: i, guestPort: i });
  guest.settle();
  // Its queue is full of packets that nobody takes.
  assertEquals(guest.drivers[TX].free, 0);
  for (let i = 0; i < 20; i++) {
    guest.offer();
    guest.settle(3);
    guest.packets();
    guest.drivers[TX].takeAll();
  }
  assert(guest.drivers[TX].free > 100);
  const program = guest.opened();
  guest.send({ op: OP.RW, ...ports, payload: bytes("fine") });
  assertEquals(program.text(), "fine");
});

Deno.test("hostile: there are at most 256 streams, and one that is over makes room", () => {
  using guest = new VsockGuest();
  const listener = guest.listen(1000);
  const programs = [];
  for (let i = 0; i < MAX_CONNECTIONS + 5; i++) {
    guest.send({ op: OP.REQUEST, hostPort: 1000, guestPort: i });
    guest.offer();
    guest.packets();
    guest.settle(1);
    if (i < MAX_CONNECTIONS) programs.push(listener.accept()!);
  }
  assertEquals(streams(guest), MAX_CONNECTIONS);
  assertEquals(guest.device.report().refused, 5);
  const late = guest.connect();
  late.send("CONNECT 5\n");
  guest.settle();
  late.read();
  assert(late.ended);
  // The guest never acknowledges the end of this one.
  programs[0].close();
  guest.settle();
  guest.send({ op: OP.REQUEST, hostPort: 1000, guestPort: 9999 });
  guest.settle();
  assertEquals(streams(guest), MAX_CONNECTIONS);
  assertEquals(guest.device.report().refused, 5);
});

Deno.test("hostile: a ring that contradicts itself, or a buffer too small, stops the device", () => {
  for (const index of [RX, TX]) {
    using guest = new VsockGuest();
    const program = index === RX ? guest.connect() : guest.opened();
    if (index === RX) program.send("CONNECT 1\n");
    guest.drivers[index].setAvailIndex(40_000);
    guest.device.notify(index);
    guest.settle();
    assertEquals([guest.host.failures.length, guest.host.watched], [1, 0]);
    program.read();
    assert(program.ended);
    guest.activate();
    const next = guest.opened(1001);
    guest.send({ op: OP.RW, hostPort: 1001, guestPort: 50, payload: bytes("again") });
    assertEquals(next.text(), "again");
  }
  using guest = new VsockGuest();
  guest.offer(1, 44);
  guest.send({ op: OP.RW, ...ports });
  assertEquals(guest.host.failures, ["a receive buffer has no room for a packet"]);
});

Deno.test("reset closes all streams and watches nothing", () => {
  using guest = new VsockGuest();
  const program = guest.opened();
  const undecided = guest.connect();
  undecided.send("CONN");
  guest.settle();
  guest.device.reset();
  for (const one of [program, undecided]) {
    one.read();
    assert(one.ended);
  }
  assertEquals(guest.host.watched, 0);
  const before = guest.memory.bytes.slice();
  guest.device.notify(RX);
  guest.device.notify(TX);
  assertEquals(guest.memory.bytes, before);
});

Deno.test("data queues that are not enabled refuse activation", () => {
  using guest = new VsockGuest();
  const device = new VsockDevice({ name: "vsock1", cid: 9, path: "/nowhere", listener: -1 });
  assertThrows(
    () => device.activate(guest.host, { queues: [null, null, null], features: new Set() }),
    RangeError,
    "data queues",
  );
});
