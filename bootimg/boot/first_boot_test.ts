import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { PARTITION_TYPES, type PartitionTable } from "../disk/gpt.ts";
import { fatLabel } from "../disk/fat.ts";
import { BOOT_NAME, DATA_NAME, UNFINISHED_NAME } from "../disk/names.ts";
import { DATA_FIRST_SECTOR, loaderPartitions } from "../slots/places.ts";
import { findBoot, keptData, MIN_DATA_SECTORS, planData } from "../storage/place.ts";
import { fingerprint } from "./certificate.ts";
import { kvmModule } from "./coldplug.ts";
import { parsePartitionId, partitionIdOfWords } from "./efi.ts";
import { parseProgress } from "./shutdown.ts";
import { timeConfig } from "./time.ts";

const BOOT_ID = "aaaaaaaa-2222-3333-4444-555555555555";
const IMAGE: PartitionTable = {
  diskId: "11111111-2222-3333-4444-555555555555",
  partitions: [{
    number: 1,
    type: PARTITION_TYPES.efiSystem,
    id: BOOT_ID,
    name: BOOT_NAME,
    firstSector: 2048,
    lastSector: 131071,
  }],
};
const DISK_SECTORS = 12 * 1024 * 1024;

Deno.test("the data partition takes the disk but for room for larger images", () => {
  const [boot, data] = planData(IMAGE, DISK_SECTORS).partitions;
  assertEquals(boot, IMAGE.partitions[0]);
  assertEquals(data.name, UNFINISHED_NAME);
  assertEquals(data.number, 2);
  assertEquals(data.firstSector, DATA_FIRST_SECTOR);
  assertEquals(DISK_SECTORS - data.lastSector <= 2048 + 1, true);
});

Deno.test("on a small disk the data partition begins right behind the image", () => {
  const [, data] = planData(IMAGE, 131072 + 2 * MIN_DATA_SECTORS).partitions;
  assertEquals(data.firstSector, 131072);
});

Deno.test("after a newer image was written, the data partition of before is taken up", () => {
  const [boot, data] = planData(IMAGE, DISK_SECTORS).partitions;
  const old = { ...IMAGE, partitions: [boot, { ...data, name: DATA_NAME, number: 3 }] };
  const larger = { ...IMAGE, partitions: [{ ...boot, lastSector: boot.lastSector + 4096 }] };
  assertEquals(keptData(larger, old), { ...data, name: DATA_NAME, number: 2 });
});

Deno.test("what is not a finished data partition, or lies in the image's way, is not taken up", () => {
  const [boot, data] = planData(IMAGE, DISK_SECTORS).partitions;
  assertEquals(keptData(IMAGE, null), null);
  assertEquals(keptData(IMAGE, { ...IMAGE, partitions: [boot, data] }), null);
  const old = { ...IMAGE, partitions: [boot, { ...data, name: DATA_NAME }] };
  const huge = { ...IMAGE, partitions: [{ ...boot, lastSector: data.firstSector }] };
  assertEquals(keptData(huge, old), null);
});

Deno.test("a first boot that was cut is made anew in the same place", () => {
  const cut = planData(IMAGE, DISK_SECTORS);
  const [, first] = cut.partitions;
  const [, second, ...more] = planData(cut, DISK_SECTORS).partitions;
  assertEquals({ ...second, id: "" }, { ...first, id: "" });
  assertEquals(more, []);
});

Deno.test("slots for newer systems lie before the data partition, also of a disk that is taken up", () => {
  const image = {
    ...IMAGE,
    partitions: [...IMAGE.partitions, ...loaderPartitions(() => crypto.randomUUID())],
  };
  const names = planData(image, DISK_SECTORS).partitions.map((it) => it.name);
  assertEquals(names.slice(0, 4), [BOOT_NAME, UNFINISHED_NAME, "denovisor-a", "denovisor-b"]);
  const data = planData(image, DISK_SECTORS).partitions[1];
  assertEquals(data.firstSector, DATA_FIRST_SECTOR);
  // Another first boot after a cut makes the same of it.
  const again = planData(planData(image, DISK_SECTORS), DISK_SECTORS).partitions;
  assertEquals(
    again.map((it) => it.firstSector).sort(),
    [...new Set(again.map((it) => it.firstSector))].sort(),
  );
  assertEquals(again.find((it) => it.name === UNFINISHED_NAME)!.firstSector, DATA_FIRST_SECTOR);
  const small = planData(image, 131072 + 2 * MIN_DATA_SECTORS).partitions;
  assertEquals(small.some((it) => it.name === "denovisor-a"), false);
});

