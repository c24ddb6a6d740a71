import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import type { GuestMemory } from "../../machine/memory.ts";
import { BalloonDevice, type BalloonOptions, VIRTIO_BALLOON_F } from "./balloon.ts";
import { VIRTIO_F } from "./device.ts";
import { Driver } from "./testing/driver.ts";
import { TestHost } from "./testing/host.ts";
import { TestRam } from "./testing/ram.ts";

const MiB = 2 ** 20;
const PAGE = 4096;
const RAM_MIB = 32;
/** Rings lie below, then page numbers, then what is given back. */
const PFNS = MiB;
const POOL = 4 * MiB;

interface Rig {
  ram: TestRam;
  memory: GuestMemory;
  host: TestHost;
  device: BalloonDevice;
  /** By number. */
  queues: Driver[];
  inflate: Driver;
  deflate: Driver;
  statistics: Driver;
  reporting: Driver;
}

const { STATS_VQ, DEFLATE_ON_OOM, REPORTING } = VIRTIO_BALLOON_F;

function withBalloon(
  run: (rig: Rig) => void,
  options: Partial<BalloonOptions> & { features?: number[]; hotplugLength?: number } = {},
): void {
  const { features = [STATS_VQ, DEFLATE_ON_OOM, REPORTING], hotplugLength, ...rest } = options;
  using ram = new TestRam({ length: RAM_MIB * MiB, hotplugLength });
  const { memory } = ram;
  using host = new TestHost(memory, { queues: 4 });
  const device = new BalloonDevice(ram.arena, {
    name: "balloon0",
    memoryMiB: RAM_MIB,
    ...rest,
  });
  host.device = device;
  device.powerOn();
  // So that only what is given back changes how much is taken.
  memory.bytes.fill(0, PFNS, PFNS + 8 * PAGE);
  const queues = [0, 1, 2, 3].map((index) =>
    new Driver(memory, { size: 64, base: 0x1000 + index * 0x4000, index })
  );
  device.activate(host, { queues: queues.map((q) => q.setup), features: new Set(features) });
  const [inflate, deflate, statistics, reporting] = queues;
  run({ ram, memory, host, device, queues, inflate, deflate, statistics, reporting });
  device.reset();
}

/** Writes page numbers where the driver has them, and makes them available. */
function give(
  { memory, device }: Rig,
  driver: Driver,
  pfns: readonly number[],
  at = PFNS,
): number {
  pfns.forEach((pfn, i) => memory.view.setUint32(at + 4 * i, pfn, true));
  const head = driver.add([{ address: at, length: 4 * pfns.length }]);
  device.notify(driver.setup.index);
  return head;
}

/** `count` page numbers from guest physical `from` on. */
const pages = (from: number, count: number) =>
  Array.from({ length: count }, (_, i) => from / PAGE + i);

Deno.test("pages in the balloon leave the host's memory, and come back as zeros", () => {
  withBalloon((rig) => {
    const { ram, memory, host, device, inflate, deflate } = rig;
    memory.bytes.fill(7, POOL, POOL + 8 * MiB);
    const before = ram.taken;
    const head = give(rig, inflate, pages(POOL, 1024));
    assertEquals(inflate.take(), { head, written: 0 });
    assertEquals(host.interrupts[0], 1);
    assertEquals(before - ram.taken, 4 * MiB);
    assertEquals(device.report().ranges, 1);
    assertEquals([memory.bytes[POOL], memory.bytes[POOL + 4 * MiB]], [0, 7]);

    assertEquals(deflate.take(), undefined);
    const back = give(rig, deflate, pages(POOL, 1024));
    assertEquals(deflate.take(), { head: back, written: 0 });
    memory.bytes.fill(9, POOL, POOL + 4 * MiB);
    assertEquals(ram.taken, before);
  });
});

Deno.test("pages in any order make as few ranges as they can", () => {
  withBalloon((rig) => {
    const { device, memory, inflate } = rig;
    memory.bytes.fill(7, POOL, POOL + MiB);
    const down = pages(POOL, 64).reverse();
    const apart = pages(POOL + MiB / 2, 32);
    // Both named twice, and mixed.
    give(rig, inflate, [...down, ...apart, ...down].sort((a, b) => (a % 7) - (b % 7)));
    const { ranges, discardedBytes } = device.report();
    assertEquals({ ranges, discardedBytes }, { ranges: 2, discardedBytes: 96 * PAGE });
    assertEquals(memory.bytes[POOL + 64 * PAGE], 7);
  });
});

