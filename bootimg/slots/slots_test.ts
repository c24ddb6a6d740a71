import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { writeAt, writeTable } from "../disk/disk_table.ts";
import { PARTITION_TYPES, SECTOR_BYTES } from "../disk/gpt.ts";
import { BOOT_NAME } from "../disk/names.ts";
import { largestRead } from "../../hypervisor/sys/testing/largest_read.ts";
import { tinySystem } from "../testing/unified_kernel.ts";
import type { SystemFacts } from "../update/statement.ts";
import { FIRST_STATE, statePartition } from "./boot_state.ts";
import { loaderPartitions, slotPartition, STATE_SECTOR, withSlots } from "./places.ts";
import { parseFacts, slotArchive } from "./slot_archive.ts";
import { freeSlot, markGood, readSystems, type SlotDisk, tryNext, writeSlot } from "./slots.ts";
import { biosConfig } from "./unified_kernel.ts";

const SECTORS = 4 * 1024 * 1024;
const TABLE = withSlots({
  diskId: crypto.randomUUID(),
  partitions: [{
    number: 1,
    type: PARTITION_TYPES.efiSystem,
    id: crypto.randomUUID(),
    name: BOOT_NAME,
    firstSector: 2048,
    lastSector: 4095,
  }, ...loaderPartitions(() => crypto.randomUUID())],
}, SECTORS);

interface Rig {
  disk: SlotDisk;
  efi: string;
  facts: SystemFacts;
  /** Writes another system where the first was. */
  replace(words: string, version: string): Promise<void>;
}

async function onDisk(test: (rig: Rig) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const disk = { path: `${folder}/disk`, sectors: SECTORS };
    await Deno.writeFile(disk.path, new Uint8Array());
    await Deno.truncate(disk.path, SECTORS * SECTOR_BYTES);
    await writeTable(disk.path, TABLE, SECTORS);
    using file = await Deno.open(disk.path, { write: true });
    await writeAt(file, STATE_SECTOR * SECTOR_BYTES, statePartition(FIRST_STATE));
    const rig: Rig = {
      disk,
      efi: `${folder}/efi`,
      facts: { version: "", bytes: 0, sha256: "" },
      async replace(words, version) {
        const bytes = new Uint8Array(tinySystem(words));
        await Deno.writeFile(rig.efi, bytes);
        const digest = await crypto.subtle.digest("SHA-256", bytes);
        rig.facts = { version, bytes: bytes.length, sha256: new Uint8Array(digest).toHex() };
      },
    };
    await rig.replace("first", "1.0.0");
    await test(rig);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a new disk starts the image's system, and its slots are empty", () =>
  onDisk(async ({ disk }) => {
    assertEquals(await readSystems(disk), { state: FIRST_STATE, slots: { a: null, b: null } });
  }));

Deno.test("a system goes from slot to slot: written, tried, good, and the other one next", () =>
  onDisk(async ({ disk, efi, facts }) => {
    await writeSlot(disk, "a", { efi, facts, running: "image" });
    assertEquals((await readSystems(disk)).slots, { a: facts, b: null });
    assertEquals((await readSystems(disk)).state, FIRST_STATE);
    await tryNext(disk, "a");
    assertEquals((await readSystems(disk)).state, { good: "image", try: "a", tried: null });
    await markGood(disk, "a");
    const { state } = await readSystems(disk);
    assertEquals(state.good, "a");
    assertEquals(freeSlot(state, "a"), "b");
    assertEquals(freeSlot({ ...state, good: "a" }, "b"), null);
    assertEquals(freeSlot(FIRST_STATE, "image"), "a");
  }));

Deno.test("neither the running system nor the good one is written over", () =>
  onDisk(async ({ disk, efi, facts }) => {
    await writeSlot(disk, "a", { efi, facts, running: "image" });
    await markGood(disk, "a");
    const write = (slot: "a" | "b", running: "a" | "b") =>
      writeSlot(disk, slot, { efi, facts, running });
    await assertRejects(() => write("a", "b"), Error, "is the one that is known to start");
    await assertRejects(() => write("b", "b"), Error, "the system in it is running");
  }));

