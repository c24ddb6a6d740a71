/**
 * The network device over vhost-net: the kernel's thread works on rings that the test fills.
 */
import { Buffer } from "node:buffer";
import { assert, assertEquals } from "@std/assert";
import { DirtyPages } from "../../hypervisor/machine/dirty_pages.ts";
import { mapVhostLog, unmapVhostLog, VhostLog } from "../../hypervisor/machine/vhost_log.ts";
import { VIRTIO_F } from "../../hypervisor/devices/virtio/device.ts";
import { VhostBackend } from "../../hypervisor/devices/virtio/net_vhost.ts";
import { NEW_PAIR } from "../../hypervisor/devices/virtio/net_pair.ts";
import {
  ACK,
  RX,
  TX,
  VIRTIO_NET_CTRL,
  VIRTIO_NET_F,
} from "../../hypervisor/devices/virtio/net_protocol.ts";
import { Driver } from "../../hypervisor/devices/virtio/testing/driver.ts";
import { drain, signal } from "../../hypervisor/sys/eventfd.ts";
import { VNET_HEADER_BYTES } from "../../hypervisor/sys/tap_offloads.ts";
import {
  BUFFERS,
  frame,
  FRAMES,
  isOurs,
  MRG_RXBUF,
  offerAll,
  receive,
  type Rig,
  SIZE,
  withVhost,
} from "./vhost_rig.ts";

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

Deno.test("vhost: a card that stands still leaves memory alone, and goes on where it was", () => {
  withVhost([MRG_RXBUF], (rig) => {
    const { device, host, memory, socket } = rig;
    const { rx } = rig.activate();
    const places = offerAll(rx);
    signal(host.queueNotifyFd(RX));
    socket.send(frame(200, 1));
    assertEquals(receive(rig, rx, places, 1)[0], frame(200, 1));
    const states = device.freeze();
    // The host's kernel may have sent something of its own.
    const { nextAvail, nextUsed } = states[RX]!;
    assert(nextUsed >= 1);
    assertEquals(nextAvail, nextUsed);
    assertEquals(nextUsed, rx.usedIndex);
    const before = memory.bytes.slice();
    socket.send(frame(300, 2));
    host.turn(100);
    assertEquals(Buffer.compare(memory.bytes, before), 0);
    device.thaw();
    assertEquals(receive(rig, rx, places, 1)[0], frame(300, 2));
    assertEquals(host.failures, []);
  });
});

Deno.test("vhost: when it is stopped, it says how far each queue has got", () => {
  withVhost([], ({ memory, host, taps: [tap], vhosts: [vhost], interrupted }) => {
    const rx = new Driver(memory, { size: SIZE, base: 0x1000, index: RX });
    const tx = new Driver(memory, { size: SIZE, base: 0x8000, index: TX });
    const backend = new VhostBackend(host, {
      ...{ vhost, tap, rx: rx.setup, tx: tx.setup },
      ...{ features: new Set(), state: NEW_PAIR },
    });
    memory.bytes.set(frame(100, 1), FRAMES + VNET_HEADER_BYTES);
    for (let i = 0; i < 5; i++) tx.add([{ address: FRAMES, length: VNET_HEADER_BYTES + 100 }]);
    signal(host.queueNotifyFd(TX));
    let used = 0;
    while ((used += tx.takeAll().length) < 5) interrupted(TX);
    const none = { nextAvail: 0, nextUsed: 0 };
    assertEquals(backend.stop(), { rx: none, tx: { nextAvail: 5, nextUsed: 5 } });
  });
});

/** Sends a frame as the guest until the host has it. */
function passes(rig: Rig, tx: Driver, fill: number, queue = TX): void {
  rig.memory.bytes.set(frame(100, fill), FRAMES + VNET_HEADER_BYTES);
  tx.add([{ address: FRAMES, length: VNET_HEADER_BYTES + 100 }]);
  signal(rig.host.queueNotifyFd(queue));
  const deadline = performance.now() + 20_000;
  for (;;) {
    rig.host.turn(10);
    const seen = rig.socket.receive();
    if (seen && isOurs(seen) && seen[20] === fill) break;
    assert(performance.now() < deadline, `frame ${fill} does not come`);
  }
  tx.takeAll();
}

