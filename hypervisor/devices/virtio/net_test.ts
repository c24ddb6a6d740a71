import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { carryOut } from "./net_control.ts";
import {
  ACK,
  NetConfig,
  RX,
  TX,
  VIRTIO_NET_CTRL as CLASS,
  VIRTIO_NET_CTRL_RX as MODE,
  VIRTIO_NET_F as F,
  VIRTIO_NET_S,
} from "./net_protocol.ts";
import { frame, hasTun, MAC, type Rig, withTap } from "./testing/net_rig.ts";

const ignore = !hasTun();
const CONTROL = [F.CTRL_VQ, F.CTRL_RX, F.CTRL_RX_EXTRA, F.CTRL_MAC_ADDR, F.MRG_RXBUF];
const { OK, ERR } = ACK;

function status({ device }: Rig): number {
  return device.readConfig(NetConfig.offsets.status, 2);
}

function offerSome({ offer, device }: Rig): void {
  for (let i = 0; i < 100; i++) offer(1600);
  device.notify(RX);
}

Deno.test({ name: "the configuration has address, link, queues and MTU", ignore }, () => {
  withTap([F.MQ, F.CTRL_VQ, F.MTU], ({ device }) => {
    assertEquals(MAC.map((_, i) => device.readConfig(i, 1)), MAC);
    assertEquals(device.readConfig(NetConfig.offsets.status, 2), VIRTIO_NET_S.LINK_UP);
    assertEquals(device.readConfig(NetConfig.offsets.max_virtqueue_pairs, 2), 3);
    assertEquals(device.readConfig(NetConfig.offsets.mtu, 2), 1400);
    assertEquals(device.readConfig(NetConfig.size, 4), 0);
    assertEquals(device.queueSizes, [256, 256, 256, 256, 256, 256, 64]);
  }, { pairs: 3, mtu: 1400 });
  withTap([], ({ device }) => {
    for (const feature of [F.MQ, F.MTU]) assert(!device.features.includes(feature));
  });
});

Deno.test(
  {
    name: "with its link down, no frame passes either way, and the host's are not late but lost",
    ignore,
  },
  () => {
    withTap([F.STATUS, F.MRG_RXBUF], (rig) => {
      const { device, host, socket, receive, receivesNothing, send, seen } = rig;
      offerSome(rig);
      socket.send(frame(100, 1));
      assertEquals(receive().frame, frame(100, 1));
      send(frame(100, 2));
      assertEquals(seen().length, 1);

      device.change({ linkUp: false });
      assertEquals(host.configChanges, 1);
      assertEquals(status(rig), 0);
      assertEquals(device.report().linkUp, false);
      assertEquals(host.watched, 0);
      try {
        socket.send(frame(100, 3));
      } catch {
        // The interface may know already that it is down.
      }
      send(frame(100, 4));
      host.turn(50);
      assertEquals(seen().filter((bytes) => bytes[20] === 4), []);
      device.change({ linkUp: false });
      assertEquals(host.configChanges, 1);

      device.change({ linkUp: true });
      assertEquals(host.configChanges, 2);
      assertEquals(status(rig), VIRTIO_NET_S.LINK_UP);
      assertEquals(receivesNothing(), true);
      socket.send(frame(100, 5));
      assertEquals(receive().frame, frame(100, 5));
      send(frame(100, 6));
      assert(seen().some((bytes) => bytes[20] === 6));
    });
  },
);

Deno.test(
  { name: "a card can begin with its cable out, and outlives resets like that", ignore },
  () => {
    withTap([F.STATUS], (rig) => {
      assertEquals(status(rig), 0);
      rig.device.reset();
      rig.activate();
      assertEquals(status(rig), 0);
      assertEquals(rig.host.watched, 0);
      rig.device.change({ linkUp: true });
      offerSome(rig);
      rig.socket.send(frame(100, 5));
      assertEquals(rig.receive().frame, frame(100, 5));
    }, { linkUp: false });
  },
);

