import { assert, assertEquals } from "@std/assert";
import { EAGAIN, EINTR, EIO, EOPNOTSUPP } from "../../sys/errno.ts";
import type { Iovecs } from "../../sys/iovecs.ts";
import { BlockDevice } from "./block.ts";
import { VIRTIO_BLK_F, VIRTIO_BLK_S, VIRTIO_BLK_T } from "./block_protocol.ts";
import type { BlockEngine, BlockRange, EngineOptions, Transfer } from "./block_engine.ts";
import { VIRTIO_F } from "./device.ts";
import { Driver, testMemory } from "./testing/driver.ts";
import { testDisk } from "./testing/disk.ts";
import { TestHost } from "./testing/host.ts";

const { IN, OUT, FLUSH } = VIRTIO_BLK_T;
const AREA = 0x10000;

interface Call {
  tag: number;
  kind: "read" | "write" | "sync" | "discard" | "zero";
  position: number;
  /** Address in guest memory and length of each piece. */
  pieces: [number, number][];
  stable: boolean;
}

/** Carries out nothing by itself: the test says what completes, and how. */
class HeldEngine implements BlockEngine {
  readonly kind = "sync";
  readonly fd = -1;
  readonly fixedBuffers = false;
  readonly calls: Call[] = [];
  readonly #iovecs: Iovecs;
  readonly #base: number;
  readonly #ready: [number, number][] = [];
  inFlight = 0;
  waits = 0;
  closed = false;

  constructor(options: EngineOptions, base: number) {
    this.#iovecs = options.iovecs;
    this.#base = base;
  }

  #call(kind: Call["kind"], tag: number, transfer?: Transfer, stable = false): void {
    const pieces: [number, number][] = [];
    for (let i = 0; i < (transfer?.count ?? 0); i++) {
      const at = transfer!.index + i;
      pieces.push([this.#iovecs.base(at) - this.#base, this.#iovecs.length(at)]);
    }
    this.calls.push({ tag, kind, position: transfer?.position ?? 0, pieces, stable });
    this.inFlight++;
  }

  read(tag: number, transfer: Transfer): void {
    this.#call("read", tag, transfer);
  }

  write(tag: number, transfer: Transfer & { stable: boolean }): void {
    this.#call("write", tag, transfer, transfer.stable);
  }

  sync(tag: number): void {
    this.#call("sync", tag);
  }

  discard(tag: number, range: BlockRange): void {
    this.#range("discard", tag, range);
  }

  zero(tag: number, range: BlockRange & { unmap: boolean }): void {
    this.#range("zero", tag, range);
  }

  #range(kind: Call["kind"], tag: number, range: BlockRange): void {
    const { position, length } = range;
    this.calls.push({ tag, kind, position, pieces: [[position, length]], stable: false });
    this.inFlight++;
  }

  complete(tag: number, result: number): void {
    this.#ready.push([tag, result]);
  }

  submit(): void {}

  reap(done: (tag: number, result: number) => void): number {
    let n = 0;
    for (let one = this.#ready.shift(); one; one = this.#ready.shift(), n++) {
      this.inFlight--;
      done(...one);
    }
    return n;
  }

  wait(): void {
    this.waits++;
    assert(this.calls.length > 0);
    for (const { tag } of this.calls.splice(0)) this.complete(tag, 0);
  }

  close(): void {
    assertEquals(this.inFlight, 0);
    this.closed = true;
  }
}

interface Rig {
  memory: ReturnType<typeof testMemory>;
  driver: Driver;
  device: BlockDevice;
  engine: HeldEngine;
  status(request: number): number;
  /** Adds request number `request` with data of these lengths; its head. */
  add(request: number, type: number, sector: number, ...lengths: number[]): number;
}

function withEngine(features: number[], run: (rig: Rig) => void): void {
  using memory = testMemory(1 << 20);
  using host = new TestHost(memory, { queues: 1 });
  const driver = new Driver(memory, { size: 64, base: 0x1000 });
  let engine: HeldEngine | undefined;
  const device = new BlockDevice(
    { name: "block0", disk: testDisk({ sectors: 1000 }) },
    { engines: (options) => engine = new HeldEngine(options, memory.address) },
  );
  device.activate(host, { queues: [driver.setup], features: new Set(features) });
  run({
    memory,
    driver,
    device,
    engine: engine!,
    status: (request) => memory.bytes[AREA * (request + 1) + 16],
    add(request, type, sector, ...lengths) {
      const at = AREA * (request + 1);
      memory.view.setUint32(at, type, true);
      memory.view.setUint32(at + 8, sector, true);
      memory.bytes[at + 16] = 0xee;
      let next = at + 0x1000;
      return driver.add([
        { address: at, length: 16 },
        ...lengths.map((length) => ({
          address: (next += length) - length,
          length,
          writable: type === IN,
        })),
        { address: at + 16, length: 1, writable: true },
      ]);
    },
  });
  device.reset();
  assert(engine!.closed);
}

