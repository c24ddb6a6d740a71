import { assert, assertEquals } from "@std/assert";
import { PacketSocket } from "../../sys/packet_socket.ts";
import { VNET_HEADER_BYTES } from "../../sys/tap_offloads.ts";
import { VIRTIO_F } from "./device.ts";
import { RX, TX, VIRTIO_NET_F } from "./net_protocol.ts";
import { BUFFERS, frame, FRAMES, hasTun, isOurs, withTap } from "./testing/net_rig.ts";

const ignore = !hasTun();

const { MRG_RXBUF, GUEST_CSUM, GUEST_TSO4 } = VIRTIO_NET_F;

for (const features of [[], [VIRTIO_F.EVENT_IDX], [VIRTIO_F.EVENT_IDX, MRG_RXBUF]]) {
  const title = features.map((bit) => bit === MRG_RXBUF ? "MRG_RXBUF" : "EVENT_IDX").join(", ");

  Deno.test({ name: `[${title}] frames from the host reach the guest in order`, ignore }, () => {
    withTap(features, ({ device, socket, offer, receive }) => {
      for (let i = 0; i < 60; i++) offer(100, 1500);
      device.notify(RX);
      for (let i = 1; i <= 20; i++) socket.send(frame(60 + 50 * i, i));
      for (let i = 1; i <= 20; i++) {
        const got = receive();
        assertEquals(got.frame, frame(60 + 50 * i, i));
        assertEquals(got.buffers, 1);
      }
    });
  });

  Deno.test({ name: `[${title}] frames from the guest reach the host`, ignore }, () => {
    withTap(features, ({ memory, device, socket, tx, host }) => {
      for (let i = 1; i <= 20; i++) {
        const at = FRAMES + i * 4096;
        memory.bytes.set(frame(60 + 50 * i, i), at + VNET_HEADER_BYTES);
        tx.add([
          { address: at, length: VNET_HEADER_BYTES + 20 },
          { address: at + VNET_HEADER_BYTES + 20, length: 40 + 50 * i },
        ]);
      }
      device.notify(TX);
      assertEquals(tx.takeAll().map((used) => used.written), new Array(20).fill(0));
      assertEquals(host.interrupts[TX], 1);
      const got: Uint8Array[] = [];
      for (let one = socket.receive(); one; one = socket.receive()) if (isOurs(one)) got.push(one);
      assertEquals(got.length, 20);
      got.forEach((bytes, i) => assertEquals(bytes, frame(60 + 50 * (i + 1), i + 1)));
    });
  });
}

Deno.test(
  { name: "a frame larger than a buffer is spread over as many as it takes", ignore },
  () => {
    withTap([MRG_RXBUF], ({ device, socket, offer, receive }) => {
      for (let i = 0; i < 60; i++) offer(200);
      device.notify(RX);
      socket.send(frame(1000, 5));
      const got = receive();
      assertEquals(got.buffers, 6);
      assertEquals(got.frame, frame(1000, 5));
    });
  },
);

Deno.test(
  { name: "num_buffers is right also where the header is spread over segments", ignore },
  () => {
    withTap([MRG_RXBUF], ({ device, socket, offer, receive }) => {
      for (let i = 0; i < 60; i++) offer(11, 1, 188);
      device.notify(RX);
      socket.send(frame(300, 5));
      assertEquals(receive().buffers, 2);
    });
  },
);

Deno.test({ name: "a frame that does not fit is dropped, not cut short", ignore }, () => {
  withTap([], ({ device, socket, offer, receive }) => {
    for (let i = 0; i < 60; i++) offer(500);
    device.notify(RX);
    socket.send(frame(1000, 1));
    socket.send(frame(100, 2));
    assertEquals(receive().frame, frame(100, 2));
  });
});

