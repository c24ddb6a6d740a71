import { assert, assertEquals, assertThrows } from "@std/assert";
import { BlockDevice } from "./block.ts";
import { VIRTIO_BLK_F, VIRTIO_BLK_S, VIRTIO_BLK_T } from "./block_protocol.ts";
import type { EngineKind } from "./block_engine.ts";
import { VIRTIO_F } from "./device.ts";
import { closeDisk, openDisk } from "./disk.ts";
import { type Buffer, Driver, testMemory } from "./testing/driver.ts";
import { testDisk } from "./testing/disk.ts";
import { TestHost } from "./testing/host.ts";

const SECTORS = 64;
const HEADER = 0x10000;
const DATA = 0x20000;

interface Rig {
  memory: ReturnType<typeof testMemory>;
  host: TestHost;
  driver: Driver;
  device: BlockDevice;
  path: string;
  header(type: number, sector: number): void;
  /** Carries out one request and waits for it: its status byte and the length in the used ring. */
  request(buffers: Buffer[], statusAt: number): { status: number; written: number };
}

interface RigOptions {
  engine?: EngineKind;
  sectors?: number;
  readonly?: boolean;
  features?: number[];
  serial?: string;
  size?: number;
  memoryBytes?: number;
}

function withDisk(options: RigOptions, run: (rig: Rig) => void): void {
  const { sectors = SECTORS, features = [VIRTIO_BLK_F.FLUSH], readonly, serial, engine } = options;
  const path = Deno.makeTempFileSync();
  Deno.truncateSync(path, sectors * 512);
  const disk = openDisk(path, { readonly });
  using memory = testMemory(options.memoryBytes ?? 1 << 20);
  using host = new TestHost(memory, { queues: 1 });
  const eventIdx = features.includes(VIRTIO_F.EVENT_IDX);
  const driver = new Driver(memory, { size: options.size ?? 64, base: 0x1000, eventIdx });
  const device = new BlockDevice({ name: "block0", disk, serial, engine });
  const header = (type: number, sector: number) => {
    memory.view.setUint32(HEADER, type, true);
    memory.view.setUint32(HEADER + 4, 0, true);
    memory.view.setBigUint64(HEADER + 8, BigInt(sector), true);
  };
  const request = (buffers: Buffer[], statusAt: number) => {
    memory.bytes[statusAt] = 0xee;
    const head = driver.add(buffers);
    device.notify(0);
    host.until(() => driver.usedIndex === driver.availIndex);
    const used = driver.take()!;
    assertEquals(used.head, head);
    return { status: memory.bytes[statusAt], written: used.written };
  };
  try {
    host.device = device;
    device.activate(host, { queues: [driver.setup], features: new Set(features) });
    run({ memory, host, driver, device, path, header, request });
  } finally {
    device.reset();
    assertEquals(host.watched, 0);
    closeDisk(disk);
    Deno.removeSync(path);
  }
}

const head16 = { address: HEADER, length: 16 };
const statusByte = { address: HEADER + 16, length: 1, writable: true };
const STATUS = HEADER + 16;

for (const engine of ["io_uring", "sync"] as const) {
  Deno.test(`${engine}: what is written is in the file and is read back`, () => {
    withDisk({ engine }, ({ memory, device, header, request, path }) => {
      assertEquals(device.engine, engine);
      crypto.getRandomValues(memory.bytes.subarray(DATA, DATA + 2048));
      const sent = memory.bytes.slice(DATA, DATA + 2048);
      header(VIRTIO_BLK_T.OUT, 3);
      const data = [{ address: DATA, length: 1000 }, { address: DATA + 1000, length: 1048 }];
      assertEquals(request([head16, ...data, statusByte], STATUS), {
        status: VIRTIO_BLK_S.OK,
        written: 1,
      });
      assertEquals(Deno.readFileSync(path).slice(3 * 512, 3 * 512 + 2048), sent);
      header(VIRTIO_BLK_T.IN, 3);
      const into = [
        { address: DATA + 0x8000, length: 1, writable: true },
        { address: DATA + 0x9000, length: 2047, writable: true },
      ];
      assertEquals(request([head16, ...into, statusByte], STATUS), {
        status: VIRTIO_BLK_S.OK,
        written: 2049,
      });
      assertEquals(memory.bytes[DATA + 0x8000], sent[0]);
      assertEquals(memory.bytes.slice(DATA + 0x9000, DATA + 0x9000 + 2047), sent.slice(1));
    });
  });

  Deno.test(`${engine}: a flush completes`, () => {
    withDisk({ engine }, ({ header, request }) => {
      header(VIRTIO_BLK_T.FLUSH, 0);
      assertEquals(request([head16, statusByte], STATUS), {
        status: VIRTIO_BLK_S.OK,
        written: 1,
      });
    });
  });

  Deno.test(`${engine}: a file that has shrunk gives an I/O error`, () => {
    withDisk({ engine }, ({ header, request, path }) => {
      Deno.truncateSync(path, 512);
      header(VIRTIO_BLK_T.IN, 0);
      const into = { address: DATA, length: 1024, writable: true };
      // Section 2.7.8.2 counts from the first writable byte, and of those it is unknown what was written.
      assertEquals(request([head16, into, statusByte], STATUS), {
        status: VIRTIO_BLK_S.IOERR,
        written: 0,
      });
    });
  });

  Deno.test(`${engine}: random reads, writes and flushes at depth 32 agree with a model`, () => {
    randomRequests(engine);
  });
}

