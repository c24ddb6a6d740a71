import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { VIRTIO_BLK_T } from "./block_protocol.ts";
import { CHANGE_BYTES, DiskChanges, type DiskRange } from "./disk_changes.ts";
import { closeDisk, openDisk } from "./disk.ts";
import { type HeldRig, withEngine } from "./testing/held_engine.ts";

const { IN, OUT, FLUSH } = VIRTIO_BLK_T;
const SECTOR = 512;
const RANGE_TYPES = { discard: VIRTIO_BLK_T.DISCARD, zero: VIRTIO_BLK_T.WRITE_ZEROES };

/** The blocks that ranges cover, each once. */
function blocksOf(ranges: readonly DiskRange[], diskBytes: number): number[] {
  const blocks = ranges.flatMap(([offset, length]) => {
    assertEquals(offset % CHANGE_BYTES, 0);
    assert(length > 0 && offset + length <= diskBytes, `${offset} + ${length}`);
    assert(length % CHANGE_BYTES === 0 || offset + length === diskBytes, "it is cut short");
    const first = offset / CHANGE_BYTES;
    return Array.from({ length: Math.ceil(length / CHANGE_BYTES) }, (_, i) => first + i);
  });
  assertEquals(new Set(blocks).size, blocks.length, "a block is told twice");
  return blocks.sort((a, b) => a - b);
}

const DISK_BYTES = 200 * CHANGE_BYTES - 3 * SECTOR;

const range: fc.Arbitrary<DiskRange> = fc.record({
  sector: fc.nat(DISK_BYTES / SECTOR - 1),
  sectors: fc.oneof(fc.nat(16), fc.nat(600), fc.nat(DISK_BYTES / SECTOR)),
}).map(({ sector, sectors }) => {
  const offset = sector * SECTOR;
  return [offset, Math.min(sectors * SECTOR, DISK_BYTES - offset)];
});

function model(ranges: readonly DiskRange[]): number[] {
  const blocks = new Set<number>();
  for (const [offset, length] of ranges) {
    const end = Math.ceil((offset + length) / CHANGE_BYTES);
    for (let block = Math.floor(offset / CHANGE_BYTES); length > 0 && block < end; block++) {
      blocks.add(block);
    }
  }
  return [...blocks].sort((a, b) => a - b);
}

Deno.test("every block that was changed is told, once, however it is asked for", () => {
  const step = fc.oneof(
    fc.record({ add: fc.array(range, { maxLength: 6 }) }),
    fc.record({ take: fc.integer({ min: 1, max: 8 }) }),
  );
  fc.assert(fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
    const changes = new DiskChanges();
    changes.start(DISK_BYTES);
    const waiting = new Set<number>();
    for (const step of steps) {
      if ("add" in step) {
        for (const [offset, length] of step.add) changes.add(offset, length);
        for (const block of model(step.add)) waiting.add(block);
      } else {
        const ranges = changes.take(step.take);
        assert(ranges.length <= step.take);
        for (const block of blocksOf(ranges, DISK_BYTES)) assert(waiting.delete(block));
        assert(ranges.length > 0 || waiting.size === 0);
      }
      assertEquals(changes.leftBytes, Math.min(waiting.size * CHANGE_BYTES, DISK_BYTES));
    }
    assertEquals(blocksOf(changes.take(1000), DISK_BYTES), [...waiting].sort((a, b) => a - b));
    assertEquals(changes.leftBytes, 0);
  }));
});

Deno.test("what lies side by side is one range, and what changes all the time holds nothing up", () => {
  const changes = new DiskChanges();
  changes.start(DISK_BYTES);
  changes.add(0, DISK_BYTES);
  assertEquals(changes.take(10), [[0, DISK_BYTES]]);
  const seen: number[] = [];
  for (const block of [1, 50, 100]) changes.add(block * CHANGE_BYTES, 1);
  for (let i = 0; i < 4; i++) {
    changes.add(CHANGE_BYTES, 1);
    seen.push(...changes.take(1).map(([offset]) => offset / CHANGE_BYTES));
  }
  assertEquals(seen, [1, 50, 100, 1]);
});

