/**
 * Devices that connect a guest with the world: network cards and sockets.
 *
 * @module
 */
import fc from "fast-check";
import { NetDevice } from "../../hypervisor/devices/virtio/net.ts";
import { TX as NET_TX } from "../../hypervisor/devices/virtio/net_protocol.ts";
import { testMemory } from "../../hypervisor/devices/virtio/testing/driver.ts";
import { VsockDevice } from "../../hypervisor/devices/virtio/vsock.ts";
import {
  HOST_CID,
  RX,
  TX,
  VIRTIO_VSOCK_OP,
  VIRTIO_VSOCK_TYPE_STREAM,
} from "../../hypervisor/devices/virtio/vsock_protocol.ts";
import { Arena } from "../../hypervisor/machine/arena.ts";
import { close } from "../../hypervisor/sys/files.ts";
import { createTap, removeTap } from "../../hypervisor/sys/tap.ts";
import { openTap } from "../../hypervisor/sys/tap_queues.ts";
import { listenUnix } from "../../hypervisor/sys/unix_sockets.ts";
import { bytesOf, mostly, u16, u32, u8 } from "./arbitraries.ts";
import { type DeviceKind, MEMORY_BYTES, type Request, spoiled } from "./device_kind.ts";

const PAIRS = 2;
const HEADER_BYTES = 12;
const FRAME = [...new Array(12).fill(2), 0x88, 0xB5, ...new Array(46).fill(0)];

/** Made once for each process, as that takes long. */
let tap: string | undefined;

function ourTap(): string {
  if (tap === undefined) {
    const name = tap = `fuzz${Deno.pid}`;
    createTap(name, { multiQueue: true });
    globalThis.addEventListener("unload", () => removeTap(name));
  }
  return tap;
}

const virtioNetHeader = fc.tuple(
  ...[[mostly(fc.nat(7), u8), 1], [mostly(fc.nat(5), u8), 1], [fc.nat(100), 2], [fc.nat(1500), 2]]
    .concat([[fc.nat(100), 2], [fc.nat(16), 2], [fc.nat(2), 2]])
    .map(([value, size]) =>
      mostly(fc.constant(0), value as fc.Arbitrary<number>, 2).map((
        n,
      ): [number, 1 | 2] => [n, size as 1 | 2])
    ),
).map((fields) => bytesOf(...fields));

/** Class, command and data of the control queue's, which is behind the pairs. */
const netCommand: fc.Arbitrary<Request> = fc.record({
  queue: mostly(fc.constant(2 * PAIRS), fc.constant(2)),
  of: mostly(fc.constantFrom(0, 1, 3, 4, 5), u8),
  command: mostly(fc.nat(5), u8),
  data: fc.oneof(
    fc.constantFrom([0], [1], [1, 0], [2, 0], [0x52, 0x54, 0, 0, 0, 9], new Array(8).fill(0)),
    fc.tuple(mostly(fc.nat(4), u32), mostly(fc.nat(4), u32)).map(([unicast, multicast]) => [
      ...bytesOf([unicast, 4]),
      ...new Array(Math.min(unicast, 40) * 6).fill(2),
      ...bytesOf([multicast, 4]),
      ...new Array(Math.min(multicast, 40) * 6).fill(3),
    ]),
    fc.array(u8, { maxLength: 40 }),
  ),
}).map(({ queue, of, command, data }) => ({
  queue,
  readable: [[of, command], data],
  writable: [1],
}));

