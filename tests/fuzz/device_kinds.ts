/**
 * The devices that are fuzzed, each with what its driver says.
 *
 * @module
 */
import fc from "fast-check";
import { BalloonDevice } from "../../hypervisor/devices/virtio/balloon.ts";
import { BlockDevice } from "../../hypervisor/devices/virtio/block.ts";
import type { EngineKind } from "../../hypervisor/devices/virtio/block_engine.ts";
import { VIRTIO_BLK_T } from "../../hypervisor/devices/virtio/block_protocol.ts";
import { ConsoleDevice } from "../../hypervisor/devices/virtio/console.ts";
import { CONTROL_TX, VIRTIO_CONSOLE } from "../../hypervisor/devices/virtio/console_protocol.ts";
import { closeDisk, openDisk } from "../../hypervisor/devices/virtio/disk.ts";
import { MemDevice, VIRTIO_MEM_REQ } from "../../hypervisor/devices/virtio/mem.ts";
import { RngDevice } from "../../hypervisor/devices/virtio/rng.ts";
import { testMemory } from "../../hypervisor/devices/virtio/testing/driver.ts";
import { TestRam } from "../../hypervisor/devices/virtio/testing/ram.ts";
import { Arena } from "../../hypervisor/machine/arena.ts";
import { close } from "../../hypervisor/sys/files.ts";
import { listenUnix } from "../../hypervisor/sys/unix_sockets.ts";
import { bytesOf, mostly, u16, u32, u8 } from "./arbitraries.ts";
import { type DeviceKind, MEMORY_BYTES, type Request, spoiled } from "./device_kind.ts";

const MiB = 2 ** 20;

const bytes = (maxLength: number) => fc.array(u8, { maxLength });

const rng: DeviceKind = {
  request: fc.record({
    queue: fc.constant(0),
    readable: mostly(fc.constant([]), fc.array(bytes(64), { maxLength: 2 })),
    writable: fc.array(fc.integer({ min: 0, max: 6000 }), { maxLength: 4 }),
  }),
  good: { queue: 0, readable: [], writable: [64] },
  create() {
    const memory = testMemory(MEMORY_BYTES);
    const device = new RngDevice({ name: "rng0" });
    return { arena: new Arena(), memory, device, [Symbol.dispose]: () => memory[Symbol.dispose]() };
  },
};

const DISK_SECTORS = 64;
const { IN, OUT, FLUSH, GET_ID } = VIRTIO_BLK_T;
/** Also those that are only offered sometimes: discard, write zeroes, and what is out of use. */
const BLOCK_TYPES = [IN, IN, OUT, OUT, FLUSH, GET_ID, 11, 13, 14, 2];

const blockRequest: fc.Arbitrary<Request> = fc.record({
  queue: mostly(fc.constant(0), fc.constant(1)),
  type: mostly(fc.constantFrom(...BLOCK_TYPES), u32),
  sector: mostly(fc.integer({ min: 0, max: DISK_SECTORS }), fc.oneof(u32, fc.constant(2 ** 63))),
  count: fc.integer({ min: 0, max: 8 }),
  segment: fc.tuple(
    mostly(fc.nat(DISK_SECTORS), u32),
    mostly(fc.nat(16), u32),
    mostly(fc.nat(1), u32),
  ),
}).map(({ queue, type, sector, count, segment }) => {
  const header = bytesOf([type, 4], [0, 4], [sector, 8]);
  const data = new Array(512 * count).fill(type & 0xFF);
  const [at, sectors, flags] = segment;
  if (type === IN) return { queue, readable: [header], writable: [512 * count, 1] };
  if (type === OUT) return { queue, readable: [header, data], writable: [1] };
  if (type === GET_ID) return { queue, readable: [header], writable: [20, 1] };
  const range = bytesOf([at, 8], [sectors, 4], [flags, 4]);
  return { queue, readable: [header, range], writable: [1] };
});

function block(engine: EngineKind): DeviceKind {
  return {
    request: spoiled(blockRequest),
    good: { queue: 0, readable: [bytesOf([IN, 4], [0, 4], [0, 8])], writable: [512, 1] },
    create() {
      const path = Deno.makeTempFileSync();
      Deno.truncateSync(path, DISK_SECTORS * 512);
      const disk = openDisk(path, {});
      Deno.removeSync(path);
      const arena = new Arena();
      const memory = testMemory(MEMORY_BYTES);
      const device = new BlockDevice({ name: "block0", disk, queues: 2, engine }, { arena });
      return {
        arena,
        memory,
        device,
        [Symbol.dispose]() {
          closeDisk(disk);
          memory[Symbol.dispose]();
        },
      };
    },
  };
}

const PAGES = MEMORY_BYTES / 4096;
const PFN = mostly(fc.nat(PAGES - 1), fc.oneof(fc.nat(2 * PAGES), u32));

