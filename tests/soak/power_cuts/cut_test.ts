import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { chooseMoments, cutAfter, randomFrom } from "./cut.ts";
import { SafeDisk } from "./disk_after.ts";
import { type LogBytes, type LoggedWrite, readWriteLog, SECTOR_BYTES } from "./write_log.ts";

const DISK_SECTORS = 16;

interface Asked {
  sector: number;
  sectors: number;
  kind: "write" | "fua" | "flush" | "discard";
}

const asked = fc.array(
  fc.record({
    sector: fc.nat(DISK_SECTORS - 4),
    sectors: fc.integer({ min: 1, max: 4 }),
    kind: fc.constantFrom<Asked["kind"]>("write", "write", "write", "fua", "flush", "discard"),
  }),
  { maxLength: 40 },
);

/** A log in which each write's bytes are its number. */
function logOf(requests: readonly Asked[]): LogBytes {
  const parts: Uint8Array[] = [sector([0x6a736677736872n, 1n, BigInt(requests.length)])];
  new DataView(parts[0].buffer).setUint32(24, SECTOR_BYTES, true);
  requests.forEach(({ sector: at, sectors, kind }, i) => {
    const flags = { write: 0n, fua: 2n, flush: 1n, discard: 4n }[kind];
    const count = kind === "flush" ? 0 : sectors;
    parts.push(sector([BigInt(kind === "flush" ? 0 : at), BigInt(count), flags, 0n]));
    if (kind !== "discard") parts.push(new Uint8Array(count * SECTOR_BYTES).fill(i + 1));
  });
  return inMemory(Uint8Array.from(parts.flatMap((it) => [...it])));
}

function sector(values: bigint[]): Uint8Array {
  const bytes = new Uint8Array(SECTOR_BYTES);
  values.forEach((it, i) => new DataView(bytes.buffer).setBigUint64(i * 8, it, true));
  return bytes;
}

const inMemory = (bytes: Uint8Array): LogBytes => ({
  size: bytes.length,
  read: (offset, count) => bytes.subarray(offset, offset + count),
});

Deno.test("a log is read as it was written, also where it was broken off", () => {
  fc.assert(fc.property(asked, fc.nat(), (requests, cut) => {
    const log = logOf(requests);
    const writes = readWriteLog(log);
    assertEquals(writes.length, requests.length);
    writes.forEach((write, i) => {
      const { kind, sector, sectors } = requests[i];
      assertEquals([write.flush, write.fua, write.discard], [
        ...[kind === "flush", kind === "fua", kind === "discard"],
      ]);
      if (kind !== "flush") {
        assertEquals([write.offset, write.bytes], [sector * SECTOR_BYTES, sectors * SECTOR_BYTES]);
      }
    });
    const size = SECTOR_BYTES + cut % (log.size - SECTOR_BYTES + 1);
    const broken = readWriteLog({ ...log, size });
    assertEquals(broken, writes.slice(0, broken.length));
    assert(writes.length === broken.length || writes[broken.length].end > size);
  }));
});

Deno.test("what is no log is refused", () => {
  const log = logOf([]).read(0, SECTOR_BYTES);
  for (const at of [0, 8, 24]) {
    const wrong = log.slice();
    wrong[at] ^= 0xff;
    assertThrows(() => readWriteLog(inMemory(wrong)), SyntaxError);
  }
  fc.assert(fc.property(fc.uint8Array({ minLength: 512, maxLength: 4096 }), (rest) => {
    const bytes = new Uint8Array(SECTOR_BYTES + rest.length);
    bytes.set(log);
    new DataView(bytes.buffer).setBigUint64(16, 1000n, true);
    bytes.set(rest, SECTOR_BYTES);
    try {
      readWriteLog(inMemory(bytes));
    } catch (error) {
      assert(error instanceof SyntaxError, String(error));
    }
  }));
});

Deno.test("a cut keeps what was safe, and of each other sector something that was written there", async () => {
  const folder = await Deno.makeTempDir();
  await fc.assert(
    fc.asyncProperty(asked, fc.nat(), fc.integer(), async (requests, moment, seed) => {
      const log = logOf(requests);
      const writes = readWriteLog(log);
      const done = moment % (writes.length + 1);
      const cut = cutAfter(writes, done, randomFrom(seed));
      const base = `${folder}/base`;
      await Deno.writeFile(base, new Uint8Array(DISK_SECTORS * SECTOR_BYTES));
      await new SafeDisk(base, log, writes).after(cut, `${folder}/after`);
      const disk = await Deno.readFile(`${folder}/after`);
      assertEquals(disk.length, DISK_SECTORS * SECTOR_BYTES);
      for (let sector = 0; sector < DISK_SECTORS; sector++) {
        const bytes = disk.subarray(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES);
        assert(bytes.every((it) => it === bytes[0]), "sectors are whole");
        const may = mayBe(writes, { done, sector });
        assert(may.includes(bytes[0]), `sector ${sector} is ${bytes[0]}, and may be ${may}`);
      }
    }),
    { numRuns: 60 },
  );
  await Deno.remove(folder, { recursive: true });
});

/** What a sector may hold by the rules of disks, found out from the last write on. */
function mayBe(
  writes: readonly LoggedWrite[],
  { done, sector }: { done: number; sector: number },
): number[] {
  const lastFlush = writes.slice(0, done).findLastIndex(({ flush }) => flush);
  const may: number[] = [];
  for (let i = done - 1; i >= 0; i--) {
    const { offset, bytes, discard, fua } = writes[i];
    const at = sector * SECTOR_BYTES;
    if (at < offset || at >= offset + bytes) continue;
    may.push(discard ? 0 : i + 1);
    if (fua || i < lastFlush) return may;
  }
  return [...may, 0];
}

Deno.test("moments are of the log, in order, and the same for a seed", () => {
  const writes = readWriteLog(logOf([
    { sector: 0, sectors: 1, kind: "write" },
    { sector: 0, sectors: 1, kind: "flush" },
    { sector: 0, sectors: 1, kind: "write" },
  ]));
  fc.assert(fc.property(fc.integer(), (seed) => {
    const moments = chooseMoments(writes, 20, randomFrom(seed));
    assertEquals(moments, chooseMoments(writes, 20, randomFrom(seed)));
    assertEquals(moments, moments.toSorted((a, b) => a - b));
    assert(moments.every((it) => it >= 0 && it <= writes.length));
  }));
});