Deno.test("a disk of any size has few bits, and grows with what is known of it", () => {
  const changes = new DiskChanges();
  const bytes = 2 ** 52;
  changes.start(bytes);
  changes.add(bytes - SECTOR, SECTOR);
  const [[offset, length]] = changes.take(10);
  assert(offset + length === bytes && length === bytes / 2 ** 26, `${offset} + ${length}`);

  changes.start(3 * CHANGE_BYTES + SECTOR);
  changes.add(CHANGE_BYTES, 1);
  changes.grow(6 * CHANGE_BYTES);
  assertEquals(changes.take(10), [
    [CHANGE_BYTES, CHANGE_BYTES],
    [3 * CHANGE_BYTES, 3 * CHANGE_BYTES],
  ]);
  changes.stop();
  changes.grow(7 * CHANGE_BYTES);
  changes.add(0, 1);
  assertEquals([changes.isOn, changes.leftBytes, changes.take(10)], [false, 0, []]);
});

/** Adds a request of a kind about 8 sectors; its head. */
function add(rig: HeldRig, kind: "write" | "read" | "discard" | "zero", sector: number): number {
  if (kind === "read" || kind === "write") {
    return rig.add(0, kind === "read" ? IN : OUT, sector, 8 * SECTOR);
  }
  // The range is the header's next 16 bytes.
  const head = rig.add(0, RANGE_TYPES[kind], 0, 16);
  rig.memory.view.setUint32(0x11000, sector, true);
  rig.memory.view.setUint32(0x11004, 0, true);
  rig.memory.view.setUint32(0x11008, 8, true);
  rig.memory.view.setUint32(0x1100C, 0, true);
  return head;
}

for (const kind of ["write", "discard", "zero"] as const) {
  for (const outcome of ["good", "bad"] as const) {
    Deno.test(`a ${kind} that ends ${outcome} is known when its driver is told, and not before`, () => {
      withEngine({}, (rig) => {
        const { device, engine, driver } = rig;
        const { changes, sizeBytes } = device.disk;
        changes.start(sizeBytes);
        add(rig, kind, 200);
        device.notify(0);
        // Whoever reads the file now may read what was there before.
        assertEquals(changes.take(10), []);
        assertEquals(driver.takeAll().length, 0);
        engine.complete(engine.calls[0].tag, outcome === "bad" ? -5 : kind === "write" ? 4096 : 0);
        device.notify(0);
        assertEquals(driver.takeAll().length, 1);
        assertEquals(changes.take(10), [[CHANGE_BYTES, CHANGE_BYTES]]);
      });
    });
  }
}

Deno.test("what was in flight when a driver resets its disk counts as changed", () => {
  withEngine({}, (rig) => {
    const { device } = rig;
    device.disk.changes.start(device.disk.sizeBytes);
    add(rig, "write", 300);
    device.notify(0);
    device.reset();
    assertEquals(device.disk.changes.take(10), [[2 * CHANGE_BYTES, CHANGE_BYTES]]);
    device.activate(rig.host, {
      queues: rig.drivers.map(({ setup }) => setup),
      features: new Set(),
    });
  });
});

Deno.test("reads and flushes change nothing, and a write cut in two changes both parts", () => {
  withEngine({}, (rig) => {
    const { device, engine } = rig;
    const { changes, sizeBytes } = device.disk;
    changes.start(sizeBytes);
    add(rig, "read", 0);
    rig.addTo(0, 1, { type: FLUSH });
    device.notify(0);
    for (const { tag, kind } of engine.calls.splice(0)) {
      engine.complete(tag, kind === "read" ? 4096 : 0);
    }
    device.notify(0);
    assertEquals(changes.take(10), []);
    // From the end of the first block into the second.
    add(rig, "write", 124);
    device.notify(0);
    engine.complete(engine.calls[0].tag, 2048);
    device.notify(0);
    engine.complete(engine.calls[1].tag, 2048);
    device.notify(0);
    assertEquals(changes.take(10), [[0, 2 * CHANGE_BYTES]]);
  });
});

Deno.test("a disk that is made larger tells of what is new", () => {
  const path = Deno.makeTempFileSync();
  Deno.truncateSync(path, 1000 * SECTOR);
  const disk = openDisk(path);
  try {
    withEngine({ options: { disk } }, ({ device }) => {
      device.disk.changes.start(device.disk.sizeBytes);
      device.change({ sizeBytes: 2000 * SECTOR });
      assertEquals(device.disk.sizeBytes, 2000 * SECTOR);
      const first = Math.floor(1000 * SECTOR / CHANGE_BYTES) * CHANGE_BYTES;
      assertEquals(device.disk.changes.take(10), [[first, 2000 * SECTOR - first]]);
    });
  } finally {
    closeDisk(disk);
    Deno.removeSync(path);
  }
});