Deno.test("whatever page numbers come, only the pages of RAM that they name are given back", () => {
  withBalloon((rig) => {
    const { memory, device, inflate } = rig;
    const first = POOL / PAGE;
    const last = RAM_MIB * MiB / PAGE;
    const pfn = fc.oneof(
      { weight: 8, arbitrary: fc.integer({ min: first, max: first + 40 }) },
      fc.constantFrom(last - 1, last, last + 1, 0xC0000, 0x100000, 2 ** 32 - 1),
    );
    fc.assert(
      fc.property(fc.array(pfn, { minLength: 1, maxLength: 60 }), (pfns) => {
        memory.bytes.fill(7, POOL, POOL + 64 * PAGE);
        memory.bytes.fill(7, (last - 1) * PAGE, last * PAGE);
        const refused = device.report().refusedPages as number;
        give(rig, inflate, pfns);
        assertEquals(inflate.takeAll().length, 1);
        for (const page of [...pages(POOL, 64), last - 1]) {
          const expected = pfns.includes(page) ? 0 : 7;
          assertEquals(memory.bytes[page * PAGE], expected);
          assertEquals(memory.bytes[page * PAGE + PAGE - 1], expected);
        }
        const outside = pfns.filter((it) => it >= last).length;
        assertEquals(device.report().refusedPages, refused + outside);
      }),
      { numRuns: 60 },
    );
  });
});

Deno.test("page numbers that are no whole number of segments, or too many, are left alone", () => {
  withBalloon((rig) => {
    const { memory, device, inflate } = rig;
    memory.bytes.fill(7, POOL, POOL + MiB);
    memory.view.setUint32(PFNS, POOL / PAGE, true);
    const head = inflate.add([{ address: PFNS, length: 3 }]);
    device.notify(0);
    assertEquals(inflate.take(), { head, written: 0 });
    assertEquals(memory.bytes[POOL], 7);
    // 4096 page numbers of one chain are looked at.
    const long = inflate.add([{ address: PFNS + 4, length: 4 * 4096 }, {
      address: PFNS,
      length: 4,
    }]);
    device.notify(0);
    assertEquals(inflate.take(), { head: long, written: 0 });
    assertEquals(memory.bytes[POOL], 7);
    assertEquals(device.report().refusedPages, 1);
  });
});

Deno.test("a balloon takes pages of memory that was added, and none of what was not", () => {
  withBalloon((rig) => {
    const { ram, memory, device, inflate } = rig;
    const { hotplug } = memory;
    assert(memory.plug(0, 1));
    const at = memory.offset(hotplug!.guest, MiB);
    memory.bytes.fill(7, at, at + MiB);
    const before = ram.taken;
    give(rig, inflate, [...pages(hotplug!.guest, 256), ...pages(hotplug!.guest + 2 * MiB, 256)]);
    assertEquals(before - ram.taken, MiB);
    assertEquals(device.report().refusedPages, 256);
  }, { hotplugLength: 4 * MiB });
});

Deno.test("free pages that the guest reports leave the host's memory, the edges of others do not", () => {
  withBalloon((rig) => {
    const { ram, memory, host, device, reporting } = rig;
    memory.bytes.fill(7, POOL, POOL + 8 * MiB);
    const before = ram.taken;
    const head = reporting.add([
      { address: POOL, length: 2 * MiB, writable: true },
      { address: POOL + 2 * MiB, length: 2 * MiB, writable: true },
      { address: POOL + 6 * MiB + 1, length: 3 * PAGE - 2, writable: true },
    ]);
    device.notify(3);
    assertEquals(reporting.take(), { head, written: 0 });
    assertEquals(host.interrupts[3], 1);
    assertEquals(before - ram.taken, 4 * MiB + PAGE);
    assertEquals([memory.bytes[POOL + 6 * MiB], memory.bytes[POOL + 6 * MiB + PAGE]], [7, 0]);
    const { reportedBytes, ranges } = device.report();
    assertEquals({ reportedBytes, ranges }, { reportedBytes: 4 * MiB + PAGE, ranges: 2 });
  });
});

Deno.test("a guest that fills its free pages with a pattern keeps them", () => {
  withBalloon((rig) => {
    const { memory, device, reporting } = rig;
    memory.bytes.fill(0xAA, POOL, POOL + MiB);
    device.writeConfig(12, 4, 0xAAAA_AAAA);
    reporting.add([{ address: POOL, length: MiB, writable: true }]);
    device.notify(3);
    assertEquals(reporting.takeAll().length, 1);
    assertEquals(memory.bytes[POOL], 0xAA);
  });
});

Deno.test("without the statistics' queue, the next one is for reports", () => {
  withBalloon((rig) => {
    const { memory, device, statistics: third } = rig;
    memory.bytes.fill(7, POOL, POOL + MiB);
    third.add([{ address: POOL, length: MiB, writable: true }]);
    device.notify(2);
    assertEquals(third.takeAll().length, 1);
    assertEquals(memory.bytes[POOL], 0);
  }, { features: [REPORTING] });
});