Deno.test("requests may complete in any order", () => {
  withEngine([VIRTIO_BLK_F.FLUSH], ({ driver, device, engine, add, status }) => {
    const heads = [add(0, IN, 0, 512), add(1, OUT, 8, 512), add(2, FLUSH, 0)];
    device.notify(0);
    assertEquals(engine.calls.map(({ kind }) => kind), ["read", "write", "sync"]);
    assertEquals(driver.take(), undefined);
    engine.complete(engine.calls[2].tag, 0);
    engine.complete(engine.calls[0].tag, 512);
    device.notify(0);
    assertEquals(driver.takeAll(), [
      { head: heads[2], written: 1 },
      { head: heads[0], written: 513 },
    ]);
    assertEquals([status(0), status(1), status(2)], [0, 0xee, 0]);
    engine.complete(engine.calls[1].tag, 512);
    device.notify(0);
    assertEquals(driver.takeAll(), [{ head: heads[1], written: 1 }]);
  });
});

Deno.test("a short transfer goes on where it ended", () => {
  withEngine([VIRTIO_BLK_F.FLUSH], ({ driver, device, engine, add, status }) => {
    const head = add(0, IN, 4, 1000, 1000, 48);
    device.notify(0);
    const at = AREA + 0x1000;
    const [{ tag, pieces, position }] = engine.calls;
    assertEquals(pieces, [[at, 1000], [at + 1000, 1000], [at + 2000, 48]]);
    assertEquals(position, 4 * 512);
    engine.complete(tag, 1500);
    device.notify(0);
    assertEquals(engine.calls[1].pieces, [[at + 1500, 500], [at + 2000, 48]]);
    assertEquals(engine.calls[1].position, 4 * 512 + 1500);
    engine.complete(engine.calls[1].tag, 500);
    device.notify(0);
    assertEquals(engine.calls[2].pieces, [[at + 2000, 48]]);
    engine.complete(engine.calls[2].tag, 48);
    device.notify(0);
    assertEquals(driver.take(), { head, written: 2049 });
    assertEquals(status(0), VIRTIO_BLK_S.OK);
  });
});

Deno.test("an interrupted transfer is tried again, a failed one is an I/O error", () => {
  for (const again of [EINTR, EAGAIN]) {
    withEngine([VIRTIO_BLK_F.FLUSH], ({ driver, device, engine, add, status }) => {
      add(0, OUT, 0, 512);
      add(1, FLUSH, 0);
      device.notify(0);
      for (const { tag } of [...engine.calls]) engine.complete(tag, -again);
      device.notify(0);
      assertEquals(engine.calls.map(({ kind }) => kind), ["write", "sync", "write", "sync"]);
      for (const { tag } of engine.calls.slice(2)) engine.complete(tag, -EIO);
      device.notify(0);
      assertEquals(driver.takeAll().map(({ written }) => written), [1, 1]);
      assertEquals([status(0), status(1)], [VIRTIO_BLK_S.IOERR, VIRTIO_BLK_S.IOERR]);
    });
  }
});

Deno.test("a failed read counts no bytes as written", () => {
  withEngine([VIRTIO_BLK_F.FLUSH], ({ driver, device, engine, add }) => {
    const head = add(0, IN, 0, 512);
    device.notify(0);
    engine.complete(engine.calls[0].tag, -EOPNOTSUPP);
    device.notify(0);
    assertEquals(driver.take(), { head, written: 0 });
  });
});

Deno.test("section 5.2.6.2: writes of a driver that does not flush are made stable one by one", () => {
  for (const flush of [true, false]) {
    withEngine(flush ? [VIRTIO_BLK_F.FLUSH] : [], ({ device, engine, add }) => {
      add(0, OUT, 0, 512);
      device.notify(0);
      assertEquals(engine.calls[0].stable, !flush);
    });
  }
});

Deno.test("a reset waits for what is in flight and answers nothing", () => {
  withEngine([VIRTIO_BLK_F.FLUSH], ({ driver, device, engine, add, status }) => {
    add(0, IN, 0, 512);
    add(1, OUT, 0, 512);
    device.notify(0);
    assertEquals(engine.inFlight, 2);
    device.reset();
    assertEquals(engine.waits, 1);
    assertEquals(driver.take(), undefined);
    assertEquals([status(0), status(1)], [0xee, 0xee]);
  });
});

Deno.test("as many requests can be in flight as the queue has entries", () => {
  withEngine([VIRTIO_BLK_F.FLUSH, VIRTIO_F.INDIRECT_DESC], ({ driver, device, engine, memory }) => {
    memory.view.setUint32(AREA, FLUSH, true);
    // One descriptor per chain: an indirect table that all of them share.
    const status = { address: AREA + 16, length: 1, writable: true };
    const buffers = [{ address: AREA, length: 16 }, status];
    const all = () => {
      while (driver.add(buffers, { indirectTable: 0x8000 }) >= 0);
    };
    for (let round = 0; round < 3; round++) {
      all();
      device.notify(0);
      assertEquals(engine.inFlight, 64);
      assertEquals(new Set(engine.calls.map(({ tag }) => tag)).size, 64);
      for (const { tag } of engine.calls.splice(0)) engine.complete(tag, 0);
      device.notify(0);
      assertEquals(driver.takeAll().length, 64);
    }
  });
});
