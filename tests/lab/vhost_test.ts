/**
 * The network device over vhost-net: the kernel's thread works on rings that the test fills.
 */
import { Buffer } from "node:buffer";
import { assert, assertEquals } from "@std/assert";
import { VIRTIO_F } from "../../hypervisor/devices/virtio/device.ts";
import { NetDevice } from "../../hypervisor/devices/virtio/net.ts";
import { VhostBackend } from "../../hypervisor/devices/virtio/net_vhost.ts";
import { RX, TX, VIRTIO_NET_F } from "../../hypervisor/devices/virtio/net_protocol.ts";
import { Driver, testMemory } from "../../hypervisor/devices/virtio/testing/driver.ts";
import { TestHost } from "../../hypervisor/devices/virtio/testing/host.ts";
import { Epoll } from "../../hypervisor/sys/epoll.ts";
import { drain, signal } from "../../hypervisor/sys/eventfd.ts";
import { close } from "../../hypervisor/sys/files.ts";
import { PacketSocket } from "../../hypervisor/sys/packet_socket.ts";
import { createTap, removeTap } from "../../hypervisor/sys/tap.ts";
import { openTap, VNET_HEADER_BYTES } from "../../hypervisor/sys/tap_offloads.ts";
import { openVhostNet } from "../../hypervisor/sys/vhost.ts";

/** An ethertype for experiments: nobody else on the tap sends it. */
const ETHERTYPE = 0x88b5;
const BUFFERS = 0x40000;
const BUFFER_BYTES = 2048;
const FRAMES = 0x20000;
const SIZE = 64;
const { MRG_RXBUF } = VIRTIO_NET_F;

function frame(length: number, fill: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length).fill(fill);
  bytes.set([0x52, 0x54, 0, 0, 0, 1, 0x52, 0x54, 0, 0, 0, 2, ETHERTYPE >> 8, ETHERTYPE & 255]);
  return bytes;
}

const isOurs = (bytes: Uint8Array) =>
  bytes[12] === ETHERTYPE >> 8 && bytes[13] === (ETHERTYPE & 255);

interface Rig {
  tap: number;
  vhost: number;
  memory: ReturnType<typeof testMemory>;
  host: TestHost;
  device: NetDevice;
  socket: PacketSocket;
  /** New rings, and the device working on them. */
  activate(): { rx: Driver; tx: Driver };
  /** Waits until queue `index` is interrupted. */
  interrupted(index: number): void;
}

function withVhost(features: number[], run: (rig: Rig) => void): void {
  const name = `dvv${crypto.randomUUID().slice(0, 8)}`;
  createTap(name);
  const tap = openTap(name);
  const vhost = openVhostNet();
  assert(vhost >= 0, "the lab has /dev/vhost-net");
  using memory = testMemory(4 << 20);
  using host = new TestHost(memory, { queues: 2 });
  using socket = new PacketSocket(name);
  const device = new NetDevice({ name: "net0", tap, vhost, mac: "52:54:00:00:00:01" });
  host.device = device;
  for (const feature of features) assert(device.features.includes(feature), `${feature}`);
  const epoll = new Epoll();
  epoll.add(host.queueInterruptFd(RX));
  epoll.add(host.queueInterruptFd(TX));
  try {
    run({
      tap,
      vhost,
      memory,
      host,
      device,
      socket,
      activate() {
        const eventIdx = features.includes(VIRTIO_F.EVENT_IDX);
        const rx = new Driver(memory, { size: SIZE, base: 0x1000, index: RX, eventIdx });
        const tx = new Driver(memory, { size: SIZE, base: 0x8000, index: TX, eventIdx });
        device.activate(host, { queues: [rx.setup, tx.setup], features: new Set(features) });
        return { rx, tx };
      },
      interrupted(index) {
        const deadline = performance.now() + 20_000;
        while (!drain(host.queueInterruptFd(index))) {
          assert(performance.now() < deadline, `queue ${index} is never interrupted`);
          epoll.wait(1000);
        }
      },
    });
  } finally {
    device.reset();
    assertEquals(host.watched, 0);
    close(vhost);
    close(tap);
    removeTap(name);
  }
}

/** Makes all buffers of the receive queue available. */
function offerAll(rx: Driver): Map<number, number> {
  const places = new Map<number, number>();
  for (let i = 0; i < SIZE; i++) {
    const address = BUFFERS + i * BUFFER_BYTES;
    const head = rx.add([{ address, length: BUFFER_BYTES, writable: true }]);
    places.set(head, address);
  }
  return places;
}

/** Takes frames of ours until there are `count`. */
function receive(rig: Rig, rx: Driver, places: Map<number, number>, count: number): Uint8Array[] {
  const frames: Uint8Array[] = [];
  for (;;) {
    for (let used = rx.take(); used; used = rx.take()) {
      const at = places.get(used.head)!;
      const bytes = rig.memory.bytes.slice(at + VNET_HEADER_BYTES, at + used.written);
      if (isOurs(bytes)) frames.push(bytes);
    }
    if (frames.length >= count) return frames;
    rx.setUsedEvent(rx.usedIndex);
    rig.interrupted(RX);
  }
}