Deno.test("a finished data partition is never planned away", () => {
  const [boot, data] = planData(IMAGE, DISK_SECTORS).partitions;
  const finished = { ...IMAGE, partitions: [boot, { ...data, name: DATA_NAME }] };
  assertThrows(() => planData(finished, DISK_SECTORS), RangeError, "0 MiB are free");
});

Deno.test("a disk that is too small is refused with what it needs", () => {
  const small = 131072 + MIN_DATA_SECTORS - 2048;
  assertThrows(() => planData(IMAGE, small), RangeError, "512 are needed; use a larger disk");
});

Deno.test("the disk that was booted from is told by its partition's id, else the first is taken", () => {
  const other = {
    table: { ...IMAGE, partitions: [{ ...IMAGE.partitions[0], id: crypto.randomUUID() }] },
  };
  const own = { table: IMAGE };
  const none = { table: { ...IMAGE, partitions: [] } };
  assertEquals(findBoot([none, other, own], BOOT_ID), own);
  assertEquals(findBoot([none, other, own], null), other);
  assertEquals(findBoot([none], BOOT_ID), undefined);
});

Deno.test("the loader's variable is read as UTF-16 behind its attributes", () => {
  const text = new TextEncoder().encode(
    [...BOOT_ID.toUpperCase()].map((it) => `${it}\0`).join("") + "\0\0",
  );
  assertEquals(parsePartitionId(new Uint8Array([6, 0, 0, 0, ...text])), BOOT_ID);
  fc.assert(fc.property(fc.uint8Array(), (bytes) => {
    assertEquals(parsePartitionId(bytes), null);
  }));
});

Deno.test("under a BIOS the loader's word on the command line tells the partition", () => {
  assertEquals(
    partitionIdOfWords(`BOOT_IMAGE=x denovisor.part=${BOOT_ID.toUpperCase()} quiet -- run`),
    BOOT_ID,
  );
  for (const words of ["quiet", "denovisor.part=x", `a -- denovisor.part=${BOOT_ID}`]) {
    assertEquals(partitionIdOfWords(words), null);
  }
});

Deno.test("FAT volumes tell their label, others none", () => {
  const sector = new Uint8Array(512);
  sector.set([0x55, 0xaa], 510);
  sector.set(new TextEncoder().encode("DENOVISOR  FAT32   "), 71);
  assertEquals(fatLabel(sector), "DENOVISOR");
  const older = new Uint8Array(512);
  older.set([0x55, 0xaa], 510);
  older.set(new TextEncoder().encode("STICK      FAT16   "), 43);
  assertEquals(fatLabel(older), "STICK");
  fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
    assertEquals(fatLabel(bytes), null);
  }));
});

Deno.test("the processor's flags tell which KVM module serves it", () => {
  assertEquals(kvmModule("flags\t\t: fpu vmx sse\n"), "kvm_intel");
  assertEquals(kvmModule("model name : x\nflags : fpu svm\n"), "kvm_amd");
  assertEquals(kvmModule("flags : fpu vmx_like svmish\n"), null);
});

Deno.test("a certificate's fingerprint is that of its bytes", async () => {
  const pem = "-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n";
  // SHA-256 of 00 01 02.
  assertEquals(
    await fingerprint(pem),
    "AE:4B:32:80:E5:6E:2F:AF:83:F4:14:A6:E3:DA:BE:9D:5F:BE:18:97:65:44:C0:5F:ED:12:1A:CC:B8:5B:53:FC",
  );
  await assertRejects(() => fingerprint("no certificate"), SyntaxError);
});

Deno.test("the supervisor's progress is read line by line, and anything else is refused", () => {
  const line = '{"done":true,"running":[],"saving":[],"forced":["a"]}';
  assertEquals(parseProgress(line).forced, ["a"]);
  fc.assert(fc.property(fc.oneof(fc.json(), fc.string()), (line) => {
    try {
      parseProgress(line);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
  }));
});

Deno.test("the clock's program asks the servers of the settings, and serves nobody", () => {
  assertEquals(
    timeConfig(["a.example", "2001:db8::1"]),
    "servers a.example\nservers 2001:db8::1\n",
  );
});