function sendStatistics(rig: Rig, entries: readonly [number, bigint][], split = 1000): number {
  const { memory, device, statistics } = rig;
  entries.forEach(([tag, value], i) => {
    memory.view.setUint16(PFNS + 10 * i, tag, true);
    memory.view.setBigUint64(PFNS + 10 * i + 2, value, true);
  });
  const length = 10 * entries.length;
  const first = Math.min(split, length);
  const head = statistics.add([
    { address: PFNS, length: first },
    { address: PFNS + first, length: length - first },
  ]);
  device.notify(2);
  return head;
}

Deno.test("statistics are kept until they are asked for, and then sent anew", () => {
  withBalloon((rig) => {
    const { device, host, statistics } = rig;
    assertEquals(device.report().statistics, {});
    const head = sendStatistics(rig, [[4, 123_456n], [5, 2n ** 33n], [99, 1n], [10, 3n]], 17);
    // No interrupt, no timer: an idle guest is left alone.
    assertEquals([statistics.take(), host.interrupts[2], host.timers], [undefined, 0, 0]);
    const expected = { freeBytes: 123_456, totalBytes: 2 ** 33, oomKills: 3 };
    const report = device.report();
    assertEquals(report.statistics, expected);
    assert(Math.abs(report.statisticsAt as number - Date.now()) < 60_000);
    assertEquals([statistics.take(), host.interrupts[2]], [{ head, written: 0 }, 1]);
    // Asked again before the guest has answered: what was known, and no second request.
    assertEquals(device.report().statistics, expected);
    assertEquals([statistics.take(), host.interrupts[2]], [undefined, 1]);
    sendStatistics(rig, [[4, 5n]]);
    assertEquals(device.report().statistics, { freeBytes: 5 });
  });
});

Deno.test("a guest that sends statistics without being asked gets the older buffer back", () => {
  withBalloon((rig) => {
    const { device, statistics } = rig;
    const first = sendStatistics(rig, [[4, 1n]]);
    sendStatistics(rig, [[4, 2n]]);
    assertEquals(statistics.takeAll(), [{ head: first, written: 0 }]);
    assertEquals(device.report().statistics, { freeBytes: 2 });
  });
});

Deno.test("a new target is told to the driver, and one that cannot be is refused", () => {
  withBalloon(({ device, host }) => {
    assertEquals(device.readConfig(0, 4), 5 * 256);
    device.change({ targetMiB: 16 });
    assertEquals([device.readConfig(0, 4), host.configChanges], [16 * 256, 1]);
    for (const targetMiB of [-1, 33, 1.5, NaN, "1", null, undefined]) {
      assertThrows(() => device.change({ targetMiB }), RangeError, "from 0 to 32");
    }
    assertThrows(() => device.change({ targetMiB: 1, x: 1 }), TypeError, 'Cannot change "x"');
    assertEquals([device.report().targetMiB, host.configChanges], [16, 1]);
    // The driver's own figure is no more than there is.
    device.writeConfig(4, 4, 16 * 256);
    assertEquals(device.report().actualMiB, 16);
    device.writeConfig(4, 4, 0xFFFF_FFFF);
    assertEquals(device.report().actualMiB, 32);
    device.writeConfig(0, 4, 1);
    assertEquals(device.report().targetMiB, 16);
  }, { targetMiB: 5 });
});

Deno.test("what is not wanted is not offered", () => {
  using ram = new TestRam({ length: MiB });
  const options = { name: "balloon0", memoryMiB: 1, deflateOnOom: false, freePageReporting: false };
  const device = new BalloonDevice(ram.arena, options);
  assertEquals(device.features, [STATS_VQ, VIRTIO_F.INDIRECT_DESC, VIRTIO_F.EVENT_IDX]);
  assertEquals(device.queueSizes.length, 3);
});

Deno.test("a broken ring stops the balloon, and a reset starts it anew", () => {
  withBalloon((rig) => {
    const { host, device, inflate, queues, memory } = rig;
    inflate.setAvailIndex(1000);
    device.notify(0);
    assertEquals(host.failures.length, 1);
    device.notify(0);
    device.report();
    const driver = new Driver(memory, { size: 64, base: 0x1000 });
    device.activate(host, {
      queues: [driver.setup, queues[1].setup],
      features: new Set(),
    });
    memory.bytes.fill(7, POOL, POOL + PAGE);
    give(rig, driver, [POOL / PAGE]);
    assertEquals(driver.takeAll().length, 1);
    assertEquals(memory.bytes[POOL], 0);
  });
});

Deno.test("after 64 chains in one turn, others have theirs before the next", () => {
  withBalloon((rig) => {
    const { device, host, inflate } = rig;
    for (let i = 0; i < 64; i++) inflate.add([{ address: PFNS, length: 4 }]);
    device.notify(0);
    assertEquals(inflate.takeAll().length, 64);
    inflate.add([{ address: PFNS, length: 4 }]);
    // It notified itself, and goes on when the loop comes round to that.
    host.serveSelfNotifications(device);
    assertEquals(inflate.takeAll().length, 1);
  });
});