const net: DeviceKind = {
  request: spoiled(fc.oneof(
    fc.record({
      queue: fc.nat(1).map((pair) => 2 * pair + NET_TX),
      header: virtioNetHeader,
      length: mostly(fc.constant(FRAME.length), fc.nat(3000)),
    }).map(({ queue, header, length }) => ({
      queue,
      readable: [header, Array.from({ length }, (_, i) => FRAME[i % FRAME.length])],
      writable: [],
    })),
    fc.record({
      queue: fc.nat(1).map((pair) => 2 * pair),
      writable: mostly(
        fc.constantFrom<number[]>([1526], [4096], [12, 1514]),
        fc.array(fc.nat(100), { maxLength: 5 }),
      ),
    }).map(({ queue, writable }) => ({ queue, readable: [], writable })),
    netCommand,
  )),
  good: { queue: NET_TX, readable: [new Array(HEADER_BYTES).fill(0), FRAME], writable: [] },
  create() {
    const interfaceName = ourTap();
    const taps = openTap(interfaceName, { queues: PAIRS, exactly: true });
    const memory = testMemory(MEMORY_BYTES);
    const arena = new Arena();
    const device = new NetDevice(arena, {
      ...{ name: "net0", interfaceName, taps, vhosts: [], mac: "52:54:00:00:00:01" },
    });
    return {
      arena,
      memory,
      device,
      [Symbol.dispose]() {
        for (const fd of taps) close(fd);
        memory[Symbol.dispose]();
      },
    };
  },
};

const CID = 3;
/** Somebody listens on it, who never accepts. */
const OPEN_PORT = 52;

function packet(fields: {
  op: number;
  src?: number;
  dst?: number;
  guestPort?: number;
  hostPort?: number;
  length?: number;
  type?: number;
  flags?: number;
  credit?: number;
  taken?: number;
}): number[] {
  const { op, src = CID, dst = HOST_CID, guestPort = 1000, hostPort = OPEN_PORT } = fields;
  const { length = 0, type = VIRTIO_VSOCK_TYPE_STREAM, flags = 0, credit = 65536, taken = 0 } =
    fields;
  return bytesOf(
    ...[src, dst].map((cid): [number, 8] => [cid, 8]),
    ...[guestPort, hostPort, length].map((word): [number, 4] => [word, 4]),
    ...[type, op].map((half): [number, 2] => [half, 2]),
    ...[flags, credit, taken].map((word): [number, 4] => [word, 4]),
  );
}

const vsock: DeviceKind = {
  isStrict: true,
  request: spoiled(fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({
        op: mostly(fc.constantFrom<number>(1, 1, ...Object.values(VIRTIO_VSOCK_OP)), u16),
        src: mostly(fc.constant(CID), u32),
        dst: mostly(fc.constant(HOST_CID), u32),
        guestPort: mostly(fc.integer({ min: 1000, max: 1003 }), u32),
        hostPort: mostly(fc.constant(OPEN_PORT), u32, 5),
        type: mostly(fc.constant(VIRTIO_VSOCK_TYPE_STREAM), u16),
        flags: mostly(fc.nat(3), u32),
        credit: mostly(fc.constantFrom(0, 4096, 65536), u32),
        taken: mostly(fc.constant(0), u32),
        payload: fc.nat(3000),
        lie: mostly(fc.constant(0), fc.oneof(fc.integer({ min: -50, max: 50 }), u32)),
      }).map(({ payload, lie, ...fields }) => ({
        queue: TX,
        readable: [
          packet({ ...fields, length: Math.max(0, payload + lie) % 2 ** 32 }),
          new Array(payload).fill(0x61),
        ].filter((bytes) => bytes.length > 0),
        writable: [],
      })),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        queue: mostly(fc.constant(RX), fc.constant(2)),
        writable: mostly(
          fc.constantFrom<number[]>([4096], [44, 4096]),
          fc.array(fc.nat(100), { maxLength: 4 }),
        ),
      }).map(({ queue, writable }) => ({ queue, readable: [], writable })),
    },
  )),
  good: { queue: TX, readable: [packet({ op: VIRTIO_VSOCK_OP.RST })], writable: [] },
  create() {
    const folder = Deno.makeTempDirSync();
    const path = `${folder}/vsock`;
    const fds = [path, `${path}_${OPEN_PORT}`].map((at) => listenUnix(at));
    const memory = testMemory(MEMORY_BYTES);
    const device = new VsockDevice({ name: "vsock0", cid: CID, listener: fds[0], path });
    return {
      arena: new Arena(),
      memory,
      device,
      [Symbol.dispose]() {
        for (const fd of fds) close(fd);
        Deno.removeSync(folder, { recursive: true });
        memory[Symbol.dispose]();
      },
    };
  },
};

/** Without a tap, a card cannot be had. */
export const STREAM_KINDS = { net, vsock } as const;
