import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { Mapping } from "../sys/mapping.ts";
import { readPseudoFile } from "../sys/pseudo_files.ts";
import { newGeneration } from "./acpi/generation.ts";
import { VM_GENERATION } from "./address_map.ts";
import { Arena } from "./arena.ts";
import { DIRTY_PAGE_BYTES, DirtyPages } from "./dirty_pages.ts";
import { blockBytesFor, HOTPLUG_ALIGN, HotplugRegion, MAX_BLOCKS } from "./hotplug.ts";
import { guestMemory, hotplugSpec, openRam, type RamOptions } from "./ram.ts";
import { ramRegions } from "./memory.ts";

const MiB = 2 ** 20;
const GiB = 2 ** 30;

Deno.test("memory that may be added lies above RAM, aligned, in at most 16384 blocks", () => {
  const sizes = fc.tuple(
    fc.integer({ min: 1, max: 2 ** 18 }),
    fc.integer({ min: 1, max: 2 ** 14 }),
  );
  fc.assert(fc.property(sizes, ([mib, steps]) => {
    const length = mib * MiB;
    const block = blockBytesFor(steps * 64 * MiB);
    const spec = hotplugSpec(length, steps * 64 * MiB);
    const regions = ramRegions(length);
    const { guest, length: last } = regions[regions.length - 1];
    assert(spec.guest >= guest + last && spec.guest >= 4 * GiB);
    assertEquals(spec.guest % HOTPLUG_ALIGN, 0);
    assert(spec.offset >= length && spec.offset % block === 0);
    assertEquals(spec.length % spec.blockBytes, 0);
    assert(spec.length / spec.blockBytes <= MAX_BLOCKS);
  }));
});

Deno.test("a range is there when all its blocks are", () => {
  const spec = hotplugSpec(128 * MiB, 64 * MiB);
  const block = spec.blockBytes;
  const count = spec.length / block;
  const range = fc.tuple(
    fc.integer({ min: -4096, max: spec.length + 4096 }),
    fc.integer({ min: 1, max: 3 * block }),
  );
  fc.assert(
    fc.property(
      fc.array(fc.boolean(), { minLength: count, maxLength: count }),
      range,
      (have, r) => {
        const region = new HotplugRegion(new Arena(), spec);
        have.forEach((it, i) => region.set(i, 1, it));
        const [start, length] = r;
        let expected = start >= 0 && start + length <= spec.length;
        for (let i = Math.floor(start / block); expected && i * block < start + length; i++) {
          expected = have[i];
        }
        assertEquals(region.place(spec.guest + start, length), expected ? spec.offset + start : -1);
      },
    ),
  );
});

Deno.test("every thread sees which blocks are there", () => {
  const arena = new Arena();
  const spec = hotplugSpec(128 * MiB, 64 * MiB);
  const one = new HotplugRegion(arena, spec);
  const other = new HotplugRegion(new Arena(arena.buffer), spec);
  one.set(31, 1, true);
  one.set(3, 2, true);
  one.set(4, 1, false);
  assertEquals([other.plugged(0, 32), other.plugged(3, 1), other.plugged(31, 1)], [2, 1, 1]);
});

Deno.test("RAM is a file of 2 MiB alignment, with room for what is added", () => {
  const spec = openRam({ length: 5 * MiB, hotplugLength: 4 * MiB }, () => {});
  assertEquals(spec.address % (2 * MiB), 0);
  assertEquals(Deno.statSync(`/proc/self/fd/${spec.fd}`).size, 10 * MiB);
  const memory = guestMemory(new Arena(), spec);
  assertEquals(memory.slots.map(({ guest, length }) => [guest, length]), [
    [0, 5 * MiB],
    [4 * GiB, 4 * MiB],
  ]);
  assertEquals(memory.regions.length, 1);
  free(spec);
});

function free(spec: ReturnType<typeof openRam>): void {
  const length = spec.hotplug ? spec.hotplug.offset + spec.hotplug.length : spec.length;
  new Mapping(spec.address, length).unmap();
  if (spec.viewAddress !== undefined) new Mapping(spec.viewAddress, length).unmap();
}

/** The VmFlags of the mapping at `address`: proc(5). */
function flagsOf(address: number): string[] {
  const smaps = readPseudoFile("/proc/self/smaps");
  const at = smaps.search(new RegExp(`^${address.toString(16).padStart(8, "0")}-`, "m"));
  return /^VmFlags: (.*)$/m.exec(smaps.slice(at))![1].trim().split(" ");
}

Deno.test("transparent huge pages are advised, and it is told where the host has them switched off", () => {
  const log: string[] = [];
  const spec = openRam({ length: 4 * MiB, hugePages: "transparent" }, (line) => log.push(line));
  assert(flagsOf(spec.address).includes("hg"));
  const file = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
  const off = /\[(never|deny)\]/.test(readPseudoFile(file));
  assertEquals(log.length, off ? 1 : 0);
  if (off) assert(log[0].includes(`${file} says never`) || log[0].includes("says deny"));
  free(spec);
});