for (const features of [[], [VIRTIO_F.EVENT_IDX, VIRTIO_F.INDIRECT_DESC, MRG_RXBUF]]) {
  const title = features.length === 0 ? "plain" : "EVENT_IDX, INDIRECT_DESC, MRG_RXBUF";

  Deno.test(`vhost (${title}): frames from the host reach the guest`, () => {
    withVhost(features, (rig) => {
      assertEquals(rig.device.offloaded, true);
      const { rx } = rig.activate();
      const places = offerAll(rx);
      signal(rig.host.queueNotifyFd(RX));
      for (let i = 1; i <= 10; i++) rig.socket.send(frame(100 * i, i));
      const frames = receive(rig, rx, places, 10);
      frames.forEach((bytes, i) => assertEquals(bytes, frame(100 * (i + 1), i + 1)));
      assertEquals(rig.host.failures, []);
    });
  });

  Deno.test(`vhost (${title}): frames from the guest reach the host`, () => {
    withVhost(features, (rig) => {
      const { tx } = rig.activate();
      for (let i = 1; i <= 10; i++) {
        const at = FRAMES + i * 4096;
        rig.memory.bytes.set(frame(100 * i, i), at + VNET_HEADER_BYTES);
        const indirect = features.length > 0 ? { indirectTable: 0x10000 + 64 * i } : {};
        tx.add([
          { address: at, length: VNET_HEADER_BYTES },
          { address: at + VNET_HEADER_BYTES, length: 100 * i },
        ], indirect);
      }
      tx.setUsedEvent(9);
      signal(rig.host.queueNotifyFd(TX));
      let used = 0;
      while ((used += tx.takeAll().length) < 10) rig.interrupted(TX);
      const frames: Uint8Array[] = [];
      for (let one = rig.socket.receive(); one; one = rig.socket.receive()) {
        if (isOurs(one)) frames.push(one);
      }
      assertEquals(frames.length, 10);
      frames.forEach((bytes, i) => assertEquals(bytes, frame(100 * (i + 1), i + 1)));
    });
  });
}

Deno.test("vhost: after a reset nothing touches guest memory, and a driver can start anew", () => {
  withVhost([MRG_RXBUF], (rig) => {
    for (let round = 0; round < 3; round++) {
      const { rx } = rig.activate();
      const places = offerAll(rx);
      signal(rig.host.queueNotifyFd(RX));
      rig.socket.send(frame(200, round + 1));
      const [got] = receive(rig, rx, places, 1);
      assertEquals(got, frame(200, round + 1));
      rig.device.reset();
      drain(rig.host.queueInterruptFd(RX));
      const before = rig.memory.bytes.slice();
      rig.socket.send(frame(300, 99));
      signal(rig.host.queueNotifyFd(RX));
      rig.host.turn(100);
      assertEquals(Buffer.compare(rig.memory.bytes, before), 0);
      assert(!drain(rig.host.queueInterruptFd(RX)));
      // Frames that came in between wait in the tap: take them off before the next round.
      const next = rig.activate();
      const again = offerAll(next.rx);
      signal(rig.host.queueNotifyFd(RX));
      assertEquals(receive(rig, next.rx, again, 1)[0], frame(300, 99));
      rig.device.reset();
    }
  });
});

Deno.test("vhost: when it is stopped, it says how far each queue has got", () => {
  withVhost([], ({ memory, host, tap, vhost, interrupted }) => {
    const rx = new Driver(memory, { size: SIZE, base: 0x1000, index: RX });
    const tx = new Driver(memory, { size: SIZE, base: 0x8000, index: TX });
    const queues = [rx.setup, tx.setup];
    const backend = new VhostBackend(host, { vhost, tap, queues, features: new Set() });
    memory.bytes.set(frame(100, 1), FRAMES + VNET_HEADER_BYTES);
    for (let i = 0; i < 5; i++) tx.add([{ address: FRAMES, length: VNET_HEADER_BYTES + 100 }]);
    signal(host.queueNotifyFd(TX));
    let used = 0;
    while ((used += tx.takeAll().length) < 5) interrupted(TX);
    backend.stop();
    assertEquals(backend.positions, [0, 5]);
  });
});

Deno.test("vhost: a ring that the driver breaks stops the device", () => {
  withVhost([], (rig) => {
    const { tx } = rig.activate();
    // A head outside the table.
    tx.offer(SIZE + 5);
    signal(rig.host.queueNotifyFd(TX));
    rig.host.until(() => rig.host.failures.length > 0);
    assertEquals(rig.host.failures, ["vhost-net found a broken ring"]);
    assertEquals(rig.host.watched, 0);
  });
});

Deno.test("vhost: rings that are not in RAM are refused before the kernel sees them", () => {
  withVhost([], ({ device, host }) => {
    const bad = { index: RX, size: SIZE, desc: 2 ** 40, avail: 0x2000, used: 0x3000 };
    const good = { index: TX, size: SIZE, desc: 0x1000, avail: 0x2000, used: 0x3000 };
    let message = "";
    try {
      device.activate(host, { queues: [bad, good], features: new Set() });
    } catch (error) {
      message = (error as Error).message;
    }
    assert(message.startsWith("Cannot activate queue 0: the descriptor table"), message);
  });
});