Deno.test({ name: "pairs of queues are served as the driver asks for them", ignore }, () => {
  withTap([F.MQ, ...CONTROL], (rig) => {
    const { host, device, command, drivers, memory, seen } = rig;
    const pairs = (n: number) => command(CLASS.MQ, 0, [n & 255, n >> 8]);
    // One pair's two queues, the control queue, and nothing of the others.
    assertEquals(host.watched, 3);
    for (const wrong of [0, 4, 0x8000]) assertEquals(pairs(wrong), ERR);
    assertEquals(pairs(3), OK);
    assertEquals(host.watched, 7);
    assertEquals(device.report().queuePairs, { active: 3, most: 3 });
    // A frame from each pair.
    for (const index of [1, 3, 5]) {
      memory.bytes.set(frame(100, index), 0x20000 + 12);
      drivers[index].add([{ address: 0x20000, length: 112 }]);
      device.notify(index);
      assertEquals(drivers[index].take()?.written, 0);
    }
    assertEquals(seen().map((bytes) => bytes[20]), [1, 3, 5]);
    assertEquals(pairs(2), OK);
    assertEquals(host.watched, 5);
    assertEquals(pairs(1), OK);
    assertEquals(host.watched, 3);
    assertEquals(pairs(3), OK);
    device.reset();
    assertEquals(host.watched, 0);
    rig.activate();
    assertEquals(host.watched, 3);
  }, { pairs: 3 });
});

Deno.test({ name: "frames to a guest with several pairs arrive at some of them", ignore }, () => {
  withTap([F.MQ, ...CONTROL], ({ command, drivers, device, socket, host }) => {
    command(CLASS.MQ, 0, [2, 0]);
    for (const index of [0, 2]) {
      for (let i = 0; i < 20; i++) {
        const address = 0x40000 + index * 0x10000 + i * 2048;
        drivers[index].add([{ address, length: 2048, writable: true }]);
      }
      device.notify(index);
    }
    for (let i = 0; i < 10; i++) socket.send(frame(100, i));
    host.until(() => drivers[0].usedIndex + drivers[2].usedIndex >= 10);
  }, { pairs: 2 });
});

Deno.test({ name: "without MQ the third queue is the control queue", ignore }, () => {
  withTap(CONTROL, ({ drivers, memory, device }) => {
    memory.bytes.set([CLASS.RX, MODE.PROMISC, 0], 0x30000);
    drivers[2].add([{ address: 0x30000, length: 3 }, {
      address: 0x30100,
      length: 1,
      writable: true,
    }]);
    device.notify(2);
    assertEquals(drivers[2].take()?.written, 1);
    assertEquals(memory.bytes[0x30100], OK);
  }, { pairs: 2 });
});

Deno.test({ name: "the driver's receive mode is the tap's filter", ignore }, () => {
  withTap(CONTROL, (rig) => {
    const { command, socket, receive, receivesNothing } = rig;
    offerSome(rig);
    const other = [0x52, 0x54, 0, 0, 0, 9];
    socket.send(frame(100, 1, other));
    assertEquals(receive().frame[20], 1);
    assertEquals(command(CLASS.RX, MODE.PROMISC, [0]), OK);
    socket.send(frame(100, 2, other));
    assertEquals(receivesNothing(), true);
    socket.send(frame(100, 3));
    assertEquals(receive().frame[20], 3);
    assertEquals(command(CLASS.MAC, 0, [1, 0, 0, 0, ...other, 0, 0, 0, 0]), OK);
    socket.send(frame(100, 4, other));
    assertEquals(receive().frame[20], 4);
    assertEquals(command(CLASS.MAC, 0, [2, 0, 0, 0, ...other, 0, 0, 0, 0]), ERR);
    rig.device.reset();
    rig.activate();
    offerSome(rig);
    socket.send(frame(100, 5, [0x52, 0x54, 0, 0, 0, 8]));
    assertEquals(receive().frame[20], 5);
  });
});

Deno.test({ name: "the driver may take another address until it is reset", ignore }, () => {
  withTap(CONTROL, (rig) => {
    const { command, device, socket, receive, receivesNothing } = rig;
    const mac = [0x02, 1, 2, 3, 4, 5];
    offerSome(rig);
    assertEquals(command(CLASS.RX, MODE.PROMISC, [0]), OK);
    assertEquals(command(CLASS.MAC, 1, mac), OK);
    assertEquals(device.report().mac, "02:01:02:03:04:05");
    assertEquals(device.readConfig(0, 1), 2);
    socket.send(frame(100, 1));
    assertEquals(receivesNothing(), true);
    socket.send(frame(100, 2, mac));
    assertEquals(receive().frame[20], 2);
    assertEquals(command(CLASS.MAC, 1, [0x03, 1, 2, 3, 4, 5]), ERR);
    assertEquals(command(CLASS.MAC, 1, [0, 0, 0, 0, 0, 0]), ERR);
    device.reset();
    assertEquals(device.report().mac, "52:54:00:00:00:01");
  });
});

