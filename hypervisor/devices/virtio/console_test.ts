import { assert, assertEquals, assertThrows } from "@std/assert";
import { Arena } from "../../machine/arena.ts";
import { ConsoleDevice } from "./console.ts";
import {
  CONTROL_RX,
  CONTROL_TX,
  receiveQueue,
  transmitQueue,
  VIRTIO_CONSOLE,
  VIRTIO_CONSOLE_F,
} from "./console_protocol.ts";
import { CONSOLE_QUEUE_SIZE, ConsoleGuest, type Message } from "./testing/console_guest.ts";

const { DEVICE_READY, PORT_ADD, PORT_READY, CONSOLE_PORT, RESIZE, PORT_OPEN, PORT_NAME } =
  VIRTIO_CONSOLE;
const WINDOW = { columns: 132, rows: 43 };
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const brief = ({ id, event, value }: Message) => [id, event, value];

/** Bytes that show where they were cut or repeated. */
function pattern(length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8) * 13) & 0xff);
}

Deno.test("the driver learns of each port, the console's size and the others' names", () => {
  using guest = new ConsoleGuest({ console: WINDOW, ports: ["org.qemu.guest_agent.0", "two"] });
  guest.offer(CONTROL_RX, 32);
  guest.tell(0, DEVICE_READY, 1);
  assertEquals(guest.messages().map(brief), [[0, PORT_ADD, 1], [1, PORT_ADD, 1], [2, PORT_ADD, 1]]);
  guest.tell(0, PORT_READY, 1);
  const [console, resize, ...none] = guest.messages();
  assertEquals([brief(console), brief(resize), none], [
    [0, CONSOLE_PORT, 1],
    [0, RESIZE, 1],
    [],
  ]);
  assertEquals([...resize.payload], [132, 0, 43, 0]);
  guest.tell(1, PORT_READY, 1);
  const [name] = guest.messages();
  assertEquals([name.id, name.event, text(name.payload)], [1, PORT_NAME, "org.qemu.guest_agent.0"]);
  guest.tell(2, PORT_READY, 0);
  assertEquals(guest.messages(), []);
  // Columns, rows and the number of ports.
  assertEquals([0, 2].map((at) => guest.device.readConfig(at, 2)), [132, 43]);
  assertEquals(guest.device.readConfig(4, 4), 3);
});

Deno.test("messages wait for buffers, and none is lost or told twice", () => {
  using guest = new ConsoleGuest({ console: WINDOW, ports: ["one"] });
  for (let i = 0; i < 10; i++) guest.tell(0, DEVICE_READY, 1);
  for (const id of [0, 1]) guest.tell(id, PORT_READY, 1);
  const seen: number[][] = [];
  for (let i = 0; i < 3; i++) {
    guest.offer(CONTROL_RX, 1);
    seen.push(...guest.messages().map(brief));
  }
  assertEquals(seen, [[0, CONSOLE_PORT, 1], [0, RESIZE, 1], [1, PORT_NAME, 1]]);
  // Too small for a name: it comes back empty, and the name with the next.
  guest.tell(1, PORT_READY, 1);
  guest.offer(CONTROL_RX, 1, 10);
  assertEquals(guest.messages().map(({ event }) => event), []);
  guest.offer(CONTROL_RX, 4);
  assertEquals(guest.messages().map(({ event }) => event), [PORT_NAME]);
});

Deno.test("what a client says reaches the guest once its end is open, and the answer the client", () => {
  using guest = new ConsoleGuest();
  guest.offer(CONTROL_RX, 16);
  guest.tell(1, PORT_READY, 1);
  guest.messages();
  const client = guest.connect("one");
  assertEquals(guest.messages().map(brief), [[1, PORT_OPEN, 1]]);
  client.send("hello");
  assertEquals(text(guest.drain(1)), "");
  guest.tell(1, PORT_OPEN, 1);
  assertEquals(text(guest.drain(1)), "hello");
  guest.say(1, "and good day");
  assertEquals(client.text(), "and good day");
  assertEquals(guest.drivers[transmitQueue(1)].takeAll().length, 1);
  assert(guest.host.interrupts[transmitQueue(1)] > 0);
  assert(guest.host.interrupts[receiveQueue(1)] > 0);
  guest.tell(1, PORT_OPEN, 0);
  client.send("nobody hears this yet");
  assertEquals(text(guest.drain(1)), "");
});