/** Without printing a megabyte where they differ. */
function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** Disjoint sectors in flight, so that the order in which they complete does not matter. */
function randomRequests(engine: EngineKind): void {
  const depth = 32;
  const slotSectors = 64;
  const sectors = depth * slotSectors;
  const features = [VIRTIO_BLK_F.FLUSH, VIRTIO_F.EVENT_IDX, VIRTIO_F.INDIRECT_DESC];
  const options = { engine, sectors, features, size: 128, memoryBytes: 8 << 20 };
  withDisk(options, ({ memory, driver, device, host, path }) => {
    let seed = 12345;
    const random = (n: number) => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      return Math.floor(seed / 2 ** 32 * n);
    };
    const model = new Uint8Array(sectors * 512);
    const slotAt = (slot: number) => 0x100000 + slot * 0x10000;
    const pending = new Map<number, () => void>();
    const start = (slot: number) => {
      const at = slotAt(slot);
      const count = random(24);
      const sector = slot * slotSectors + random(slotSectors - count);
      const kind = random(8);
      const type = kind === 0 ? VIRTIO_BLK_T.FLUSH : kind < 4 ? VIRTIO_BLK_T.OUT : VIRTIO_BLK_T.IN;
      memory.view.setUint32(at, type, true);
      memory.view.setBigUint64(at + 8, BigInt(sector), true);
      const status = at + 16;
      memory.bytes[status] = 0xee;
      const length = type === VIRTIO_BLK_T.FLUSH ? 0 : count * 512;
      const data = memory.bytes.subarray(at + 0x1000, at + 0x1000 + length);
      if (type === VIRTIO_BLK_T.OUT) {
        for (let i = 0; i < length; i++) data[i] = random(256);
      } else data.fill(0xdd);
      const writable = type === VIRTIO_BLK_T.IN;
      const buffers: Buffer[] = [{ address: at, length: 16 }];
      for (let done = 0; done < length;) {
        const part = Math.min(length - done, 1 + random(3000));
        buffers.push({ address: at + 0x1000 + done, length: part, writable });
        done += part;
      }
      buffers.push({ address: status, length: 1, writable: true });
      const head = driver.add(buffers, random(2) ? { indirectTable: at + 0xf000 } : {});
      if (head < 0) return false;
      if (type === VIRTIO_BLK_T.OUT) model.set(data, sector * 512);
      pending.set(head, () => {
        assertEquals(memory.bytes[status], VIRTIO_BLK_S.OK);
        if (writable) assert(same(data, model.subarray(sector * 512, sector * 512 + length)));
        idle.push(slot);
      });
      return true;
    };
    const idle = Array.from({ length: depth }, (_, slot) => slot);
    let started = 0;
    const total = 3000;
    while (started < total || pending.size > 0) {
      const before = driver.availIndex;
      while (started < total && idle.length > 0) {
        if (!start(idle.at(-1)!)) break;
        idle.pop();
        started++;
      }
      driver.setUsedEvent(driver.usedIndex);
      if (driver.availIndex !== before && driver.wantsKick(before)) device.notify(0);
      host.until(() => {
        host.serveSelfNotifications(device);
        const all = driver.takeAll();
        for (const { head } of all) {
          const finish = pending.get(head);
          assert(finish, `head ${head} was returned twice`);
          pending.delete(head);
          finish();
        }
        return all.length > 0;
      });
    }
    assertEquals(host.failures, []);
    assert(same(Deno.readFileSync(path), model));
  });
}

