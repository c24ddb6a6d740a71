import { assertEquals, assertThrows } from "@std/assert";
import { crc32 as zlibCrc32 } from "node:zlib";
import { crc32 } from "./crc32.ts";
import { BOOT_CODE_BYTES, readTable, writeTable } from "./disk_table.ts";
import fc from "fast-check";
import {
  ALIGNMENT_SECTORS,
  encodeTable,
  freeNumber,
  freeTail,
  HEAD_SECTORS,
  parseTable,
  parseTail,
  type PartitionTable,
  SECTOR_BYTES,
  TAIL_SECTORS,
} from "./gpt.ts";

const TYPE = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";
const DISK_SECTORS = 8 * 1024 * 1024;

const tables: fc.Arbitrary<PartitionTable> = fc.record({
  diskId: fc.uuid(),
  gaps: fc.array(
    fc.record({
      gap: fc.nat(10_000),
      size: fc.integer({ min: 1, max: 50_000 }),
      id: fc.uuid(),
      name: fc.string({ maxLength: 36, unit: "binary-ascii" }).filter((it) => !it.includes("\0")),
    }),
    { maxLength: 128 },
  ),
}).map(({ diskId, gaps }) => {
  let next = HEAD_SECTORS;
  const partitions = gaps.map(({ gap, size, id, name }, i) => {
    const firstSector = next + gap;
    next = firstSector + size;
    return { number: i + 1, type: TYPE, id, name, firstSector, lastSector: next - 1 };
  });
  return { diskId, partitions };
});

const oneBoot: PartitionTable = {
  diskId: "11111111-2222-3333-4444-555555555555",
  partitions: [{
    number: 1,
    type: TYPE,
    id: "aaaaaaaa-2222-3333-4444-555555555555",
    name: "boot",
    firstSector: 2048,
    lastSector: 4095,
  }],
};

Deno.test("a table reads back as it was laid out", () => {
  fc.assert(
    fc.property(tables, (table) => {
      const { head, tail } = encodeTable(table, DISK_SECTORS);
      assertEquals(parseTable(head, tail, DISK_SECTORS), table);
    }),
    { numRuns: 50 },
  );
});

Deno.test("a damaged first copy is read from the second, and the other way round", () => {
  fc.assert(
    fc.property(tables, fc.nat(33 * SECTOR_BYTES - 1), fc.boolean(), (table, at, first) => {
      const { head, tail } = encodeTable(table, DISK_SECTORS);
      if (first) head[SECTOR_BYTES + at % (HEAD_SECTORS - 1) * SECTOR_BYTES] ^= 0x5a;
      else tail[at] ^= 0x5a;
      assertEquals(parseTable(head, tail, DISK_SECTORS), table);
    }),
    { numRuns: 50 },
  );
});

Deno.test("any bytes are a valid table, none, or an error that says why", () => {
  fc.assert(
    fc.property(
      tables,
      fc.array(fc.tuple(fc.nat(HEAD_SECTORS * SECTOR_BYTES - 1), fc.nat(255))),
      (table, edits) => {
        const { head } = encodeTable(table, DISK_SECTORS);
        for (const [at, byte] of edits) head[at] = byte;
        const none = new Uint8Array(TAIL_SECTORS * SECTOR_BYTES);
        try {
          parseTable(head, none, DISK_SECTORS);
        } catch (error) {
          if (!(error instanceof SyntaxError || error instanceof RangeError)) throw error;
        }
      },
    ),
    { numRuns: 50 },
  );
});

Deno.test("an image over the disk's beginning leaves the old table at its end", () => {
  fc.assert(
    fc.property(tables, (old) => {
      const { head } = encodeTable(oneBoot, 8192);
      const { tail } = encodeTable(old, DISK_SECTORS);
      assertEquals(parseTable(head, tail, DISK_SECTORS), oneBoot);
      assertEquals(parseTail(tail, DISK_SECTORS), old);
      tail[5] ^= 1;
      assertEquals(parseTail(tail, DISK_SECTORS), null);
    }),
    { numRuns: 20 },
  );
});

Deno.test("a disk without a table has none", () => {
  const head = new Uint8Array(HEAD_SECTORS * SECTOR_BYTES);
  const tail = new Uint8Array(TAIL_SECTORS * SECTOR_BYTES);
  assertEquals(parseTable(head, tail, DISK_SECTORS), null);
});

Deno.test("an image's table is read on a larger disk, and laid out anew for it", () => {
  const image = encodeTable(oneBoot, 8192);
  const blank = new Uint8Array(TAIL_SECTORS * SECTOR_BYTES);
  const table = parseTable(image.head, blank, DISK_SECTORS)!;
  assertEquals(table, oneBoot);
  const room = freeTail(table, DISK_SECTORS)!;
  assertEquals(room.firstSector, 4096);
  assertEquals((room.lastSector + 1) % ALIGNMENT_SECTORS, 0);
  const grown = {
    ...table,
    partitions: [...table.partitions, {
      ...table.partitions[0],
      ...room,
      number: freeNumber(table),
      name: "data",
    }],
  };
  const again = encodeTable(grown, DISK_SECTORS);
  assertEquals(parseTable(again.head, again.tail, DISK_SECTORS), grown);
});

Deno.test("a disk whose table is full to the end has no free tail", () => {
  assertEquals(freeTail(oneBoot, 4096 + TAIL_SECTORS), null);
});

Deno.test("partitions that overlap or leave the disk are refused", () => {
  const [boot] = oneBoot.partitions;
  const twice = { ...oneBoot, partitions: [boot, { ...boot, number: 2, firstSector: 4095 }] };
  assertThrows(() => encodeTable(twice, 8192), RangeError, "overlaps");
  assertThrows(() => encodeTable(oneBoot, 4000), RangeError, "the last usable one is 3966");
});

Deno.test("writing a table leaves the boot loader's code in the first sector alone", async () => {
  const path = await Deno.makeTempFile();
  const sectors = 8192;
  const code = new Uint8Array(BOOT_CODE_BYTES).fill(0x90);
  await Deno.writeFile(path, code);
  await Deno.truncate(path, sectors * SECTOR_BYTES);
  await writeTable(path, oneBoot, sectors);
  const disk = await Deno.readFile(path);
  assertEquals(disk.subarray(0, BOOT_CODE_BYTES), code);
  assertEquals([disk[450], disk[510], disk[511]], [0xee, 0x55, 0xaa]);
  assertEquals(await readTable(path, sectors), oneBoot);
  await Deno.remove(path);
});

Deno.test("the checksum is the one that zlib computes", () => {
  fc.assert(fc.property(fc.uint8Array(), (bytes) => {
    assertEquals(crc32(bytes), zlibCrc32(bytes));
  }));
});