const balloon: DeviceKind = {
  // A driver may give away the pages of its own rings.
  isStrict: true,
  discards: true,
  request: spoiled(fc.oneof(
    fc.record({ queue: fc.constantFrom(0, 1), pfns: fc.array(PFN, { maxLength: 300 }) }).map((
      { queue, pfns },
    ) => ({
      queue,
      readable: [bytesOf(...pfns.map((pfn): [number, 4] => [pfn, 4]))],
      writable: [],
    })),
    fc.array(fc.tuple(mostly(fc.nat(16), u16), u32), { maxLength: 20 }).map((all) => ({
      queue: 2,
      readable: [
        bytesOf(...all.flatMap(([tag, value]): [number, 2 | 8][] => [[tag, 2], [value, 8]])),
      ],
      writable: [],
    })),
    fc.array(fc.constantFrom(4096, 8192, 512, 1), { maxLength: 6 }).map((writable) => ({
      queue: 3,
      readable: [],
      writable,
    })),
  )),
  good: { queue: 0, readable: [bytesOf([50, 4])], writable: [] },
  create() {
    const memory = testMemory(MEMORY_BYTES);
    const arena = new Arena();
    const device = new BalloonDevice(arena, { name: "balloon0", memoryMiB: 1 });
    return { arena, memory, device, [Symbol.dispose]: () => memory[Symbol.dispose]() };
  },
};

const BLOCK_BYTES = 2 * MiB;
const MEM_BLOCKS = 8;
/** Where memory can be added to a small guest. */
const MEM_START = 4 * 1024 * MiB;

const mem: DeviceKind = {
  discards: true,
  request: spoiled(
    fc.record({
      type: mostly(fc.constantFrom<number>(...Object.values(VIRTIO_MEM_REQ)), u16),
      address: mostly(
        fc.nat(MEM_BLOCKS).map((n) => MEM_START + n * BLOCK_BYTES),
        fc.oneof(u32, fc.integer({ min: 0, max: 2 ** 40 }), fc.constant(2 ** 63)),
      ),
      count: mostly(fc.nat(MEM_BLOCKS), u16),
    }).map(({ type, address, count }) => ({
      queue: 0,
      readable: [bytesOf([type, 2], [0, 4], [0, 2], [address, 8], [count, 2], [0, 4], [0, 2])],
      writable: [10],
    })),
  ),
  good: {
    queue: 0,
    readable: [
      bytesOf([VIRTIO_MEM_REQ.STATE, 8], [MEM_START, 8], [1, 8]),
    ],
    writable: [10],
  },
  create() {
    const ram = new TestRam({ length: 4 * MiB, hotplugLength: MEM_BLOCKS * BLOCK_BYTES });
    const device = new MemDevice(ram.arena, {
      name: "mem0",
      region: ram.spec.hotplug!,
      requestedMiB: MEM_BLOCKS,
    });
    device.powerOn();
    return {
      arena: ram.arena,
      memory: ram.memory,
      device,
      [Symbol.dispose]: () => ram[Symbol.dispose](),
    };
  },
};

const consoleDevice: DeviceKind = {
  request: spoiled(fc.oneof(
    fc.record({
      id: mostly(fc.nat(2), u32),
      event: mostly(fc.constantFrom<number>(...Object.values(VIRTIO_CONSOLE)), u16),
      value: mostly(fc.nat(1), u16),
    }).map(({ id, event, value }) => ({
      queue: CONTROL_TX,
      readable: [bytesOf([id, 4], [event, 2], [value, 2])],
      writable: [],
    })),
    fc.record({ queue: fc.constantFrom(1, 5), bytes: bytes(200) }).map(({ queue, bytes }) => ({
      queue,
      readable: [bytes],
      writable: [],
    })),
    fc.record({ queue: fc.constantFrom(0, 2, 4), length: fc.integer({ min: 0, max: 4096 }) }).map((
      { queue, length },
    ) => ({ queue, readable: [], writable: [length] })),
  )),
  good: {
    queue: CONTROL_TX,
    readable: [bytesOf([0, 4], [VIRTIO_CONSOLE.DEVICE_READY, 2], [1, 2])],
    writable: [],
  },
  create() {
    const folder = Deno.makeTempDirSync();
    const [hvc0, one] = ["hvc0", "one"].map((name) => listenUnix(`${folder}/${name}`));
    const memory = testMemory(MEMORY_BYTES);
    const arena = new Arena();
    const device = new ConsoleDevice(arena, {
      name: "console0",
      console: { listener: hvc0, columns: 80, rows: 25 },
      ports: [{ name: "one", listener: one }],
    });
    return {
      arena,
      memory,
      device,
      [Symbol.dispose]() {
        for (const fd of [hvc0, one]) close(fd);
        Deno.removeSync(folder, { recursive: true });
        memory[Symbol.dispose]();
      },
    };
  },
};

export const KINDS = {
  block: block("io_uring"),
  blockSync: block("sync"),
  rng,
  balloon,
  mem,
  console: consoleDevice,
} as const;
