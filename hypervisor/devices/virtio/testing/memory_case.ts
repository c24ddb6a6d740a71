/**
 * Random drivers of the balloon and of the memory device: for the property tests and the fuzzer.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { fillRandom } from "../../../sys/random.ts";
import { BalloonDevice, VIRTIO_BALLOON_F } from "../balloon.ts";
import {
  MemDevice,
  MemRequest,
  MemResponse,
  VIRTIO_MEM_F,
  VIRTIO_MEM_REQ,
  VIRTIO_MEM_RESP,
} from "../mem.ts";
import { type Buffer, Driver } from "./driver.ts";
import { TestHost } from "./host.ts";
import { TestRam } from "./ram.ts";

const MiB = 2 ** 20;
const PAGE = 4096;
const RAM = 16 * MiB;
/** Where chains point: rings lie below, what is given back lies above. */
const BUFFERS = 0x10_0000;
const BUFFER_BYTES = 0x1_0000;
/** The pages that a well-meaning guest gives back. */
const POOL = 8 * MiB;
const POOL_PAGES = 256;

const poolPage = fc.integer({ min: POOL / PAGE, max: POOL / PAGE + POOL_PAGES - 1 });
const oddPage = fc.oneof(
  fc.constantFrom(RAM / PAGE, RAM / PAGE + 1, 0xC0000, 0x10_0000, 0xFFFF_FFFF),
  fc.integer({ min: RAM / PAGE, max: 0xFFFF_FFFF }),
);
/** Mostly valid; each way of being wrong is rare. */
const pfn = fc.oneof({ weight: 12, arbitrary: poolPage }, { weight: 1, arbitrary: oddPage });
const pfns = fc.array(pfn, { maxLength: 400 });

const inflate = fc.record({
  do: fc.constant("inflate" as const),
  pfns,
  /** Where the list is split into two segments, in bytes: also in the middle of a number. */
  split: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 1600 })),
});
const report = fc.record({
  do: fc.constant("report" as const),
  at: fc.oneof(
    { weight: 8, arbitrary: poolPage.map((page) => page * PAGE) },
    fc.integer({ min: POOL, max: POOL + POOL_PAGES * PAGE }),
    fc.constantFrom(RAM, RAM - 1, 0xC000_0000),
  ),
  length: fc.oneof(
    { weight: 8, arbitrary: fc.integer({ min: 1, max: 32 }).map((pages) => pages * PAGE) },
    fc.integer({ min: 0, max: 9000 }),
  ),
});
const statistics = fc.record({
  do: fc.constant("statistics" as const),
  bytes: fc.uint8Array({ maxLength: 700 }),
});
const config = fc.record({
  do: fc.constant("config" as const),
  offset: fc.integer({ min: 0, max: 40 }),
  size: fc.constantFrom(1, 2, 4),
  value: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xFFFF_FFFF })),
});
const ask = fc.record({ do: fc.constantFrom("ask" as const, "poke" as const) });
const target = fc.record({
  do: fc.constant("target" as const),
  targetMiB: fc.integer({ min: 0, max: RAM / MiB }),
});

export const balloonCase = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: inflate },
    { weight: 4, arbitrary: report },
    { weight: 2, arbitrary: statistics },
    config,
    ask,
    target,
  ),
  { minLength: 1, maxLength: 40 },
);
type BalloonStep = typeof balloonCase extends fc.Arbitrary<(infer T)[]> ? T : never;

/** Only named pages lose what is in them, every chain comes back, and nothing stops the device. */
export function checkBalloonCase(steps: readonly BalloonStep[]): void {
  using ram = new TestRam({ length: RAM });
  const { memory } = ram;
  using host = new TestHost(memory, { queues: 4 });
  const device = new BalloonDevice(ram.arena, { name: "balloon0", memoryMiB: RAM / MiB });
  host.device = device;
  device.powerOn();
  const queues = [0, 1, 2, 3].map((index) =>
    new Driver(memory, { size: 32, base: 0x1000 + index * 0x4000, index })
  );
  const { STATS_VQ, DEFLATE_ON_OOM, PAGE_POISON, REPORTING } = VIRTIO_BALLOON_F;
  device.activate(host, {
    queues: queues.map(({ setup }) => setup),
    features: new Set([STATS_VQ, DEFLATE_ON_OOM, PAGE_POISON, REPORTING]),
  });
  memory.bytes.fill(7, POOL, POOL + POOL_PAGES * PAGE);
  const named = new Set<number>();
  let kept = 0;
  let sent = 0;
  const send = (queue: number, buffers: Buffer[]) => {
    assert(queues[queue].add(buffers) >= 0);
    sent++;
    device.notify(queue);
  };
  for (const step of steps) {
    switch (step.do) {
      case "inflate": {
        step.pfns.forEach((it, i) => memory.view.setUint32(BUFFERS + 4 * i, it, true));
        const length = 4 * step.pfns.length;
        // Lists of an odd length deflate.
        const split = Math.min(step.split, length) & ~3;
        send(step.pfns.length % 2, [
          { address: BUFFERS, length: split },
          { address: BUFFERS + split, length: length - split },
        ]);
        for (const it of step.pfns.length % 2 === 0 ? step.pfns : []) named.add(it);
        break;
      }
      case "report": {
        send(3, [{ address: step.at, length: step.length, writable: true }]);
        const end = Math.floor((step.at + step.length) / PAGE);
        for (let page = Math.ceil(step.at / PAGE); page < end; page++) named.add(page);
        break;
      }
      case "statistics":
        memory.bytes.set(step.bytes, BUFFERS);
        send(2, [{ address: BUFFERS, length: step.bytes.length }]);
        kept = 1;
        break;
      case "config":
        device.writeConfig(step.offset, step.size, step.value % 2 ** (8 * step.size));
        break;
      case "target":
        device.change({ targetMiB: step.targetMiB });
        break;
      case "ask":
        JSON.stringify(device.report());
        kept = 0;
        break;
      case "poke":
        for (const { setup } of queues) device.notify(setup.index);
    }
    host.serveSelfNotifications(device);
    for (const queue of queues) sent -= queue.takeAll().length;
    assertEquals(sent, kept);
  }
  assertEquals(host.failures, []);
  for (let page = POOL / PAGE; page < POOL / PAGE + POOL_PAGES; page++) {
    const value = memory.bytes[page * PAGE];
    assert(value === 7 || named.has(page), `page ${page} was given back and not named`);
    for (let at = page * PAGE; at < (page + 1) * PAGE; at++) {
      if (memory.bytes[at] !== value) throw new Error(`Part of page ${page} was given back`);
    }
  }
  device.reset();
}

