/**
 * The socket device over vhost-vsock: the kernel's thread works on rings that the test fills, and its
 * streams are AF_VSOCK sockets of this machine.
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { VsockDevice } from "../../hypervisor/devices/virtio/vsock.ts";
import {
  EVENT,
  HOST_CID,
  RX,
  TX,
  VIRTIO_VSOCK_EVENT_TRANSPORT_RESET,
  VIRTIO_VSOCK_OP as OP,
  VIRTIO_VSOCK_TYPE_STREAM,
  VsockHeader,
} from "../../hypervisor/devices/virtio/vsock_protocol.ts";
import { Driver, testMemory } from "../../hypervisor/devices/virtio/testing/driver.ts";
import { TestHost } from "../../hypervisor/devices/virtio/testing/host.ts";
import { setVhostFeatures } from "../../hypervisor/devices/virtio/vhost_setup.ts";
import { DIRTY_PAGE_BYTES, DirtyPages } from "../../hypervisor/machine/dirty_pages.ts";
import { mapVhostLog, unmapVhostLog, VhostLog } from "../../hypervisor/machine/vhost_log.ts";
import { signal } from "../../hypervisor/sys/eventfd.ts";
import { close } from "../../hypervisor/sys/files.ts";
import type { QueueState } from "../../hypervisor/devices/virtio/queue.ts";
import { openVhostVsock, takeVsockAddress } from "../../hypervisor/sys/vhost_vsock.ts";

const CID = 4711;
const HEADER = VsockHeader.size;
const RX_AREA = 0x20000;
const TX_AREA = 0x60000;
const EVENT_AREA = 0x70000;
const SIZE = 64;

/** Deno has AF_VSOCK behind a flag that the tests are not run with. */
const ANSWERS = `
  const listener = Deno.listen({ transport: "vsock", cid: -1, port: 5000 });
  console.log("ready");
  const connection = await listener.accept();
  const buffer = new Uint8Array(64);
  const n = await connection.read(buffer);
  const heard = new TextDecoder().decode(buffer.subarray(0, n));
  await connection.write(new TextEncoder().encode(heard + ", and to you"));
  connection.close();
  listener.close();
`;

/** Says what comes of its stream. */
const LISTENS = `
  const listener = Deno.listen({ transport: "vsock", cid: -1, port: 5000 });
  console.log("ready");
  const connection = await listener.accept();
  // As an error, or as an end: it is the kernel's to say.
  const heard = await connection.read(new Uint8Array(64)).catch(() => null);
  console.log(heard === null ? "it is gone" : "it says something");
  listener.close();
`;

function program(code: string): { child: Deno.ChildProcess; said(): Promise<string> } {
  const args = ["eval", "--unstable-vsock", "--no-config", code];
  const child = new Deno.Command(Deno.execPath(), { args, stdout: "piped" }).spawn();
  const words = child.stdout.pipeThrough(new TextDecoderStream())[Symbol.asyncIterator]();
  return { child, said: async () => (await words.next()).value ?? "" };
}

class Rig implements Disposable {
  readonly memory = testMemory(1 << 20);
  readonly host = new TestHost(this.memory, { queues: 3 });
  readonly vhost = openVhostVsock(CID);
  device = new VsockDevice({ name: "vsock0", cid: CID, vhost: this.vhost });
  /** The guest's end: one that was closed a moment ago is not yet forgotten by the kernel. */
  port = 50;
  #drivers: Driver[] = [];
  #places = new Map<number, number>();

  constructor() {
    this.host.device = this.device;
    this.activate();
  }

  /** As in another VMM, over the same memory, from where this one stands still. */
  goOnBy(device: VsockDevice, states: readonly (QueueState | null)[]): void {
    this.device.reset();
    this.device = this.host.device = device;
    const queues = this.#drivers.map(({ setup }, i) => ({ ...setup, state: states[i]! }));
    device.activate(this.host, { queues, features: new Set(), restored: true });
  }

  /** Offers a buffer for an event. */
  offerEvent(): void {
    this.memory.view.setUint32(EVENT_AREA, 0xEEEE_EEEE, true);
    this.#drivers[EVENT].add([{ address: EVENT_AREA, length: 4, writable: true }]);
  }

  /** What events have come, of those that there were buffers for. */
  events(): number[] {
    const area = () => this.memory.view.getUint32(EVENT_AREA, true);
    return this.#drivers[EVENT].takeAll().map(({ written }) => written === 4 ? area() : NaN);
  }

  get tx(): Driver {
    return this.#drivers[TX];
  }