Deno.test("without a client the guest's bytes are dropped and nothing waits", () => {
  using guest = new ConsoleGuest();
  guest.start();
  for (let i = 0; i < 50; i++) guest.say(1, "into the void");
  assertEquals(guest.drivers[transmitQueue(1)].takeAll().length, 50);
  const [port] = guest.device.report().ports as Record<string, unknown>[];
  assertEquals(port.bytesDropped, 50 * 13);
  assertEquals(guest.connect("one").text(), "");
});

Deno.test("a client that does not read holds up its own port and no other, and loses nothing", () => {
  using guest = new ConsoleGuest({ ports: ["slow", "quick"] });
  guest.start();
  const slow = guest.connect("slow");
  const quick = guest.connect("quick");
  const data = pattern(32768);
  const tx = guest.drivers[transmitQueue(1)];
  let sent = 0;
  let returned = 0;
  // More than a socket takes: chains stay in the queue, and the device keeps nothing itself.
  for (; sent < 6; sent++) guest.write(transmitQueue(1), data, 5000);
  returned += tx.takeAll().length;
  for (; tx.free >= 7 && sent < 20; sent++) {
    guest.write(transmitQueue(1), data, 5000);
    returned += tx.takeAll().length;
  }
  guest.settle();
  assert(returned < sent, `${returned} of ${sent} went`);
  guest.say(2, "still here");
  assertEquals(quick.text(), "still here");
  let received = 0;
  for (let i = 0; i < 100 && received < sent * data.length; i++) {
    for (const byte of slow.read()) assertEquals(byte, data[received++ % data.length]);
    guest.settle();
  }
  returned += tx.takeAll().length;
  assertEquals(returned, sent);
  assertEquals(received, sent * data.length);
});

Deno.test("what the guest has no buffer for stays with the client", () => {
  using guest = new ConsoleGuest();
  guest.start();
  const client = guest.connect("one");
  const data = pattern(100_000);
  const sent = client.send(data);
  guest.offer(receiveQueue(1), 3);
  guest.settle();
  const first = guest.taken(receiveQueue(1));
  assertEquals(first.map(({ length }) => length), [4096, 4096, 4096]);
  const rest = guest.drain(1);
  assertEquals([...first.flatMap((bytes) => [...bytes]), ...rest], [...data.subarray(0, sent)]);
});

Deno.test("what a client left behind comes before the news that it has gone", () => {
  using guest = new ConsoleGuest();
  guest.start();
  const client = guest.connect("one");
  client.send("last words");
  client.close();
  guest.settle();
  assertEquals(guest.messages().map(brief), [[1, PORT_OPEN, 1]]);
  assertEquals(text(guest.drain(1)), "last words");
  assertEquals(guest.messages().map(brief), [[1, PORT_OPEN, 0]]);
  assertEquals(guest.connect("one").text(), "");
  assertEquals(guest.messages().map(brief), [[1, PORT_OPEN, 1]]);
});

Deno.test("a second client waits for the first to go, not for what it left behind", () => {
  using guest = new ConsoleGuest();
  guest.start();
  const first = guest.connect("one");
  const second = guest.connect("one");
  guest.say(1, "for the first");
  guest.settle();
  assertEquals([first.text(), second.text()], ["for the first", ""]);
  guest.messages();
  first.send("unread");
  first.close();
  guest.settle();
  // The guest is told that one has gone as well as that another has come.
  assertEquals(guest.messages().map(brief), [[1, PORT_OPEN, 0], [1, PORT_OPEN, 1]]);
  guest.say(1, "for the second");
  guest.settle();
  assertEquals(second.text(), "for the second");
  assertEquals(text(guest.drain(1)), "");
});

Deno.test("a client that only ends its own side still gets its answer", () => {
  using guest = new ConsoleGuest();
  guest.start();
  const client = guest.connect("one");
  client.send("question");
  client.endSending();
  assertEquals(text(guest.drain(1)), "question");
  guest.say(1, "answer");
  guest.settle();
  assertEquals(client.text(), "answer");
  client.close();
  guest.settle();
  assertEquals(guest.messages().map(brief), [[1, PORT_OPEN, 1], [1, PORT_OPEN, 0]]);
});

