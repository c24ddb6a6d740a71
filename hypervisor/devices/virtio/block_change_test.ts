import { assert, assertEquals, assertThrows } from "@std/assert";
import { Arena } from "../../machine/arena.ts";
import { BlockDevice } from "./block.ts";
import { BlockConfig, VIRTIO_BLK_F, VIRTIO_BLK_S, VIRTIO_BLK_T } from "./block_protocol.ts";
import { closeDisk, type DiskOptions, openDisk } from "./disk.ts";
import { testDisk } from "./testing/disk.ts";
import { Driver, testMemory } from "./testing/driver.ts";
import { withEngine } from "./testing/held_engine.ts";
import { TestHost } from "./testing/host.ts";

const { IN, OUT } = VIRTIO_BLK_T;
const { FLUSH, CONFIG_WCE } = VIRTIO_BLK_F;
const WRITEBACK = BlockConfig.offsets.writeback;

function withImage(sectors: number, run: (path: string) => void): void {
  const path = Deno.makeTempFileSync();
  Deno.truncateSync(path, sectors * 512);
  try {
    run(path);
  } finally {
    Deno.removeSync(path);
  }
}

function withDevice(
  options: DiskOptions,
  run: (device: BlockDevice, other: BlockDevice, path: string) => void,
): void {
  withImage(1000, (path) => {
    const disk = openDisk(path, options);
    const arena = new Arena();
    const make = (arena: Arena) => new BlockDevice({ name: "block0", disk }, { arena });
    // What another thread has made of the same.
    run(make(arena), make(new Arena(arena.buffer)), path);
    closeDisk(disk);
  });
}

Deno.test("a disk that was made larger is seen so by all threads, and its file has grown", () => {
  withDevice({}, (device, other, path) => {
    device.change({ sizeBytes: 2 ** 42 });
    for (const one of [device, other]) {
      assertEquals([one.readConfig(0, 4), one.readConfig(4, 4)], [0, 2]);
    }
    assertEquals(Deno.statSync(path).size, 2 ** 42);
    assertEquals(device.report().sizeBytes, 2 ** 42);
  });
});

Deno.test("a driver at work is told of the new size, and can use it at once", () => {
  withImage(1000, (path) => {
    const disk = openDisk(path);
    withEngine({ options: { disk } }, ({ device, engine, host, add, status }) => {
      add(0, OUT, 1000, 512);
      device.notify(0);
      assertEquals(status(0), VIRTIO_BLK_S.IOERR);
      device.change({ sizeBytes: 1008 * 512 });
      assertEquals(host.configChanges, 1);
      add(1, OUT, 1000, 512);
      device.notify(0);
      engine.complete(engine.calls[0].tag, 512);
      device.notify(0);
      assertEquals(status(1), VIRTIO_BLK_S.OK);
      device.change({ sizeBytes: 1008 * 512 });
      assertEquals(host.configChanges, 1);
    });
    closeDisk(disk);
  });
});

Deno.test("a size that cannot be is refused, and nothing has changed", () => {
  withDevice({}, (device, _, path) => {
    const refused = (sizeBytes: unknown, says: string) =>
      assertThrows(() => device.change({ sizeBytes }), Error, says);
    refused(999 * 512, "what a guest uses cannot shrink");
    refused(1000 * 512 + 1, "its blocks have 512");
    refused(2 ** 60, "bytes long: it must be");
    refused("1G", "expected a number");
    refused(NaN, "its blocks have 512");
    assertThrows(() => device.change({ colour: 1 }), TypeError, 'Cannot change "colour" of block0');
    assertEquals([Deno.statSync(path).size, device.report().sizeBytes], [512_000, 512_000]);
  });
  withDevice({ readonly: true }, (device) => {
    assertThrows(() => device.change({ sizeBytes: 2 ** 30 }), RangeError, "it is read-only");
  });
});