  activate(): void {
    this.#drivers = [RX, TX, EVENT].map((index) =>
      new Driver(this.memory, { size: SIZE, base: 0x1000 + index * 0x4000, index })
    );
    const queues = this.#drivers.map(({ setup }) => setup);
    this.device.activate(this.host, { queues, features: new Set() });
    for (let i = 0; i < SIZE; i++) {
      const address = RX_AREA + i * 4096;
      this.#places.set(
        this.#drivers[RX].add([{ address, length: 4096, writable: true }]),
        address,
      );
    }
    signal(this.host.queueNotifyFd(RX));
  }

  send(op: number, port: number, payload = ""): void {
    const bytes = new TextEncoder().encode(payload);
    const header = VsockHeader.create({
      src_cid: CID,
      dst_cid: HOST_CID,
      src_port: this.port,
      dst_port: port,
      len: bytes.length,
      type: VIRTIO_VSOCK_TYPE_STREAM,
      op,
      buf_alloc: 65536,
    });
    this.memory.bytes.set(header.$bytes, TX_AREA);
    this.memory.bytes.set(bytes, TX_AREA + HEADER);
    this.tx.add([{ address: TX_AREA, length: HEADER + bytes.length }]);
    signal(this.host.queueNotifyFd(TX));
  }

  /** The next packet of the kind `op`. */
  async packet(op: number): Promise<string> {
    for (const until = Date.now() + 20_000; Date.now() < until;) {
      for (const { head, written } of this.#drivers[RX].takeAll()) {
        const at = this.#places.get(head)!;
        const header = VsockHeader.at(this.memory.bytes.slice(at, at + HEADER).buffer);
        const payload = this.memory.bytes.slice(at + HEADER, at + written);
        if (header.op === op) return new TextDecoder().decode(payload);
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw new Error(`Cannot see a packet of kind ${op}`);
  }

  [Symbol.dispose](): void {
    this.device.reset();
    close(this.vhost);
    this.host[Symbol.dispose]();
    this.memory[Symbol.dispose]();
  }
}

Deno.test("vhost-vsock: a guest reaches a program of the host that listens at AF_VSOCK", async () => {
  using rig = new Rig();
  const program = new Deno.Command(Deno.execPath(), {
    args: ["eval", "--unstable-vsock", "--no-config", ANSWERS],
    stdout: "piped",
  }).spawn();
  const said = program.stdout.pipeThrough(new TextDecoderStream()).getReader();
  assertEquals((await said.read()).value, "ready\n");
  rig.send(OP.REQUEST, 5000);
  await rig.packet(OP.RESPONSE);
  rig.send(OP.RW, 5000, "good day");
  assertEquals(await rig.packet(OP.RW), "good day, and to you");
  assertEquals((await program.status).code, 0);
  await said.cancel();
});

Deno.test("vhost-vsock: it stands still with its streams, and they go on", async () => {
  using rig = new Rig();
  rig.port = 51;
  const program = new Deno.Command(Deno.execPath(), {
    args: ["eval", "--unstable-vsock", "--no-config", ANSWERS],
    stdout: "piped",
  }).spawn();
  const said = program.stdout.pipeThrough(new TextDecoderStream()).getReader();
  assertEquals((await said.read()).value, "ready\n");
  rig.send(OP.REQUEST, 5000);
  await rig.packet(OP.RESPONSE);
  const states = rig.device.freeze();
  assertEquals(states[TX], { nextAvail: 1, nextUsed: 1 });
  assertEquals(states[EVENT], { nextAvail: 0, nextUsed: 0 });
  assert(states[RX]!.nextAvail > 0);
  // Taken out of the way: the driver looks at the ring while the device stands still.
  rig.tx.takeAll();
  rig.send(OP.RW, 5000, "good day");
  await new Promise((resolve) => setTimeout(resolve, 200));
  assertEquals(rig.tx.takeAll(), []);
  rig.device.thaw();
  assertEquals(await rig.packet(OP.RW), "good day, and to you");
  assertEquals((await program.status).code, 0);
  await said.cancel();
});

Deno.test("vhost-vsock: it stops, and starts again with other rings", async () => {
  using rig = new Rig();
  for (let round = 0; round < 3; round++) {
    // Nobody listens there.
    rig.send(OP.REQUEST, 9);
    await rig.packet(OP.RST);
    rig.device.reset();
    assertEquals(rig.host.watched, 0);
    rig.activate();
  }
});

Deno.test("vhost-vsock: a ring that the driver breaks stops the device", () => {
  using rig = new Rig();
  rig.tx.offer(SIZE + 5);
  signal(rig.host.queueNotifyFd(TX));
  rig.host.until(() => rig.host.failures.length > 0);
  assertEquals(rig.host.failures, ["vhost-vsock found a broken ring"]);
  assertEquals(rig.host.watched, 0);
});

Deno.test("vhost-vsock: it has no log of what it writes, and says so", async () => {
  using rig = new Rig();
  const { memory, device, vhost } = rig;
  assertThrows(
    () => device.logWrites(true),
    Error,
    "Cannot log what vsock0 writes: vhost-vsock keeps no log",
  );
  device.logWrites(false);
  // It takes the order all the same, and then writes to a buffer that is not in its log. A kernel that
  // keeps one would fail here, and could be believed.
  const log = mapVhostLog(memory.slots);
  memory.vhostLog = log.address;
  setVhostFeatures(vhost, { memory, features: new Set() });
  rig.send(OP.REQUEST, 9);
  await rig.packet(OP.RST);
  const logged = DirtyPages.of(memory.bytes.length);
  new VhostLog(log).collect(logged);
  assertEquals(logged.has(RX_AREA / DIRTY_PAGE_BYTES), false);
  memory.vhostLog = undefined;
  device.reset();
  setVhostFeatures(vhost, { memory, features: new Set() });
  unmapVhostLog(log);
});

Deno.test("vhost-vsock: an address belongs to one guest", () => {
  using _rig = new Rig();
  assertThrows(() => openVhostVsock(CID), Error, `take the vsock address ${CID}`);
  assert(CID > HOST_CID);
});

Deno.test("vhost-vsock: one that lets go of its address leaves it to another, whose streams are new", async () => {
  using rig = new Rig();
  rig.port = 52;
  const before = program(LISTENS);
  assertEquals(await before.said(), "ready\n");
  rig.send(OP.REQUEST, 5000);
  await rig.packet(OP.RESPONSE);
  const { device, vhost } = rig;
  const other = openVhostVsock();
  const take = () => takeVsockAddress(other, CID, { patienceMs: 20 });
  assertThrows(take, Error, `take the vsock address ${CID}`);
  const next = new VsockDevice({ name: "vsock0", cid: CID, vhost: other });
  const states = device.freeze();
  rig.offerEvent();
  device.letGo();
  // The host's end hears of it, whoever goes on.
  assertEquals(await before.said(), "it is gone\n");
  assertEquals((await before.child.status).code, 0);
  rig.goOnBy(next, states);
  assertEquals(rig.events(), [VIRTIO_VSOCK_EVENT_TRANSPORT_RESET]);
  assertThrows(() => takeVsockAddress(vhost, CID), Error, `take the vsock address ${CID}`);
  rig.tx.takeAll();
  const after = program(ANSWERS);
  assertEquals(await after.said(), "ready\n");
  rig.port = 53;
  rig.send(OP.REQUEST, 5000);
  await rig.packet(OP.RESPONSE);
  rig.send(OP.RW, 5000, "good day");
  assertEquals(await rig.packet(OP.RW), "good day, and to you");
  assertEquals((await after.child.status).code, 0);
  next.reset();
  close(other);
});

Deno.test("vhost-vsock: one that has let go of its address goes on, if nobody else does", async () => {
  using rig = new Rig();
  const { device } = rig;
  device.freeze();
  rig.offerEvent();
  device.letGo();
  assertEquals(rig.events(), []);
  device.thaw();
  assertEquals(rig.events(), [VIRTIO_VSOCK_EVENT_TRANSPORT_RESET]);
  assertThrows(() => openVhostVsock(CID), Error, `take the vsock address ${CID}`);
  rig.send(OP.REQUEST, 9);
  await rig.packet(OP.RST);
  // Once, and not whenever it stands still.
  device.freeze();
  rig.offerEvent();
  device.thaw();
  assertEquals(rig.events(), []);
  // Where the driver has no buffer yet, when it has.
  device.freeze();
  device.letGo();
  rig.events();
  device.thaw();
  assertEquals(rig.events(), [VIRTIO_VSOCK_EVENT_TRANSPORT_RESET]);
  device.freeze();
  device.letGo();
  device.thaw();
  assertEquals(rig.events(), []);
  rig.offerEvent();
  signal(rig.host.queueNotifyFd(EVENT));
  let event: number[] = [];
  rig.host.until(() => (event = rig.events()).length > 0);
  assertEquals(event, [VIRTIO_VSOCK_EVENT_TRANSPORT_RESET]);
});

Deno.test("vhost-vsock: one whose address is another's by then stops alone", () => {
  using rig = new Rig();
  const { device } = rig;
  device.freeze();
  device.letGo();
  const other = openVhostVsock(CID);
  assertThrows(() => device.thaw(), Error, `take the vsock address ${CID}`);
  device.reset();
  assertEquals(rig.host.watched, 0);
  close(other);
});
