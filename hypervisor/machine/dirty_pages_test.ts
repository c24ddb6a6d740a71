import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { DIRTY_PAGE_BYTES, DIRTY_WORD_BYTES, dirtyBitmapBytes, DirtyPages } from "./dirty_pages.ts";

const PAGES = 256;
const BYTES = PAGES * DIRTY_PAGE_BYTES;

/** Every page that the runs name, and that runs are in order and apart. */
function pagesOf(set: DirtyPages): number[] {
  const pages: number[] = [];
  const runs = set.runs();
  let end = -1;
  while (runs.next()) {
    assert(runs.offset > end && runs.length > 0, "runs overlap or touch");
    end = runs.offset + runs.length;
    for (let at = runs.offset; at < end; at += DIRTY_PAGE_BYTES) pages.push(at / DIRTY_PAGE_BYTES);
  }
  return pages;
}

/** Every page that has a byte in common with a range. */
function model(ranges: readonly Range[]): number[] {
  return Array.from({ length: PAGES }, (_, page) => page).filter((page) =>
    ranges.some(({ offset, length }) =>
      offset < (page + 1) * DIRTY_PAGE_BYTES && page * DIRTY_PAGE_BYTES < offset + length &&
      length > 0
    )
  );
}

interface Range {
  offset: number;
  length: number;
}

const range: fc.Arbitrary<Range> = fc.record({
  offset: fc.nat(BYTES - 1),
  length: fc.oneof(fc.nat(200), fc.nat(70_000), fc.nat(BYTES)),
}).map(({ offset, length }) => ({ offset, length: Math.min(length, BYTES - offset) }));
const ranges = fc.array(range, { maxLength: 12 });

function setOf(ranges: readonly Range[]): DirtyPages {
  const set = DirtyPages.of(BYTES);
  for (const { offset, length } of ranges) set.add(offset, length);
  return set;
}

Deno.test("a set has the pages that ranges touch, no more and no less", () => {
  fc.assert(fc.property(ranges, (ranges) => {
    const set = setOf(ranges);
    const wanted = model(ranges);
    assertEquals(pagesOf(set), wanted);
    assertEquals(set.count, wanted.length);
    for (let page = 0; page < PAGES; page++) assertEquals(set.has(page), wanted.includes(page));
  }));
});

Deno.test("what is merged is in both, what is moved is in one", () => {
  fc.assert(fc.property(ranges, ranges, (a, b) => {
    const [first, second] = [setOf(a), setOf(b)];
    first.merge(second);
    assertEquals(pagesOf(first), model([...a, ...b]));
    assertEquals(pagesOf(second), model(b));
    second.moveTo(first);
    assertEquals(pagesOf(first), model([...a, ...b]));
    assertEquals(second.count, 0);
  }));
});

Deno.test("a log's bits are pages from where it begins, and are taken or left", () => {
  fc.assert(fc.property(ranges, fc.nat(3), fc.boolean(), (ranges, word, take) => {
    const log = new Uint32Array(setOf(ranges).buffer.slice(0)).slice();
    const before = log.slice();
    const set = DirtyPages.of(2 * BYTES);
    set.addLog(new Uint32Array(log.buffer), word * DIRTY_WORD_BYTES, { take });
    assertEquals(pagesOf(set), model(ranges).map((page) => page + 32 * word));
    assertEquals(log, take ? new Uint32Array(log.length) : before);
  }));
});

Deno.test("what is removed leaves its neighbours alone", () => {
  const set = setOf([{ offset: 0, length: BYTES }]);
  set.remove(DIRTY_WORD_BYTES, 2 * DIRTY_WORD_BYTES);
  assertEquals(set.count, PAGES - 64);
  assertEquals([31, 32, 95, 96].map((page) => set.has(page)), [true, false, false, true]);
  assertThrows(() => set.remove(DIRTY_PAGE_BYTES, DIRTY_WORD_BYTES), RangeError, "at 4096");
  set.clear();
  assertEquals(set.count, 0);
});

Deno.test("a set is as long as KVM wants a slot's bitmap to be", () => {
  assertEquals(dirtyBitmapBytes(1), 8);
  assertEquals(dirtyBitmapBytes(64 * DIRTY_PAGE_BYTES), 8);
  assertEquals(dirtyBitmapBytes(65 * DIRTY_PAGE_BYTES), 16);
  assertThrows(() => DirtyPages.of(BYTES).merge(DirtyPages.of(2 * BYTES)), RangeError);
});

Deno.test("pages that threads add while others are taken are all taken, once", async () => {
  const PAGES = 1 << 16;
  const source = DirtyPages.of(PAGES * DIRTY_PAGE_BYTES);
  const module = new URL("./testing/marking_worker.ts", import.meta.url);
  const counters = new Int32Array(new SharedArrayBuffer(8));
  const workers = [0, 1].map((part) => {
    const worker = new Worker(module, { type: "module" });
    worker.postMessage({ buffer: source.buffer, counters, part, pages: PAGES });
    return worker;
  });
  const [all, taken] = [0, 1].map(() => DirtyPages.of(PAGES * DIRTY_PAGE_BYTES));
  let count = 0;
  for (let done = false; !done;) {
    // Looked at before the last take, so that nothing comes after it.
    done = Atomics.load(counters, 0) === 2;
    source.moveTo(taken);
    count += taken.count;
    taken.moveTo(all);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  workers.forEach((worker) => worker.terminate());
  assertEquals([all.count, count], [PAGES, PAGES]);
});

Deno.test("pages are found and taken one at a time, and a log of them makes the same set", () => {
  fc.assert(fc.property(ranges, fc.nat(PAGES - 1), (list, from) => {
    const set = DirtyPages.of(BYTES);
    for (const { offset, length } of list) set.add(offset, length);
    const pages = pagesOf(set);
    const log = new Uint32Array(PAGES / 32 - 1);
    set.toLog(log, DIRTY_WORD_BYTES);
    const other = DirtyPages.of(BYTES);
    other.addLog(log, DIRTY_WORD_BYTES);
    assertEquals(pagesOf(other), pages.filter((page) => page >= 32));
    assertEquals(set.next(from), pages.find((page) => page >= from) ?? set.capacity);
    for (const page of pages) {
      assert(set.delete(page));
      assertEquals(set.delete(page), false);
    }
    assertEquals(set.count, 0);
  }));
});