Deno.test({ name: "offloads change within what was negotiated", ignore }, () => {
  const features = [...CONTROL, F.CTRL_GUEST_OFFLOADS, F.GUEST_CSUM, F.GUEST_TSO4];
  withTap(features, ({ command }) => {
    const set = (...bits: number[]) => {
      const mask = new Uint8Array(8);
      for (const bit of bits) mask[bit >> 3] |= 1 << (bit & 7);
      return command(CLASS.GUEST_OFFLOADS, 0, mask);
    };
    assertEquals(set(), OK);
    assertEquals(set(F.GUEST_CSUM, F.GUEST_TSO4), OK);
    for (const wrong of [F.GUEST_TSO6, F.MAC, F.GUEST_USO4, 63]) {
      assertEquals(set(F.GUEST_CSUM, wrong), ERR, `${wrong}`);
    }
  });
});

Deno.test({ name: "commands whose feature was not negotiated are refused", ignore }, () => {
  withTap([F.CTRL_VQ], ({ command }) => {
    assertEquals(command(CLASS.RX, MODE.PROMISC, [1]), ERR);
    assertEquals(command(CLASS.MAC, 1, MAC), ERR);
    assertEquals(command(CLASS.MQ, 0, [1, 0]), ERR);
    assertEquals(command(CLASS.GUEST_OFFLOADS, 0, new Uint8Array(8)), ERR);
    assertEquals(command(CLASS.ANNOUNCE, 0, []), ERR);
    assertEquals(command(99, 0, []), ERR);
  });
});

Deno.test({ name: "a guest is asked to announce itself until it has", ignore }, () => {
  withTap([...CONTROL, F.STATUS, F.GUEST_ANNOUNCE], (rig) => {
    rig.device.change({ announce: true });
    assertEquals(rig.host.configChanges, 1);
    assertEquals(status(rig), VIRTIO_NET_S.LINK_UP | VIRTIO_NET_S.ANNOUNCE);
    assertEquals(rig.command(CLASS.ANNOUNCE, 0, []), OK);
    assertEquals(status(rig), VIRTIO_NET_S.LINK_UP);
  });
});

Deno.test({
  name: "a card that has moved is announced at once, and its guest asked for more",
  ignore,
}, () => {
  withTap([...CONTROL, F.STATUS, F.GUEST_ANNOUNCE], (rig) => {
    const { device, socket, host } = rig;
    const announced = () => {
      const frames: Uint8Array[] = [];
      for (let one = socket.receive(); one; one = socket.receive()) {
        if (one[12] === 0x80 && one[13] === 0x35) frames.push(one);
      }
      return frames;
    };
    device.announce({ first: true });
    device.announce({ first: false });
    assertEquals(announced().length, 2);
    assertEquals([host.configChanges, status(rig)], [
      1,
      VIRTIO_NET_S.LINK_UP | VIRTIO_NET_S.ANNOUNCE,
    ]);
    // The address that the driver chose counts, and not the one that the card began with.
    const mac = [0x52, 0x54, 0, 1, 2, 3];
    assertEquals(rig.command(CLASS.MAC, 1, mac), OK);
    device.announce({ first: false });
    const [frame] = announced();
    const none = [0, 0, 0, 0];
    assertEquals([...frame], [
      ...[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, ...mac, 0x80, 0x35],
      ...[0, 1, 8, 0, 6, 4, 0, 3, ...mac, ...none, ...mac, ...none],
      ...new Array(18).fill(0),
    ]);
    device.change({ linkUp: false });
    device.announce({ first: true });
    device.reset();
    device.announce({ first: true });
    assertEquals(announced(), []);
    rig.activate();
  });
});

