/**
 * A network device on a real tap, with a driver that the test plays on one side and a packet socket on the
 * other.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { Arena } from "../../../machine/arena.ts";
import { close } from "../../../sys/files.ts";
import { PacketSocket } from "../../../sys/packet_socket.ts";
import { createTap, removeTap } from "../../../sys/tap.ts";
import { VNET_HEADER_BYTES } from "../../../sys/tap_offloads.ts";
import { openTap } from "../../../sys/tap_queues.ts";
import { VIRTIO_F } from "../device.ts";
import { NetDevice } from "../net.ts";
import type { NetOptions } from "../net_options.ts";
import { RX, TX } from "../net_protocol.ts";
import { Driver, testMemory } from "./driver.ts";
import { TestHost } from "./host.ts";

/** Whether this machine has taps at all. */
export function hasTun(): boolean {
  try {
    return Deno.statSync("/dev/net/tun").isCharDevice === true;
  } catch {
    return false;
  }
}

export const BUFFERS = 0x40000;
export const FRAMES = 0x20000;
const COMMANDS = 0x30000;
const RINGS = 0x1000;
const RING_BYTES = 0x2000;
/** An ethertype for experiments (IEEE 802): nobody else on the tap sends it. */
const ETHERTYPE = 0x88b5;
export const MAC = [0x52, 0x54, 0, 0, 0, 1];

export function frame(length: number, fill: number, to: number[] = MAC): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length).fill(fill);
  bytes.set([...to, 0x52, 0x54, 0, 0, 0, 2, ETHERTYPE >> 8, ETHERTYPE & 255]);
  return bytes;
}

export function isOurs(bytes: Uint8Array): boolean {
  return bytes[12] === ETHERTYPE >> 8 && bytes[13] === (ETHERTYPE & 255);
}

/** Keeps the host's own IPv6 chatter off a tap. */
function silence(name: string): void {
  try {
    Deno.writeTextFileSync(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`, "1");
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

export interface Rig {
  name: string;
  tap: number;
  memory: ReturnType<typeof testMemory>;
  host: TestHost;
  /** Of the first pair. */
  rx: Driver;
  tx: Driver;
  /** All of them, in the device's order. */
  drivers: Driver[];
  device: NetDevice;
  socket: PacketSocket;
  /** Offers a receive buffer of these segment lengths; its address. */
  offer(...lengths: number[]): { head: number; address: number };
  /** The next frame of ours that the device filled into buffers, after its header. */
  receive(): { header: Uint8Array; frame: Uint8Array; buffers: number };
  /** Whether a frame of ours comes now. */
  receivesNothing(): boolean;
  /** Sends a frame, as the guest. */
  send(bytes: Uint8Array): void;
  /** Frames of ours that the host has seen since. */
  seen(): Uint8Array[];
  /** Gives a command over the control queue; the answer's byte. */
  command(of: number, command: number, data: ArrayLike<number>): number;
  /** Activates the device once more, with rings that are new. */
  activate(): void;
}

export interface RigOptions extends Partial<NetOptions> {
  /** Pairs of queues; 1 without. */
  pairs?: number;
}

/** Runs with a device that is activated with `features`. */
export function withTap(
  features: number[],
  run: (rig: Rig) => void,
  options: RigOptions = {},
): void {
  const { pairs = 1, ...more } = options;
  const name = `dvt${crypto.randomUUID().slice(0, 8)}`;
  createTap(name, { multiQueue: pairs > 1 });
  silence(name);
  const taps = openTap(name, { queues: pairs, exactly: true });
  using memory = testMemory(4 << 20);
  using host = new TestHost(memory, { queues: 2 * pairs + 1 });
  using socket = new PacketSocket(name);
  const eventIdx = features.includes(VIRTIO_F.EVENT_IDX);
  const drivers: Driver[] = [];
  const device = new NetDevice(new Arena(), {
    name: "net0",
    interfaceName: name,
    taps,
    vhosts: [],
    mac: "52:54:00:00:00:01",
    ...more,
  });
  for (const feature of features) assert(device.features.includes(feature), `feature ${feature}`);
  const places = new Map<number, { address: number; lengths: number[] }>();
  let next = BUFFERS;
  const rig = {
    name,
    tap: taps[0],
    memory,
    host,
    drivers,
    device,
    socket,
    get rx() {
      return drivers[RX];
    },
    get tx() {
      return drivers[TX];
    },
    offer(...lengths: number[]) {
      const address = next;
      next += lengths.reduce((sum, length) => sum + length, 0);
      let at = address;
      const buffers = lengths.map((length) => ({ address: (at += length) - length, length }));
      const head = drivers[RX].add(buffers.map((buffer) => ({ ...buffer, writable: true })));
      places.set(head, { address, lengths });
      return { head, address };
    },
    receive() {
      for (;;) {
        host.until(() => drivers[RX].usedIndex !== taken);
        const first = take();
        const header = first.slice(0, VNET_HEADER_BYTES);
        const buffers = header[10] | header[11] << 8;
        const parts = [first.subarray(VNET_HEADER_BYTES)];
        for (let i = 1; i < buffers; i++) parts.push(take());
        const frame = Uint8Array.from(parts.flatMap((part) => [...part]));
        if (isOurs(frame)) return { header, frame, buffers };
      }
    },
    receivesNothing() {
      host.turn(0);
      while (drivers[RX].usedIndex !== taken) {
        if (isOurs(take().subarray(VNET_HEADER_BYTES))) return false;
      }
      return true;
    },
    send(bytes: Uint8Array) {
      const at = FRAMES;
      memory.bytes.fill(0, at, at + VNET_HEADER_BYTES);
      memory.bytes.set(bytes, at + VNET_HEADER_BYTES);
      drivers[TX].add([{ address: at, length: VNET_HEADER_BYTES + bytes.length }]);
      device.notify(TX);
      drivers[TX].takeAll();
    },
    seen() {
      const got: Uint8Array[] = [];
      for (let one = socket.receive(); one; one = socket.receive()) if (isOurs(one)) got.push(one);
      return got;
    },
    command(of: number, command: number, data: ArrayLike<number>) {
      const control = drivers[2 * pairs];
      memory.bytes.set([of, command, ...Array.from(data)], COMMANDS);
      memory.bytes[COMMANDS + 4095] = 0xee;
      control.add([
        { address: COMMANDS, length: 2 },
        { address: COMMANDS + 2, length: data.length },
        { address: COMMANDS + 4095, length: 1, writable: true },
      ]);
      device.notify(2 * pairs);
      assertEquals(control.take()?.written, 1);
      return memory.bytes[COMMANDS + 4095];
    },
    activate() {
      drivers.length = 0;
      taken = 0;
      for (let index = 0; index <= 2 * pairs; index++) {
        const base = RINGS + index * RING_BYTES;
        const size = index === 2 * pairs ? 64 : 128;
        drivers.push(new Driver(memory, { size, base, index, eventIdx }));
      }
      const queues = drivers.map(({ setup }) => setup);
      device.activate(host, { queues, features: new Set(features) });
    },
  };
  let taken = 0;
  const take = () => {
    const used = drivers[RX].take();
    assert(used, "a frame's buffers are published together");
    taken = (taken + 1) & 0xffff;
    const { address } = places.get(used.head)!;
    return memory.bytes.slice(address, address + used.written);
  };
  try {
    host.device = device;
    rig.activate();
    run(rig);
  } finally {
    device.reset();
    assertEquals(host.watched, 0);
    for (const fd of taps) close(fd);
    removeTap(name);
  }
}
