/**
 * A disk whose requests nobody carries out: the test says what completes, and how.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import type { Iovecs } from "../../../sys/iovecs.ts";
import { BlockDevice, type BlockOptions } from "../block.ts";
import type { BlockEngine, BlockRange, EngineOptions, Transfer } from "../block_engine.ts";
import { VIRTIO_BLK_F, VIRTIO_BLK_T } from "../block_protocol.ts";
import { testDisk } from "./disk.ts";
import { Driver, testMemory } from "./driver.ts";
import { TestHost } from "./host.ts";

/** Request number `n` has what it needs from `AREA * (n + 1)` on. */
export const AREA = 0x10000;

export interface Call {
  tag: number;
  kind: "read" | "write" | "sync" | "discard" | "zero";
  position: number;
  /** Address in guest memory and length of each piece. */
  pieces: [number, number][];
  stable: boolean;
}

export class HeldEngine implements BlockEngine {
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

export interface HeldRig {
  memory: ReturnType<typeof testMemory>;
  host: TestHost;
  /** One for each queue. */
  drivers: Driver[];
  driver: Driver;
  device: BlockDevice;
  engine: HeldEngine;
  /** Lets time go by, for timers and for rate limits. */
  elapse(ms: number): void;
  status(request: number): number;
  /** Adds request number `request` with data of these lengths to the first queue; its head. */
  add(request: number, type: number, sector: number, ...lengths: number[]): number;
  /** The same with data that is given, in another queue. */
  addTo(queue: number, request: number, what: { type: number; sector?: number }): number;
}

export interface HeldOptions {
  /** Those that the driver accepts; FLUSH without. */
  features?: number[];
  /** How many queues; 1 without. */
  queues?: number;
  options?: Partial<BlockOptions>;
}

const RING_BYTES = 0x1000;

export function withEngine(options: HeldOptions, run: (rig: HeldRig) => void): void {
  const { features = [VIRTIO_BLK_F.FLUSH], queues = 1 } = options;
  using memory = testMemory(1 << 20);
  using host = new TestHost(memory, { queues });
  const drivers = Array.from(
    { length: queues },
    (_, index) => new Driver(memory, { size: 64, base: RING_BYTES * (index + 1), index }),
  );
  let engine: HeldEngine | undefined;
  let now = 0;
  const device = new BlockDevice(
    { name: "block0", disk: testDisk({ sectors: 1000 }), queues, ...options.options },
    {
      engines: (options) => engine = new HeldEngine(options, memory.address),
      now: () => now,
    },
  );
  host.device = device;
  device.activate(host, {
    queues: drivers.map(({ setup }) => setup),
    features: new Set(features),
  });
  const header = (request: number, type: number, sector: number) => {
    const at = AREA * (request + 1);
    memory.view.setUint32(at, type, true);
    memory.view.setUint32(at + 8, sector, true);
    memory.bytes[at + 16] = 0xee;
    return at;
  };
  const status = (request: number) => ({
    address: AREA * (request + 1) + 16,
    length: 1,
    writable: true,
  });
  run({
    memory,
    host,
    drivers,
    driver: drivers[0],
    device,
    engine: engine!,
    elapse(ms) {
      now += ms;
      host.elapse(ms);
    },
    status: (request) => memory.bytes[AREA * (request + 1) + 16],
    add(request, type, sector, ...lengths) {
      const at = header(request, type, sector);
      let next = at + 0x1000;
      return drivers[0].add([
        { address: at, length: 16 },
        ...lengths.map((length) => ({
          address: (next += length) - length,
          length,
          writable: type === VIRTIO_BLK_T.IN,
        })),
        status(request),
      ]);
    },
    addTo(queue, request, { type, sector = 0 }) {
      const at = header(request, type, sector);
      return drivers[queue].add([{ address: at, length: 16 }, status(request)]);
    },
  });
  device.reset();
  assert(engine!.closed);
  assertEquals(host.timers, 0);
}
