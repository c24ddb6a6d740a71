/**
 * A network device over vhost-net, with a tap and rings that a test fills.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { Arena } from "../../hypervisor/machine/arena.ts";
import { VIRTIO_F } from "../../hypervisor/devices/virtio/device.ts";
import { NetDevice } from "../../hypervisor/devices/virtio/net.ts";
import { RX, TX, VIRTIO_NET_F } from "../../hypervisor/devices/virtio/net_protocol.ts";
import { Driver, testMemory } from "../../hypervisor/devices/virtio/testing/driver.ts";
import { TestHost } from "../../hypervisor/devices/virtio/testing/host.ts";
import { Epoll } from "../../hypervisor/sys/epoll.ts";
import { drain } from "../../hypervisor/sys/eventfd.ts";
import { close } from "../../hypervisor/sys/files.ts";
import { PacketSocket } from "../../hypervisor/sys/packet_socket.ts";
import { createTap, removeTap } from "../../hypervisor/sys/tap.ts";
import { VNET_HEADER_BYTES } from "../../hypervisor/sys/tap_offloads.ts";
import { openTap } from "../../hypervisor/sys/tap_queues.ts";
import { openVhostNet } from "../../hypervisor/sys/vhost.ts";

/** An ethertype for experiments: nobody else on the tap sends it. */
export const ETHERTYPE = 0x88b5;
export const BUFFERS = 0x40000;
export const BUFFER_BYTES = 2048;
export const FRAMES = 0x20000;
export const SIZE = 64;
export const { MRG_RXBUF } = VIRTIO_NET_F;

export function frame(length: number, fill: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length).fill(fill);
  bytes.set([0x52, 0x54, 0, 0, 0, 1, 0x52, 0x54, 0, 0, 0, 2, ETHERTYPE >> 8, ETHERTYPE & 255]);
  return bytes;
}

export const isOurs = (bytes: Uint8Array) =>
  bytes[12] === ETHERTYPE >> 8 && bytes[13] === (ETHERTYPE & 255);

export interface Rig {
  taps: number[];
  vhosts: number[];
  memory: ReturnType<typeof testMemory>;
  host: TestHost;
  device: NetDevice;
  socket: PacketSocket;
  /** New rings, and the device working on them. */
  activate(): { rx: Driver; tx: Driver; drivers: Driver[] };
  /** Waits until queue `index` is interrupted. */
  interrupted(index: number): void;
}

export function withVhost(
  features: number[],
  run: (rig: Rig) => void,
  options: { pairs?: number } = {},
): void {
  const { pairs = 1 } = options;
  const queues = 2 * pairs + 1;
  const name = `dvv${crypto.randomUUID().slice(0, 8)}`;
  createTap(name, { multiQueue: pairs > 1 });
  const taps = openTap(name, { queues: pairs, exactly: true });
  const vhosts = taps.map(openVhostNet);
  assert(vhosts.every((fd) => fd >= 0), "the lab has /dev/vhost-net");
  using memory = testMemory(4 << 20);
  using host = new TestHost(memory, { queues });
  using socket = new PacketSocket(name);
  const device = new NetDevice(new Arena(), {
    name: "net0",
    interfaceName: name,
    taps,
    vhosts,
    mac: "52:54:00:00:00:01",
  });
  host.device = device;
  for (const feature of features) assert(device.features.includes(feature), `${feature}`);
  const epoll = new Epoll();
  for (let index = 0; index < queues; index++) epoll.add(host.queueInterruptFd(index));
  try {
    run({
      taps,
      vhosts,
      memory,
      host,
      device,
      socket,
      activate() {
        const eventIdx = features.includes(VIRTIO_F.EVENT_IDX);
        const drivers = Array.from(
          { length: queues },
          (_, index) =>
            new Driver(memory, { size: SIZE, base: 0x1000 + index * 0x2000, index, eventIdx }),
        );
        const setups = drivers.map(({ setup }) => setup);
        device.activate(host, { queues: setups, features: new Set(features) });
        return { rx: drivers[RX], tx: drivers[TX], drivers };
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
    for (const fd of [...vhosts, ...taps]) close(fd);
    removeTap(name);
  }
}

/** Makes all buffers of the receive queue available. */
export function offerAll(rx: Driver): Map<number, number> {
  const places = new Map<number, number>();
  for (let i = 0; i < SIZE; i++) {
    const address = BUFFERS + i * BUFFER_BYTES;
    const head = rx.add([{ address, length: BUFFER_BYTES, writable: true }]);
    places.set(head, address);
  }
  return places;
}

/** Takes frames of ours until there are `count`. */
export function receive(
  rig: Rig,
  rx: Driver,
  places: Map<number, number>,
  count: number,
): Uint8Array[] {
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