Deno.test("a slot that is written anew is not tried meanwhile", () =>
  onDisk(async (rig) => {
    const { disk, efi } = rig;
    await writeSlot(disk, "b", { efi, facts: rig.facts, running: "image" });
    await tryNext(disk, "b");
    await rig.replace("second", "2.0.0");
    await writeSlot(disk, "b", { efi, facts: rig.facts, running: "image" });
    const { state, slots } = await readSystems(disk);
    assertEquals([state.try, slots.b?.version], [null, "2.0.0"]);
  }));

Deno.test("a file that is not what was signed leaves the slot empty", () =>
  onDisk(async (rig) => {
    const { disk, efi, facts } = rig;
    await writeSlot(disk, "a", { efi, facts, running: "image" });
    await rig.replace("another", "2.0.0");
    for (
      const wrong of [
        facts,
        { ...rig.facts, bytes: rig.facts.bytes + 1 },
        { ...rig.facts, bytes: rig.facts.bytes - 1 },
      ]
    ) {
      await assertRejects(
        () => writeSlot(disk, "a", { efi, facts: wrong, running: "image" }),
        Error,
        "is not what was signed",
      );
      assertEquals((await readSystems(disk)).slots.a, null);
    }
    await assertRejects(() => tryNext(disk, "a"), Error, "no system in it");
    await assertRejects(() => markGood(disk, "a"), Error, "no system in it");
  }));

Deno.test("a large system is copied to a slot and read back piece by piece", () =>
  onDisk(async (rig) => {
    const { disk, efi } = rig;
    const bytes = new Uint8Array(3 * 1024 * 1024 + 5).fill(7);
    bytes.set(new Uint8Array(tinySystem()));
    await Deno.writeFile(efi, bytes);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
    const facts = { version: "2.0.0", bytes: bytes.length, sha256: digest };
    const largest = await largestRead(() => writeSlot(disk, "a", { efi, facts, running: "image" }));
    assert(largest <= 1024 * 1024, `${largest} bytes at once`);
    assertEquals((await readSystems(disk)).slots.a, facts);
  }));

Deno.test("a system that is larger than a slot is refused before anything is written", () =>
  onDisk(async ({ disk, efi, facts }) => {
    await writeSlot(disk, "a", { efi, facts, running: "image" });
    const huge = { ...facts, bytes: 256 * 1024 * 1024 };
    await assertRejects(
      () => writeSlot(disk, "a", { efi, facts: huge, running: "image" }),
      Error,
      "there is room for 268435456",
    );
    assertEquals((await readSystems(disk)).slots.a, facts);
  }));

Deno.test("a slot is empty without its first sector, which is written last", () =>
  onDisk(async ({ disk, efi, facts }) => {
    await writeSlot(disk, "a", { efi, facts, running: "image" });
    const start = slotPartition(TABLE, "a")!.firstSector * SECTOR_BYTES;
    const { before, behind } = slotArchive(facts, await biosConfig(efi));
    const whole = new Uint8Array(before.length + facts.bytes + behind.length);
    using file = await Deno.open(disk.path);
    await file.seek(start, Deno.SeekMode.Start);
    await file.read(whole);
    assertEquals(whole.subarray(0, before.length), before);
    assertEquals(whole.subarray(-behind.length), behind);
    whole.fill(0, 0, SECTOR_BYTES);
    assertEquals(parseFacts(whole), null);
  }));

Deno.test("a disk that has no state is an error which says what to do", async () => {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/disk`;
  await Deno.writeFile(path, new Uint8Array());
  await Deno.truncate(path, SECTORS * SECTOR_BYTES);
  await assertRejects(() => readSystems({ path, sectors: SECTORS }), Error, "write a newer image");
  await Deno.remove(folder, { recursive: true });
});

Deno.test("whatever a slot begins with is a system's facts or none", () => {
  const facts = { version: "1.2.3", bytes: 1000, sha256: "ab".repeat(32) };
  const { before } = slotArchive(facts, "set words='x'\n");
  assertEquals(parseFacts(before), facts);
  fc.assert(fc.property(fc.array(fc.tuple(fc.nat(300), fc.nat(255))), (edits) => {
    const bytes = before.slice();
    for (const [at, byte] of edits) bytes[at] = byte;
    const read = parseFacts(bytes);
    if (read !== null) assertEquals(Number.isSafeInteger(read.bytes), true);
  }));
  fc.assert(fc.property(fc.uint8Array(), (bytes) => assertEquals(parseFacts(bytes), null)));
});