Deno.test({ name: "limits hold in their direction, and can be changed", ignore }, () => {
  // A debt takes longer to pay than the test.
  const limit = { bytesPerSecond: 1, bytesBurst: 250 };
  withTap([F.MRG_RXBUF], (rig) => {
    const { device, socket, host, tx, memory, seen, receive, receivesNothing } = rig;
    offerSome(rig);
    for (let i = 0; i < 6; i++) socket.send(frame(100, i));
    for (let i = 0; i < 3; i++) assertEquals(receive().frame[20], i);
    assertEquals(receivesNothing(), true);
    assertEquals(host.timers, 1);
    assertEquals((device.report().receiveLimit as { waits: number }).waits, 1);
    device.change({ receiveLimit: {} });
    for (let i = 3; i < 6; i++) assertEquals(receive().frame[20], i);
    assertEquals(host.timers, 0);

    seen();
    device.change({ sendLimit: limit });
    memory.bytes.set(frame(100, 7), 0x20000 + 12);
    for (let i = 0; i < 5; i++) tx.add([{ address: 0x20000, length: 112 }]);
    device.notify(TX);
    assertEquals(seen().length, 3);
    assertEquals(tx.takeAll().length, 3);
    assertEquals(host.timers, 1);
    device.change({ sendLimit: {} });
    assertEquals(seen().length, 2);
    device.change({ sendLimit: limit });
    for (let i = 0; i < 5; i++) tx.add([{ address: 0x20000, length: 112 }]);
    device.notify(TX);
    assertEquals(host.timers, 1);
    device.reset();
    assertEquals(host.timers, 0);
  }, { receiveLimit: limit });
});

Deno.test({ name: "what cannot be changed is named, and nothing is done", ignore }, () => {
  withTap([], ({ device, host }) => {
    const refused = (change: Record<string, unknown>, says: string) => {
      const error = assertThrows(() => device.change({ linkUp: false, ...change }));
      assert((error as Error).message.includes(says), (error as Error).message);
      assertEquals(device.report().linkUp, true);
    };
    refused({ mtu: 9000 }, 'Cannot change net0\'s "mtu"');
    refused({ linkUp: "yes" }, 'net0\'s linkUp to "yes"');
    refused({ receiveLimit: { bytesPerSecond: 0 } }, "net0's receiveLimit bytesPerSecond 0");
    refused({ sendLimit: 7 }, "net0's sendLimit 7");
    assertEquals(host.configChanges, 0);
  });
});

Deno.test({ name: "counters are the tap's, and say what did not fit", ignore }, () => {
  withTap([], (rig) => {
    const { device, socket, offer, send, receive } = rig;
    for (let i = 0; i < 10; i++) offer(500);
    device.notify(RX);
    socket.send(frame(1000, 1));
    socket.send(frame(100, 2));
    receive();
    send(frame(300, 3));
    const report = device.report() as {
      received: { frames: number; bytes: number };
      sent: { frames: number; bytes: number };
      oversized: number;
      backend: string;
    };
    assertEquals(report.backend, "tap");
    assertEquals(report.oversized, 1);
    assert(report.received.frames >= 2 && report.received.bytes >= 1100);
    assertEquals([report.sent.frames, report.sent.bytes], [1, 300]);
    JSON.stringify(report);
  });
});

Deno.test(
  { name: "an interface that is removed under a device silences it, nothing more", ignore },
  () => {
    withTap([F.MQ, ...CONTROL], (rig) => {
      assertEquals(rig.command(CLASS.MQ, 0, [2, 0]), OK);
      offerSome(rig);
      new Deno.Command("ip", { args: ["link", "del", rig.name] }).outputSync();
      rig.host.turn(10);
      rig.send(frame(100, 1));
      assertEquals(rig.command(CLASS.RX, MODE.PROMISC, [0]), ERR);
      assertEquals(rig.device.report().received, null);
      assertEquals(rig.host.failures, []);
    }, { pairs: 2 });
  },
);

Deno.test("whatever bytes a command has, it is carried out whole or refused", () => {
  const small = fc.oneof(fc.integer({ min: 0, max: 5 }), fc.nat(255));
  fc.assert(
    fc.property(
      small,
      small,
      fc.uint8Array({ maxLength: 20 }),
      fc.nat(30),
      (of, command, data, length) => {
        const bytes = new Uint8Array(1000);
        bytes.set([of, command, ...data]);
        const calls: string[] = [];
        const call = (name: string) => (): boolean => calls.push(name) > 0;
        const done = carryOut(bytes, 2 + length, {
          setRxMode: call("mode"),
          setTables: call("tables"),
          setMac: call("mac"),
          announced: call("announced"),
          setPairs: call("pairs"),
          setOffloads: call("offloads"),
        });
        assertEquals(calls.length, done ? 1 : 0);
      },
    ),
  );
});