Deno.test("they are advised of RAM of which nothing is said, too, but of no mergeable RAM", () => {
  const log: string[] = [];
  const advised = (options: Partial<RamOptions>) => {
    const spec = openRam({ length: 4 * MiB, ...options }, (line) => log.push(line));
    const flags = flagsOf(spec.address);
    free(spec);
    return flags.includes("hg");
  };
  assert(advised({}));
  assertEquals(log, []);
  assert(!advised({ hugePages: "none" }));
  assert(!advised({ mergeable: true }));
});

Deno.test("memory that may be merged is private, and is given back all the same", () => {
  const log: string[] = [];
  const spec = openRam({ length: 4 * MiB, mergeable: true }, (line) => log.push(line));
  assert(flagsOf(spec.address).includes("mg"));
  assertEquals(spec.fd, undefined);
  const running = readPseudoFile("/sys/kernel/mm/ksm/run").trim() === "1";
  assertEquals(log.length, running ? 0 : 1);
  const memory = guestMemory(new Arena(), spec);
  memory.bytes.fill(7, 0, 2 * MiB);
  assert(memory.discard(MiB, MiB));
  assertEquals([memory.bytes[MiB - 1], memory.bytes[MiB]], [7, 0]);
  free(spec);
});

Deno.test("of pinned RAM nothing is given back, of what was added all the same", () => {
  const spec = openRam({ length: 2 * MiB, hotplugLength: 2 * MiB }, () => {});
  const memory = guestMemory(new Arena(), spec);
  assert(memory.plug(0, 1));
  memory.bytes.fill(7);
  memory.pinned = true;
  assert(!memory.discard(0, 4096));
  assertEquals(memory.bytes[0], 7);
  assert(memory.unplug(0, 1));
  assertEquals(memory.bytes[2 * MiB], 0);
  free(spec);
});

Deno.test("a pool of huge pages that is too small is named, with what is missing", () => {
  const error = assertThrows(
    () => openRam({ length: 2 ** 44, hugePages: "2M" }, () => {}),
    RangeError,
    "Cannot use huge pages of 2M",
  );
  assert(
    /needs 8388608 and the host's pool has \d+ left; raise .*nr_hugepages|none of that size/
      .test(error.message),
    error.message,
  );
  assertThrows(
    () => openRam({ length: 3 * MiB, hugePages: "2M" }, () => {}),
    RangeError,
    "must be a multiple",
  );
});

Deno.test("RAM is bound to nodes of the host piece by piece", () => {
  const bindings = [
    { offset: 0, length: 2 * MiB, nodes: [0], policy: "bind" },
    { offset: 2 * MiB, length: 2 * MiB, nodes: [0], policy: "preferred" },
  ] as const;
  const spec = openRam({ length: 4 * MiB, hotplugLength: 4 * MiB, bindings }, () => {});
  guestMemory(new Arena(), spec).bytes.fill(1, 0, 4 * MiB);
  const maps = readPseudoFile("/proc/self/numa_maps");
  assert(maps.includes("bind:0 file=/memfd:guest-ram"), "no memory is bound to node 0");
  assert(maps.includes("prefer:0 file=/memfd:guest-ram"), "no memory prefers node 0");
  free(spec);
});

Deno.test("what comes, goes or is made anew counts as changed", () => {
  const spec = openRam({ length: 4 * MiB, hotplugLength: 8 * MiB }, () => {});
  const memory = guestMemory(new Arena(), spec);
  const pages = memory.bytes.length / DIRTY_PAGE_BYTES;
  const changes = memory.changes = DirtyPages.of(memory.bytes.length);
  const marked = (): [first: number, count: number] => {
    const page = Array.from({ length: pages }, (_, n) => n).findIndex((n) => changes.has(n));
    const { count } = changes;
    changes.clear();
    return [page, count];
  };
  memory.discard(8 * DIRTY_PAGE_BYTES, 3 * DIRTY_PAGE_BYTES);
  assertEquals(marked(), [8, 3]);
  const { offset, blockBytes } = spec.hotplug!;
  memory.plug(1, 2);
  assertEquals(marked(), [
    (offset + blockBytes) / DIRTY_PAGE_BYTES,
    2 * blockBytes / DIRTY_PAGE_BYTES,
  ]);
  memory.unplug(2, 1);
  assertEquals(marked(), [
    (offset + 2 * blockBytes) / DIRTY_PAGE_BYTES,
    blockBytes / DIRTY_PAGE_BYTES,
  ]);
  newGeneration(memory);
  assertEquals(marked(), [VM_GENERATION / DIRTY_PAGE_BYTES, 1]);
  free(spec);
});