Deno.test(
  { name: "without buffers the tap is left alone until the guest adds some", ignore },
  () => {
    withTap([VIRTIO_F.EVENT_IDX], ({ device, socket, offer, receive, host, rx }) => {
      device.notify(RX);
      // Both queues' notifications, and not the tap.
      assertEquals(host.watched, 2);
      socket.send(frame(100, 3));
      const before = rx.availIndex;
      for (let i = 0; i < 60; i++) offer(1600);
      assert(rx.wantsKick(before));
      device.notify(RX);
      assertEquals(receive().frame, frame(100, 3));
    });
  },
);

Deno.test({ name: "input 4: a loop costs the chain", ignore }, () => {
  withTap([], ({ device, tx, host }) => {
    tx.describe(7, { address: FRAMES, length: 100, flags: 1, next: 7 });
    tx.offer(7);
    device.notify(TX);
    assertEquals(tx.take(), { head: 7, written: 0 });
    assertEquals(host.failures, []);
  });
});

Deno.test({ name: "input 6: a head that is twice in flight costs the device", ignore }, () => {
  withTap([MRG_RXBUF], ({ device, rx, host }) => {
    rx.describe(7, { address: BUFFERS, length: 2000, flags: 2, next: 0 });
    rx.offer(7);
    rx.offer(7);
    device.notify(RX);
    assertEquals(host.failures, [
      "queue 0: head 7 was made available again while it is in use",
    ]);
    assertEquals(host.watched, 0);
  });
});

Deno.test({ name: "a receive buffer smaller than the header goes back unused", ignore }, () => {
  withTap([MRG_RXBUF], ({ device, rx, offer }) => {
    const { head } = offer(11);
    device.notify(RX);
    assertEquals(rx.take(), { head, written: 0 });
  });
});

/** A TCP segment of `payload` bytes to be cut at 1400, behind a virtio_net_hdr (section 5.1.6) that says so. */
function segment(payload: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(10 + 14 + 20 + 20 + payload);
  const view = new DataView(bytes.buffer);
  bytes.set([1, 1], 0); // NEEDS_CSUM, GSO_TCPV4
  view.setUint16(2, 54, true);
  view.setUint16(4, 1400, true);
  view.setUint16(6, 34, true);
  view.setUint16(8, 16, true);
  bytes.set([0x52, 0x54, 0, 0, 0, 1, 0x52, 0x54, 0, 0, 0, 2, 8, 0], 10);
  bytes.set([0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 9, 8, 1, 10, 9, 8, 2], 24);
  view.setUint16(26, 40 + payload);
  bytes.set([0x50, 0x10], 10 + 34 + 12);
  return bytes;
}

for (const large of [true, false]) {
  const title = large
    ? "a driver that takes large segments gets them whole"
    : "a driver that does not take large segments gets frames";
  Deno.test({ name: title, ignore }, () => {
    const features = large ? [GUEST_CSUM, GUEST_TSO4, MRG_RXBUF] : [MRG_RXBUF];
    withTap(features, ({ name, device, offer, host, rx, memory }) => {
      const places = Array.from({ length: 60 }, () => offer(1600));
      device.notify(RX);
      using socket = new PacketSocket(name, { vnetHeader: true });
      socket.send(segment(4000));
      const sizes: number[] = [];
      let bytes = 0;
      let gsoSize = -1;
      host.until(() => {
        for (let used = rx.take(); used; used = rx.take()) {
          const { address } = places.find(({ head }) => head === used.head)!;
          const isTcp = memory.bytes[address + 12 + 12] === 8 && memory.bytes[address + 35] === 6;
          if (sizes.length === 0 && !isTcp) continue;
          if (gsoSize < 0) gsoSize = memory.view.getUint16(address + 4, true);
          sizes.push(used.written);
          bytes += used.written;
        }
        return bytes >= (large ? 12 + 54 + 4000 : 3 * (12 + 54) + 4000);
      });
      // Whole, it fills buffers to the brim; cut, each frame has a buffer and a header of its own.
      assertEquals(sizes, large ? [1600, 1600, 866] : [1466, 1466, 1266]);
      assertEquals(gsoSize, large ? 1400 : 0);
    });
  });
}
