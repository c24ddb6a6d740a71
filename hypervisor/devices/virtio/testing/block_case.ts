/**
 * Random requests to a disk, mostly valid, each way to be invalid rare; and what must hold for every one
 * of them.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { BlockDevice } from "../block.ts";
import { VIRTIO_BLK_F, VIRTIO_BLK_S, VIRTIO_BLK_T } from "../block_protocol.ts";
import type { EngineKind } from "../block_engine.ts";
import { VIRTIO_F } from "../device.ts";
import { closeDisk, openDisk } from "../disk.ts";
import { type Buffer, Driver, testMemory } from "./driver.ts";
import { TestHost } from "./host.ts";
import { assertOnlyChanged } from "./queue_case.ts";

const SECTORS = 64;
const QUEUE_SIZE = 128;
const QUEUES = 3;
const RINGS = 0x1000;
const INDIRECT = 0x10000;
const AREAS = 0x20000;
const AREA_BYTES = 0x4000;
const SERIAL = "serial-0";
/** Status bytes and buffers hold this before a request. */
const UNTOUCHED = 0xee;

interface RequestCase {
  type: number;
  sector: number;
  /** Bytes of data, and where they are cut into segments. */
  data: number;
  cuts: number[];
  /** How many bytes of the header there are. */
  header: number;
  /** In how many bytes' pieces the header comes. */
  headerPiece: number;
  hasStatus: boolean;
  /** The status byte lies in the last data segment. */
  statusWithData: boolean;
  /** The data is offered for the other direction. */
  wrongWay: boolean;
  indirect: boolean;
  /** The data begins this far from an aligned address. */
  shift: number;
  queue: number;
  /** What DISCARD and WRITE_ZEROES are about; takes the place of the data. */
  range: { sector: number; count: number; flags: number };
}

export interface BlockCase {
  readonly: boolean;
  cache: "cached" | "direct";
  discard: boolean;
  features: number[];
  requests: RequestCase[];
}

/** Nearly always `usual`, now and then `rare`. */
function mostly<T>(usual: fc.Arbitrary<T>, rare: fc.Arbitrary<T>): fc.Arbitrary<T> {
  return fc.oneof({ weight: 15, arbitrary: usual }, { weight: 1, arbitrary: rare });
}

const { IN, OUT, FLUSH, GET_ID, DISCARD, WRITE_ZEROES } = VIRTIO_BLK_T;

const request: fc.Arbitrary<RequestCase> = fc.record({
  type: mostly(
    fc.constantFrom<number>(IN, IN, OUT, OUT, FLUSH, GET_ID, DISCARD, WRITE_ZEROES),
    fc.integer({ min: 0, max: 0xffff_ffff }),
  ),
  sector: mostly(
    fc.integer({ min: 0, max: SECTORS - 8 }),
    fc.oneof(
      fc.integer({ min: SECTORS - 8, max: SECTORS + 1 }),
      fc.maxSafeNat(),
      fc.constant(2 ** 63),
    ),
  ),
  data: mostly(
    fc.integer({ min: 0, max: 8 }).map((n) => n * 512),
    fc.integer({ max: 4096, min: 0 }),
  ),
  cuts: fc.array(fc.integer({ min: 1, max: 4095 }), { maxLength: 4 }),
  header: mostly(fc.constant(16), fc.integer({ min: 0, max: 15 })),
  headerPiece: fc.constantFrom(16, 16, 16, 5),
  hasStatus: mostly(fc.constant(true), fc.constant(false)),
  statusWithData: fc.boolean(),
  wrongWay: mostly(fc.constant(false), fc.constant(true)),
  indirect: fc.boolean(),
  shift: mostly(fc.constant(0), fc.integer({ min: 0, max: 511 })),
  queue: fc.nat({ max: QUEUES - 1 }),
  range: fc.record({
    sector: mostly(
      fc.nat({ max: SECTORS - 8 }),
      fc.oneof(fc.nat({ max: SECTORS + 1 }), fc.maxSafeNat()),
    ),
    count: mostly(fc.integer({ min: 1, max: 8 }), fc.constantFrom(0, 65, 2 ** 32 - 1)),
    flags: mostly(fc.constantFrom(0, 0, 1), fc.nat({ max: 2 ** 32 - 1 })),
  }),
});