Deno.test("a client that goes while the guest's chain waits for it lets the chain go", () => {
  using guest = new ConsoleGuest();
  guest.start();
  const client = guest.connect("one");
  for (let i = 0; i < 12; i++) guest.write(transmitQueue(1), pattern(65536), 65536);
  guest.settle();
  assert(guest.drivers[transmitQueue(1)].takeAll().length < 12);
  client.close();
  guest.settle();
  guest.say(1, "x");
  guest.settle();
  guest.drivers[transmitQueue(1)].takeAll();
  assertEquals(guest.drivers[transmitQueue(1)].free, CONSOLE_QUEUE_SIZE);
});

Deno.test("a window's new size reaches the driver; a wrong one is refused by its name", () => {
  using guest = new ConsoleGuest({ console: WINDOW, ports: [] });
  guest.start();
  guest.device.change({ columns: 80, rows: 25 });
  const [resize] = guest.messages();
  assertEquals([resize.event, ...resize.payload], [RESIZE, 80, 0, 25, 0]);
  assertEquals(guest.host.configChanges, 1);
  assertEquals(guest.device.readConfig(0, 4), 25 * 65536 + 80);
  for (const columns of [0, 1001, 1.5, "80", undefined]) {
    assertThrows(() => guest.device.change({ columns, rows: 25 }), RangeError, "columns");
  }
  assertThrows(() => guest.device.change({ colour: 1 }), TypeError, "colour");
  assertEquals(guest.messages(), []);
  using bare = new ConsoleGuest();
  assertThrows(() => bare.device.change({ columns: 80, rows: 25 }), TypeError, "no console");
});

Deno.test("a driver that knows no ports has the console alone", () => {
  using guest = new ConsoleGuest({ console: WINDOW, ports: ["one"], features: [] });
  const client = guest.connect("hvc0");
  guest.say(0, "login: ");
  assertEquals(client.text(), "login: ");
  client.send("root\n");
  assertEquals(text(guest.drain(0)), "root\n");
  guest.tell(0, DEVICE_READY, 1);
  assertEquals(guest.messages(), []);
});

Deno.test("reset sends clients away, watches nothing, and the device can be started again", () => {
  using guest = new ConsoleGuest();
  guest.start();
  const client = guest.connect("one");
  guest.write(transmitQueue(1), pattern(65536), 65536);
  guest.device.reset();
  assertEquals(guest.host.watched, 0);
  client.read();
  assert(client.ended);
  guest.activate();
  guest.start();
  const next = guest.connect("one");
  guest.say(1, "again");
  assertEquals(next.text(), "again");
});

Deno.test("hostile: a broken queue, wherever it is noticed, stops the device until a reset", () => {
  for (const index of [CONTROL_RX, CONTROL_TX, receiveQueue(1), transmitQueue(1)]) {
    using guest = new ConsoleGuest();
    guest.start();
    guest.connect("one").send("x");
    guest.drivers[index].setAvailIndex(40_000);
    guest.device.notify(index);
    // The control queue is looked at once the buffers that are known of are used up.
    for (let i = 0; i < 100 && guest.host.failures.length === 0; i++) guest.tell(1, PORT_READY, 1);
    guest.settle();
    assertEquals(guest.host.failures.length, 1, `queue ${index}`);
    assertEquals(guest.host.watched, 0);
    const before = guest.memory.bytes.slice();
    guest.device.notify(index);
    guest.settle();
    assertEquals(guest.memory.bytes, before);
    guest.activate();
    assert(guest.start().some(({ event }) => event === PORT_NAME));
  }
});

Deno.test("control queues that are not enabled refuse activation", () => {
  const device = new ConsoleDevice(new Arena(), { name: "console0", ports: [] });
  using guest = new ConsoleGuest();
  const features = new Set([VIRTIO_CONSOLE_F.MULTIPORT]);
  assertThrows(
    () => device.activate(guest.host, { queues: [null, null, null, null], features }),
    RangeError,
    "control queues",
  );
});