Deno.test("vhost: a running card goes over to the VMM's own path and back without losing its place", () => {
  for (const features of [[], [VIRTIO_F.EVENT_IDX, MRG_RXBUF]]) {
    withVhost(features, (rig) => {
      const { device, host, socket } = rig;
      const { rx, tx } = rig.activate();
      const places = offerAll(rx);
      signal(host.queueNotifyFd(RX));
      let fill = 0;
      const bothWays = () => {
        tx.setUsedEvent(tx.usedIndex);
        passes(rig, tx, ++fill);
        rx.setUsedEvent(rx.usedIndex);
        socket.send(frame(200, ++fill));
        const deadline = performance.now() + 20_000;
        for (;;) {
          host.turn(10);
          const used = rx.take();
          if (used) {
            const at = places.get(used.head)!;
            const bytes = rig.memory.bytes.slice(at + VNET_HEADER_BYTES, at + used.written);
            if (isOurs(bytes) && bytes[20] === fill) return assertEquals(bytes, frame(200, fill));
          }
          assert(performance.now() < deadline, `frame ${fill} does not come`);
        }
      };
      for (let round = 0; round < 3; round++) {
        assertEquals(device.report().backend, "vhost-net");
        bothWays();
        device.change({ sendLimit: { bytesPerSecond: 1e9 } });
        assertEquals(device.report().backend, "tap");
        bothWays();
        device.change({ linkUp: false });
        device.change({ linkUp: true });
        bothWays();
        device.change({ sendLimit: {} });
        bothWays();
        device.change({ linkUp: false });
        device.change({ linkUp: true });
      }
      assertEquals(host.failures, []);
    });
  }
});

Deno.test("vhost: each pair that the driver asks for is served, others are not", () => {
  const { CTRL_VQ, MQ } = VIRTIO_NET_F;
  withVhost([CTRL_VQ, MQ, MRG_RXBUF], (rig) => {
    const { drivers } = rig.activate();
    const control = drivers[4];
    const pairs = (n: number) => {
      rig.memory.bytes.set([VIRTIO_NET_CTRL.MQ, 0, n, 0, 0xee], FRAMES + 8192);
      control.add([
        { address: FRAMES + 8192, length: 4 },
        { address: FRAMES + 8196, length: 1, writable: true },
      ]);
      signal(rig.host.queueNotifyFd(4));
      rig.host.until(() => control.take() !== undefined);
      assertEquals(rig.memory.bytes[FRAMES + 8196], ACK.OK);
    };
    passes(rig, drivers[1], 1, 1);
    for (let round = 0; round < 3; round++) {
      pairs(2);
      passes(rig, drivers[1], 2, 1);
      passes(rig, drivers[3], 3, 3);
      pairs(1);
      passes(rig, drivers[1], 4, 1);
      assertEquals(drivers[3].take(), undefined);
    }
    assertEquals(rig.host.failures, []);
  }, { pairs: 2 });
});

/** How long vhost's log may come after the frame that it tells of, in milliseconds. */
const LOG_MS = 5000;

Deno.test("vhost: what it writes is in its log, for as long as it is asked to log", () => {
  withVhost([MRG_RXBUF], (rig) => {
    const { memory, device, host } = rig;
    const { rx } = rig.activate();
    const places = offerAll(rx);
    signal(host.queueNotifyFd(RX));
    const log = mapVhostLog(memory.slots);
    // The pages that differ after a frame has come, and those that vhost and the VMM tell of.
    const receives = (fill: number) => {
      const before = memory.bytes.slice();
      rig.socket.send(frame(1000, fill));
      const [got] = receive(rig, rx, places, 1);
      assertEquals(got, frame(1000, fill));
      const told = memory.changes ?? DirtyPages.of(memory.bytes.length);
      const pages = Array.from({ length: memory.bytes.length / 4096 }, (_, page) => page);
      const isSame = (page: number) =>
        Buffer.compare(pageOf(before, page), pageOf(memory.bytes, page)) === 0;
      const different = pages.filter((page) => !isSame(page));
      const vhostLog = new VhostLog(log);
      // vhost gives the frame to the driver first, and then writes its log.
      const deadline = Date.now() + (memory.vhostLog === undefined ? 0 : LOG_MS);
      do vhostLog.collect(told); while (
        !different.every((page) => told.has(page)) && Date.now() < deadline
      );
      const result = { different, told: pages.filter((page) => told.has(page)) };
      told.clear();
      return result;
    };
    const logs = (on: boolean) => {
      memory.vhostLog = on ? log.address : undefined;
      memory.changes = on ? DirtyPages.of(memory.bytes.length) : undefined;
      device.logWrites();
    };
    assertEquals(receives(1).told, []);
    for (let round = 0; round < 2; round++) {
      logs(true);
      for (let fill = 2; fill < 6; fill++) {
        const { different, told } = receives(fill);
        assert(different.some((page) => page >= BUFFERS / 4096), "no buffer was written to");
        assertEquals(different.filter((page) => !told.includes(page)), []);
      }
      // One that takes the rings over while there is a log writes to it from the start.
      device.change({ receiveLimit: { bytesPerSecond: 1e9 } });
      device.change({ receiveLimit: {} });
      assertEquals(device.report().backend, "vhost-net");
      const { different, told } = receives(7);
      assertEquals(different.filter((page) => !told.includes(page)), []);
      logs(false);
      assertEquals(receives(8).told, []);
    }
    assertEquals(host.failures, []);
    device.reset();
    unmapVhostLog(log);
  });
});
const pageOf = (bytes: Uint8Array, page: number) => bytes.subarray(page * 4096, (page + 1) * 4096);

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