Deno.test("a rate limit lets a burst through, holds the rest back and lets it through in time", () => {
  const rateLimit = { operationsPerSecond: 100, operationsBurst: 3 };
  withEngine({ options: { rateLimit } }, ({ device, engine, host, elapse, add }) => {
    for (let i = 0; i < 8; i++) add(i, IN, i, 512);
    device.notify(0);
    assertEquals(engine.calls.length, 3);
    assertEquals(host.timers, 1);
    // A driver that knocks gets nothing out of it.
    device.notify(0);
    assertEquals([engine.calls.length, host.timers], [3, 1]);
    for (let n = 4; n <= 8; n++) {
      elapse(10);
      assertEquals(engine.calls.length, n);
    }
    elapse(1000);
    assertEquals([engine.calls.length, host.timers], [8, 0]);
    assertEquals((device.report().rateLimitWaits as number) > 0, true);
  });
});

Deno.test("bytes are limited as well, and a limit that is lifted lets all through at once", () => {
  const rateLimit = { bytesPerSecond: 1_000_000, bytesBurst: 4096 };
  withEngine({ options: { rateLimit } }, ({ device, engine, host, elapse, add }) => {
    for (let i = 0; i < 8; i++) add(i, OUT, i * 8, 4096);
    device.notify(0);
    assertEquals(engine.calls.length, 1);
    elapse(5);
    assertEquals(engine.calls.length, 2);
    device.change({ rateLimit: null });
    assertEquals([engine.calls.length, host.timers], [8, 0]);
    const wrong = () => device.change({ rateLimit: { bytesPerSecond: 0 } });
    assertThrows(wrong, RangeError, "Cannot use the rate limit bytesPerSecond 0");
  });
});

Deno.test("a driver turns the write cache off and on, and a reset brings back what the host chose", () => {
  withEngine({ features: [FLUSH, CONFIG_WCE] }, ({ device, engine, add }) => {
    const stable = (request: number) => {
      add(request, OUT, 0, 512);
      device.notify(0);
      return engine.calls.at(-1)!.stable;
    };
    assertEquals([device.readConfig(WRITEBACK, 1), stable(0)], [1, false]);
    device.writeConfig(WRITEBACK, 1, 0);
    assertEquals([device.readConfig(WRITEBACK, 1), stable(1)], [0, true]);
    device.writeConfig(WRITEBACK, 1, 2);
    device.writeConfig(WRITEBACK, 4, 1);
    device.writeConfig(0, 4, 1);
    assertEquals([device.readConfig(WRITEBACK, 1), device.readConfig(0, 4)], [0, 1000]);
    device.writeConfig(WRITEBACK, 1, 1);
    assertEquals(stable(2), false);
    device.writeConfig(WRITEBACK, 1, 0);
    for (const { tag } of engine.calls.splice(0)) engine.complete(tag, 512);
    device.notify(0);
    device.reset();
    assertEquals(device.readConfig(WRITEBACK, 1), 1);
  });
});

Deno.test("without a write cache, a driver that cannot choose has each write made stable", () => {
  const of = (writeback: boolean, features: number[]) => {
    let stable: boolean | undefined;
    withEngine({ features, options: { writeback } }, ({ device, engine, add }) => {
      add(0, OUT, 0, 512);
      device.notify(0);
      stable = engine.calls[0].stable;
    });
    return stable;
  };
  assertEquals(of(false, [FLUSH]), true);
  assertEquals(of(false, [FLUSH, CONFIG_WCE]), true);
  assertEquals(of(true, [FLUSH]), false);
  assertEquals(of(true, [CONFIG_WCE]), true);
});

