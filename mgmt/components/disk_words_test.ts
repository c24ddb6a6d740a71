import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { demoStorage } from "../testing/fake_storage.ts";
import { diskParts, lostWords, whyNotAdd } from "./disk_words.ts";

Deno.test("a picture of a disk shows all of it, and each part of it", () => {
  const [base] = demoStorage().disks;
  const part = fc.record({
    number: fc.integer({ min: 1, max: 128 }),
    name: fc.constantFrom("denovisor-boot", "denovisor-data", "denovisor-unfinished", "other", ""),
    firstByte: fc.integer({ min: 0, max: 2 ** 40 }),
    bytes: fc.integer({ min: 0, max: 2 ** 40 }),
    content: fc.constantFrom(null, "ext4 file system"),
    use: fc.constant(null),
  });
  const disks = fc.record({
    bytes: fc.integer({ min: 1, max: 2 ** 41 }),
    partitions: fc.array(part, { maxLength: 20 }),
    isBlank: fc.boolean(),
  });
  fc.assert(fc.property(disks, (disk) => {
    const parts = diskParts({ ...base, ...disk });
    assert(parts.length >= disk.partitions.length);
    if (parts.length === 0) return;
    const whole = parts.reduce((sum, { share }) => sum + share, 0);
    assert(Math.abs(whole - 1) < 1e-9 && parts.every(({ share }) => share > 0));
  }));
});

Deno.test("what is lost is told, and a disk that must not be erased says why", () => {
  const storage = demoStorage();
  const [own, other, blank] = storage.disks;
  assertEquals(lostWords(blank), []);
  assertEquals(lostWords(other), [
    "Partition 1 “Photos”: ext4 file system “photos”, 1.8 TiB",
  ]);
  assertEquals(whyNotAdd(own, storage), "The data of this host are on it");
  assertEquals(whyNotAdd(blank, storage), null);
  assert(whyNotAdd({ ...blank, bytes: 1024 }, storage)?.startsWith("It is smaller than the pool"));
});
