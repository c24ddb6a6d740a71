import { assertEquals } from "@std/assert";
import { bufferAt } from "../sys/mapping.ts";
import { DIRTY_PAGE_BYTES, DirtyPages } from "./dirty_pages.ts";
import { HOLE_END, HOLE_START, ramRegions } from "./memory.ts";
import { mapVhostLog, unmapVhostLog, VhostLog } from "./vhost_log.ts";

const GiB = 2 ** 30;

Deno.test("a log by guest pages becomes a set by places in the mapping, and is empty then", () => {
  const length = 5 * GiB;
  const added = { guest: 8 * GiB, offset: length, length: GiB };
  const spec = mapVhostLog([...ramRegions(length), added]);
  const bits = new Uint8Array(bufferAt(spec.address, 9 * GiB / DIRTY_PAGE_BYTES / 8));
  /** As the kernel does it: a bit of a byte. */
  const log = (guest: number) => {
    const page = guest / DIRTY_PAGE_BYTES;
    bits[page >> 3] |= 1 << (page & 7);
  };
  const page = (n: number) => n * DIRTY_PAGE_BYTES;
  const places: [guest: number, offset: number][] = [
    [0, 0],
    [page(77), page(77)],
    [HOLE_START - page(1), HOLE_START - page(1)],
    [HOLE_END, HOLE_START],
    [HOLE_END + page(1000), HOLE_START + page(1000)],
    [6 * GiB - page(1), length - page(1)],
    [added.guest, added.offset],
    [added.guest + added.length - page(1), added.offset + added.length - page(1)],
  ];
  const reader = new VhostLog(spec);
  for (const [guest] of places) log(guest);
  // In the hole there is nothing that is the guest's.
  log(HOLE_START + page(5));
  const set = DirtyPages.of(length + added.length);
  reader.collect(set);
  assertEquals(set.count, places.length);
  for (const [, offset] of places) assertEquals(set.has(offset / DIRTY_PAGE_BYTES), true);
  const again = DirtyPages.of(length + added.length);
  reader.collect(again);
  assertEquals(again.count, 0);
  log(page(3));
  reader.forget();
  reader.collect(again);
  assertEquals(again.count, 0);
  unmapVhostLog(spec);
});