Deno.test("blocks are 512 or 4096 bytes, and the topology says what is written at once", () => {
  const config = (blockBytes: number | undefined, physicalBlockBytes: number) => {
    const disk = testDisk({ physicalBlockBytes });
    const device = new BlockDevice({ name: "b", disk, blockBytes });
    const { blk_size, physical_block_exp, min_io_size } = BlockConfig.offsets;
    return [
      device.readConfig(blk_size, 4),
      device.readConfig(physical_block_exp, 1),
      device.readConfig(min_io_size, 2),
    ];
  };
  assertEquals(config(undefined, 4096), [512, 3, 8]);
  assertEquals(config(undefined, 512), [512, 0, 1]);
  assertEquals(config(4096, 512), [4096, 0, 1]);
  assertEquals(config(4096, 4096), [4096, 0, 1]);
  assertThrows(() => config(1024, 512), RangeError, "512 or 4096");
  const odd = testDisk({ sectors: 1001 });
  assertThrows(() => new BlockDevice({ name: "b", disk: odd, blockBytes: 4096 }), RangeError);
});

Deno.test("each queue has its interrupt, and what one wake-up brings goes over together", () => {
  withEngine({ queues: 3 }, ({ device, drivers, engine, host, addTo, add }) => {
    assert(device.features.includes(VIRTIO_BLK_F.MQ));
    assertEquals(device.readConfig(BlockConfig.offsets.num_queues, 2), 3);
    addTo(1, 1, { type: VIRTIO_BLK_T.FLUSH });
    addTo(2, 2, { type: VIRTIO_BLK_T.FLUSH });
    add(0, IN, 0, 512);
    for (const queue of [0, 1, 2]) device.notify(queue);
    assertEquals(engine.calls.map(({ kind }) => kind), ["read", "sync", "sync"]);
    assertEquals(new Set(engine.calls.map(({ tag }) => tag)).size, 3);
    engine.complete(engine.calls[2].tag, 0);
    engine.complete(engine.calls[0].tag, 512);
    // Whichever queue the wake-up was for.
    device.notify(1);
    assertEquals(host.interrupts, [1, 0, 1]);
    assertEquals(drivers.map((driver) => driver.takeAll().length), [1, 0, 1]);
    engine.complete(engine.calls[1].tag, 0);
    device.notify(0);
    assertEquals(host.interrupts, [1, 1, 1]);
    assertEquals(drivers[1].takeAll().length, 1);
  });
});

Deno.test("a violation in one queue stops all of them", () => {
  withEngine({ queues: 2 }, ({ device, drivers, host, engine, addTo }) => {
    addTo(0, 0, { type: VIRTIO_BLK_T.FLUSH });
    device.notify(0);
    drivers[1].offer(9999);
    device.notify(1);
    assertEquals(host.failures, ["queue 1: head 9999 is outside the descriptor table"]);
    assert(engine.closed);
    device.notify(0);
    assertEquals(drivers[0].take(), undefined);
  });
});

Deno.test("memory that is pinned serves requests, and none of it is given back to the host", () => {
  withImage(1000, (path) => {
    const disk = openDisk(path, { cache: "direct" });
    using memory = testMemory(1 << 20);
    using host = new TestHost(memory, { queues: 1 });
    const driver = new Driver(memory, { size: 64, base: 0x1000 });
    assert(memory.discard(0x8000, 4096));
    const options = { name: "block0", disk, pinMemory: true, engine: "io_uring" } as const;
    const device = new BlockDevice(options);
    device.activate(host, { queues: [driver.setup], features: new Set([FLUSH]) });
    assertEquals(device.report().pinnedMemory, true);
    assert(!memory.discard(0x8000, 4096));
    Deno.writeFileSync(path, new Uint8Array(512_000).fill(9));
    driver.add([
      { address: 0x8000, length: 16 },
      { address: 0x9000, length: 4096, writable: true },
      { address: 0x8010, length: 1, writable: true },
    ]);
    device.notify(0);
    host.until(() => driver.usedIndex === driver.availIndex);
    assertEquals([memory.bytes[0x8010], memory.bytes[0x9000], memory.bytes[0x9fff]], [0, 9, 9]);
    device.reset();
    closeDisk(disk);
  });
});