export const blockCase: fc.Arbitrary<BlockCase> = fc.record({
  readonly: mostly(fc.constant(false), fc.constant(true)),
  cache: fc.constantFrom("cached", "direct"),
  discard: mostly(fc.constant(true), fc.constant(false)),
  features: fc.subarray<number>([
    VIRTIO_BLK_F.FLUSH,
    VIRTIO_BLK_F.CONFIG_WCE,
    VIRTIO_F.EVENT_IDX,
    VIRTIO_F.INDIRECT_DESC,
  ]),
  requests: fc.array(request, { minLength: 1, maxLength: 16 }),
});

interface Expected {
  status: number;
  written: number;
  /** Bytes that come into the writable part. */
  into: Uint8Array | undefined;
}

/** What section 5.2.6 says of a request; carries out writes on `disk`. */
function expect(
  one: RequestCase,
  device: { readonly: boolean; discards: boolean },
  disk: Uint8Array,
  payload: Uint8Array,
) {
  const { type, sector, data } = one;
  const read = isRead(one);
  const writable = read ? data : 0;
  const readable = read ? 0 : data;
  const fails = (status: number): Expected => ({
    status,
    written: writable > 0 ? 0 : 1,
    into: undefined,
  });
  if (one.header < 16 && one.header + readable < 16) return fails(VIRTIO_BLK_S.IOERR);
  // The missing part of the header would be data: nothing to predict but that it is safe.
  if (one.header < 16) return undefined;
  const ok: Expected = { status: VIRTIO_BLK_S.OK, written: writable + 1, into: undefined };
  switch (type) {
    case IN:
      if (writable % 512 !== 0 || sector + writable / 512 > SECTORS) {
        return fails(VIRTIO_BLK_S.IOERR);
      }
      return { ...ok, into: disk.slice(sector * 512, sector * 512 + writable) };
    case OUT:
      if (readable % 512 !== 0 || sector + readable / 512 > SECTORS || device.readonly) {
        return fails(VIRTIO_BLK_S.IOERR);
      }
      disk.set(payload.subarray(0, readable), sector * 512);
      return { ...ok, written: writable > 0 ? 0 : 1 };
    case FLUSH:
      return { ...ok, written: 1 };
    case GET_ID: {
      const id = new Uint8Array(20);
      new TextEncoder().encodeInto(SERIAL, id);
      const into = id.subarray(0, Math.min(20, writable));
      return { ...ok, into, written: writable > 20 ? 20 : writable + 1 };
    }
    case DISCARD:
    case WRITE_ZEROES: {
      if (!device.discards) return fails(VIRTIO_BLK_S.UNSUPP);
      if (readable !== 16) return fails(VIRTIO_BLK_S.IOERR);
      const { sector, count, flags } = one.range;
      if (flags > (type === DISCARD ? 0 : 1)) return fails(VIRTIO_BLK_S.UNSUPP);
      if (count === 0 || sector + count > SECTORS) return fails(VIRTIO_BLK_S.IOERR);
      // Discarded blocks may read as anything; those of a file read as zeros.
      disk.fill(0, sector * 512, (sector + count) * 512);
      return { ...ok, written: writable > 0 ? 0 : 1 };
    }
    default:
      return fails(VIRTIO_BLK_S.UNSUPP);
  }
}

/** A range instead of data, for the requests that are about one. */
function writeRange(view: DataView, at: number, { range }: RequestCase): void {
  view.setBigUint64(at, BigInt(range.sector), true);
  view.setUint32(at + 8, range.count, true);
  view.setUint32(at + 12, range.flags, true);
}

function isRead(one: RequestCase): boolean {
  return (one.type === IN || one.type === GET_ID) !== one.wrongWay;
}