Deno.test("a header in 16 segments and a status byte behind the data in one are understood", () => {
  withDisk({}, ({ memory, header, request, path }) => {
    Deno.writeFileSync(path, new Uint8Array(SECTORS * 512).fill(7));
    header(VIRTIO_BLK_T.IN, 0);
    const pieces = Array.from({ length: 16 }, (_, i) => ({ address: HEADER + i, length: 1 }));
    const rest = { address: DATA, length: 513, writable: true };
    assertEquals(request([...pieces, rest], DATA + 512), { status: 0, written: 513 });
    assertEquals(memory.bytes[DATA + 511], 7);
  });
});

Deno.test("GET_ID answers with the serial number, padded with zeros", () => {
  withDisk({ serial: "disk-1" }, ({ memory, header, request }) => {
    header(VIRTIO_BLK_T.GET_ID, 0);
    const id = { address: DATA, length: 20, writable: true };
    assertEquals(request([head16, id, statusByte], STATUS), { status: 0, written: 21 });
    const text = new TextDecoder().decode(memory.bytes.slice(DATA, DATA + 20));
    assertEquals(text, "disk-1".padEnd(20, "\0"));
  });
});

Deno.test("a serial number of more than 20 characters is refused", () => {
  const make = () => new BlockDevice({ name: "b", disk: testDisk(), serial: "x".repeat(21) });
  assertThrows(make, RangeError, "at most 20");
});

Deno.test("an unknown request is UNSUPP", () => {
  withDisk({}, ({ header, request }) => {
    header(99, 0);
    assertEquals(request([head16, statusByte], STATUS).status, VIRTIO_BLK_S.UNSUPP);
  });
});

Deno.test("input 7: segments that are each in bounds but end past the disk give IOERR and no I/O", () => {
  withDisk({}, ({ memory, header, request, path }) => {
    memory.bytes.fill(0xaa, DATA, DATA + 1024);
    header(VIRTIO_BLK_T.OUT, SECTORS - 1);
    const data = [{ address: DATA, length: 512 }, { address: DATA + 512, length: 512 }];
    assertEquals(request([head16, ...data, statusByte], STATUS).status, VIRTIO_BLK_S.IOERR);
    assertEquals(Deno.readFileSync(path), new Uint8Array(SECTORS * 512));
    header(VIRTIO_BLK_T.OUT, Number.MAX_SAFE_INTEGER);
    assertEquals(request([head16, ...data, statusByte], STATUS).status, VIRTIO_BLK_S.IOERR);
  });
});

Deno.test("input 8: a chain without a status byte comes back with length 0, and the next is served", () => {
  withDisk({}, ({ driver, device, host, header, request }) => {
    header(VIRTIO_BLK_T.FLUSH, 0);
    const head = driver.add([head16]);
    device.notify(0);
    assertEquals(driver.take(), { head, written: 0 });
    assertEquals(host.failures, []);
    assertEquals(request([head16, statusByte], STATUS).status, VIRTIO_BLK_S.OK);
  });
});

Deno.test("a length that is no multiple of 512, and a header that is too short, give IOERR", () => {
  withDisk({}, ({ header, request }) => {
    header(VIRTIO_BLK_T.IN, 0);
    const odd = { address: DATA, length: 511, writable: true };
    assertEquals(request([head16, odd, statusByte], STATUS).status, VIRTIO_BLK_S.IOERR);
    const short = { address: HEADER, length: 15 };
    assertEquals(request([short, statusByte], STATUS).status, VIRTIO_BLK_S.IOERR);
  });
});

Deno.test("writes to a read-only disk give IOERR, reads work", () => {
  withDisk({ readonly: true }, ({ device, header, request }) => {
    assert(device.features.includes(VIRTIO_BLK_F.RO));
    header(VIRTIO_BLK_T.OUT, 0);
    const data = { address: DATA, length: 512 };
    assertEquals(request([head16, data, statusByte], STATUS).status, VIRTIO_BLK_S.IOERR);
    header(VIRTIO_BLK_T.IN, 0);
    const into = { ...data, writable: true };
    assertEquals(request([head16, into, statusByte], STATUS).status, VIRTIO_BLK_S.OK);
  });
});