const BLOCK = 2 * MiB;
const BLOCKS = 12;
const GARBAGE = fc.uint8Array({ minLength: 24, maxLength: 24 });

const request = fc.record({
  type: fc.oneof(
    { weight: 10, arbitrary: fc.constantFrom(...Object.values(VIRTIO_MEM_REQ)) },
    fc.integer({ min: 0, max: 0xFFFF }),
  ),
  /** In bytes from the region's beginning. */
  at: fc.oneof(
    { weight: 10, arbitrary: fc.integer({ min: 0, max: BLOCKS }).map((it) => it * BLOCK) },
    fc.integer({ min: -BLOCK, max: (BLOCKS + 1) * BLOCK }),
    fc.maxSafeInteger(),
  ),
  count: fc.oneof(
    { weight: 10, arbitrary: fc.integer({ min: 1, max: 4 }) },
    fc.integer({ min: 0, max: 0xFFFF }),
  ),
});

export const memCase = fc.array(
  fc.record({
    request: fc.oneof({ weight: 10, arbitrary: request }, GARBAGE),
    requestBytes: fc.oneof(
      { weight: 10, arbitrary: fc.constant(24) },
      fc.integer({ min: 0, max: 40 }),
    ),
    responseBytes: fc.oneof(
      { weight: 10, arbitrary: fc.constant(10) },
      fc.integer({ min: 0, max: 20 }),
    ),
    requestedMiB: fc.integer({ min: 0, max: BLOCKS }).map((it) => 2 * it),
  }),
  { minLength: 1, maxLength: 40 },
);
type MemStep = typeof memCase extends fc.Arbitrary<(infer T)[]> ? T : never;

/** What was acknowledged, and that alone, is what the guest, the VMM and the kernel have. */
export function checkMemCase(steps: readonly MemStep[]): void {
  using ram = new TestRam({ length: RAM, hotplugLength: BLOCKS * BLOCK });
  const { memory, spec } = ram;
  using host = new TestHost(memory, { queues: 1 });
  const device = new MemDevice(ram.arena, { name: "mem0", region: spec.hotplug! });
  host.device = device;
  device.powerOn();
  const driver = new Driver(memory, { size: 16, base: 0x1000 });
  device.activate(host, {
    queues: [driver.setup],
    features: new Set([VIRTIO_MEM_F.UNPLUGGED_INACCESSIBLE]),
  });
  const model = new Array<boolean>(BLOCKS).fill(false);
  for (const { request, requestBytes, responseBytes, requestedMiB } of steps) {
    device.change({ requestedMiB });
    const asked = MemRequest.at(memory.bytes.buffer, BUFFERS);
    if (request instanceof Uint8Array) asked.$bytes.set(request);
    else {
      asked.type = request.type;
      asked.addr = Math.max(0, memory.hotplug!.guest + request.at);
      asked.nb_blocks = request.count;
    }
    const { type, addr, nb_blocks: count } = asked;
    memory.bytes.fill(0xEE, BUFFERS + BUFFER_BYTES, BUFFERS + BUFFER_BYTES + 32);
    driver.add([
      { address: BUFFERS, length: requestBytes },
      { address: BUFFERS + BUFFER_BYTES, length: responseBytes, writable: true },
    ]);
    device.notify();
    const [{ written }] = driver.takeAll();
    assertEquals(written, requestBytes >= 24 && responseBytes >= 10 ? 10 : 0);
    const answer = memory.bytes.slice(BUFFERS + BUFFER_BYTES, BUFFERS + BUFFER_BYTES + 32);
    assert(answer.subarray(written).every((byte) => byte === 0xEE));
    if (written === 0 || MemResponse.at(answer.buffer).type !== VIRTIO_MEM_RESP.ACK) continue;
    const first = (addr - memory.hotplug!.guest) / BLOCK;
    if (type === VIRTIO_MEM_REQ.PLUG) model.fill(true, first, first + count);
    if (type === VIRTIO_MEM_REQ.UNPLUG) model.fill(false, first, first + count);
    if (type === VIRTIO_MEM_REQ.UNPLUG_ALL) model.fill(false);
  }
  assertEquals(host.failures, []);
  assertEquals(device.report().pluggedMiB, 2 * model.filter((it) => it).length);
  model.forEach((there, block) => {
    const { guest, offset } = memory.hotplug!;
    assertEquals(memory.offset(guest + block * BLOCK, BLOCK) >= 0, there);
    assertEquals(fillRandom(memory.address + offset + block * BLOCK, 16) === 16, there);
  });
  device.reset();
}