/** One request after the other: the answers, the file and guest memory are as the standard says. */
export function checkBlockCase(one: BlockCase, engine: EngineKind): void {
  const path = Deno.makeTempFileSync();
  const disk = Uint8Array.from({ length: SECTORS * 512 }, (_, i) => i ^ (i >> 8));
  Deno.writeFileSync(path, disk);
  const file = openDisk(path, { readonly: one.readonly, cache: one.cache });
  const rules = { readonly: one.readonly, discards: one.discard && file.discard };
  using memory = testMemory(AREAS + AREA_BYTES);
  using host = new TestHost(memory, { queues: QUEUES });
  const features = new Set(one.features);
  const eventIdx = features.has(VIRTIO_F.EVENT_IDX);
  const drivers = Array.from(
    { length: QUEUES },
    (_, index) =>
      new Driver(memory, { size: QUEUE_SIZE, base: RINGS * (index + 1), index, eventIdx }),
  );
  const device = new BlockDevice({
    name: "block0",
    disk: { ...file, discard: rules.discards },
    queues: QUEUES,
    serial: SERIAL,
    engine,
  });
  device.activate(host, { queues: drivers.map(({ setup }) => setup), features });
  const { changes, sizeBytes } = device.disk;
  changes.start(sizeBytes);
  try {
    one.requests.forEach((item, number) => {
      memory.bytes.fill(UNTOUCHED, AREAS);
      const driver = drivers[item.queue];
      const about = item.type === DISCARD || item.type === WRITE_ZEROES;
      if (about && item.data !== 0 && item.data % 512 === 0) item = { ...item, data: 16, cuts: [] };
      const read = isRead(item);
      const dataAt = AREAS + 0x200 + item.shift;
      const statusAt = item.statusWithData && read ? dataAt + item.data : AREAS + 0x100;
      const payload = memory.bytes.subarray(dataAt, dataAt + item.data);
      if (!read) payload.forEach((_, i) => payload[i] = i * 7 + number);
      if (!read && about && item.data === 16) writeRange(memory.view, dataAt, item);
      memory.view.setUint32(AREAS, item.type, true);
      memory.view.setBigUint64(AREAS + 8, BigInt(item.sector), true);
      const buffers = layOut(item, read, { dataAt, statusAt });
      if (buffers.length === 0) return;
      const before = memory.bytes.slice();
      const stored = Deno.readFileSync(path);
      const expected = expect(item, rules, disk, payload);
      const indirect = item.indirect && features.has(VIRTIO_F.INDIRECT_DESC);
      driver.setUsedEvent(driver.usedIndex);
      const head = driver.add(buffers, indirect ? { indirectTable: INDIRECT } : {});
      before.set(memory.bytes.subarray(0, AREAS));
      const interrupts = host.interrupts[item.queue];
      device.notify(item.queue);
      host.until(() => driver.usedIndex === driver.availIndex);
      assertEquals(host.interrupts[item.queue], interrupts + 1);
      const used = driver.take()!;
      assertEquals(used.head, head);
      const isChanged = Deno.readFileSync(path).some((byte, i) => byte !== stored[i]);
      const told = changes.take(2);
      assert(!isChanged || told.length === 1, "what has changed on the disk is not known");
      assert(told.length === 0 || !rules.readonly, "a disk that cannot has changed");
      const ring = [driver.setup.used, driver.setup.used + 6 + 8 * QUEUE_SIZE];
      assertOnlyChanged(
        before,
        memory.bytes,
        (at) =>
          at >= ring[0] && at < ring[1] ||
          buffers.some((buffer) =>
            buffer.writable && at >= buffer.address && at < buffer.address + buffer.length
          ),
      );
      if (!item.hasStatus) {
        // The last byte of what is writable is the status; without any, the request goes back.
        if (!buffers.some(({ writable }) => writable)) {
          assertEquals(used.written, 0);
        }
      } else if (expected !== undefined) {
        assertEquals(memory.bytes[statusAt], expected.status);
        assertEquals(used.written, expected.written);
        if (expected.into) {
          assertEquals(memory.bytes.slice(dataAt, dataAt + expected.into.length), expected.into);
        }
      }
      if (!item.hasStatus || expected === undefined) disk.set(Deno.readFileSync(path));
    });
    const file = Deno.readFileSync(path);
    assertEquals(file.length, disk.length);
    assert(file.every((byte, i) => byte === disk[i]), "the file differs from the model");
    assertEquals(host.failures, []);
  } finally {
    device.reset();
    closeDisk(file);
    Deno.removeSync(path);
  }
}

function layOut(
  one: RequestCase,
  read: boolean,
  at: { dataAt: number; statusAt: number },
): Buffer[] {
  const buffers: Buffer[] = [];
  for (let i = 0; i < one.header; i += one.headerPiece) {
    buffers.push({ address: AREAS + i, length: Math.min(one.headerPiece, one.header - i) });
  }
  const withStatus = one.hasStatus && one.statusWithData && read;
  const end = one.data + (withStatus ? 1 : 0);
  const cuts = [0, ...one.cuts.filter((cut) => cut < end).sort((a, b) => a - b), end];
  for (let i = 1; i < cuts.length; i++) {
    const length = cuts[i] - cuts[i - 1];
    if (length > 0) buffers.push({ address: at.dataAt + cuts[i - 1], length, writable: read });
  }
  if (one.hasStatus && !withStatus) {
    buffers.push({ address: at.statusAt, length: 1, writable: true });
  }
  return buffers;
}