for (const engine of ["io_uring", "sync"] as const) {
  Deno.test(`${engine}: a violation in the middle of a batch stops the device at once`, () => {
    withDisk({ engine }, ({ driver, device, host, header, memory }) => {
      header(VIRTIO_BLK_T.IN, 0);
      memory.bytes.fill(0xaa, DATA, DATA + 512);
      const data = { address: DATA, length: 512, writable: true };
      const head = driver.add([head16, data, statusByte]);
      driver.offer(head);
      device.notify(0);
      assertEquals(host.failures, ["queue 0: head 0 was made available again while it is in use"]);
      assertEquals(host.watched, 0);
      assertEquals(driver.take(), undefined);
      device.notify(0);
      assertEquals(host.failures.length, 1);
    });
  });
}

Deno.test("a disk whose queue is set up wrongly can be activated after a reset", () => {
  withDisk({}, ({ driver, device, host, header, request }) => {
    device.reset();
    const activate = (size: number) =>
      device.activate(host, {
        queues: [{ ...driver.setup, size }],
        features: new Set([VIRTIO_BLK_F.FLUSH]),
      });
    assertThrows(() => activate(3), RangeError, "not a power of two");
    assertThrows(() => activate(512), RangeError, "not a power of two up to 256");
    assertThrows(() => device.activate(host, { queues: [null], features: new Set() }), RangeError);
    activate(driver.setup.size);
    header(VIRTIO_BLK_T.FLUSH, 0);
    assertEquals(request([head16, statusByte], STATUS).status, VIRTIO_BLK_S.OK);
  });
});

Deno.test("a batch raises one interrupt", () => {
  withDisk({ engine: "sync" }, ({ driver, device, host, header }) => {
    header(VIRTIO_BLK_T.FLUSH, 0);
    for (let i = 0; i < 20; i++) driver.add([head16, { ...statusByte, address: DATA + i }]);
    device.notify(0);
    assertEquals(driver.takeAll().length, 20);
    assertEquals(host.interrupts, [1]);
  });
});

Deno.test("of a batch of large requests, each is answered before the next is begun", () => {
  const bytes = 512 * 1024;
  withDisk({ engine: "sync", sectors: 3 * bytes / 512, memoryBytes: 2 << 20 }, (rig) => {
    rig.header(VIRTIO_BLK_T.IN, 0);
    const into = { address: 1 << 20, length: bytes, writable: true };
    for (let n = 0; n < 3; n++) {
      rig.driver.add([head16, into, { address: 0x18000 + n, length: 1, writable: true }]);
    }
    rig.device.notify(0);
    rig.host.until(() => rig.driver.usedIndex === rig.driver.availIndex);
    assertEquals(rig.host.interrupts, [3]);
  });
});

Deno.test("after reset, nothing in flight touches guest memory", () => {
  withDisk(
    { sectors: 1 << 15, memoryBytes: 32 << 20 },
    ({ memory, driver, device, host, path }) => {
      Deno.writeFileSync(path, new Uint8Array(16 << 20).fill(1));
      for (let i = 0; i < 16; i++) {
        const at = HEADER + 32 * i;
        memory.view.setUint32(at, VIRTIO_BLK_T.IN, true);
        memory.view.setBigUint64(at + 8, BigInt(i * 2048), true);
        driver.add([
          { address: at, length: 16 },
          { address: (1 << 20) * (i + 1), length: 1 << 20, writable: true },
          { address: at + 16, length: 1, writable: true },
        ]);
      }
      device.notify(0);
      device.reset();
      const before = driver.usedIndex;
      memory.bytes.fill(0, 1 << 20, 17 << 20);
      host.turn(50);
      assert(memory.bytes.subarray(1 << 20, 17 << 20).every((byte) => byte === 0));
      assertEquals(driver.usedIndex, before);
    },
  );
});

Deno.test("the configuration says the capacity, the block size and how many segments fit", () => {
  withDisk({}, ({ device }) => {
    assertEquals(device.readConfig(0, 4), SECTORS);
    assertEquals(device.readConfig(4, 4), 0);
    assertEquals(device.readConfig(12, 4), 254);
    assertEquals(device.readConfig(20, 4), 512);
    assertEquals(device.readConfig(1 << 16, 4), 0);
  });
});
