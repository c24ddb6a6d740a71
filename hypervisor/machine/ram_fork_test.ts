import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { close } from "../sys/files.ts";
import { Mapping, memfd } from "../sys/mapping.ts";
import { duplicate } from "../sys/passed_descriptors.ts";
import { readAt, writeAt } from "../sys/positioned_io.ts";
import { isSealed } from "../sys/seals.ts";
import { dataRanges } from "../sys/sparse.ts";
import { DirtyPages } from "./dirty_pages.ts";
import { GuestMemory } from "./memory.ts";
import { type MemorySpec, openRam, openSavedRam, type RamOptions } from "./ram.ts";
import { blankRanges, pieceBytes } from "./ram_copy.ts";
import { type ForkableRam, RamBase, unmapSome, whyUnforkable } from "./ram_fork.ts";

const PAGE = 4096;
const MiB = 2 ** 20;
const LENGTH = 8 * MiB;
const log = () => {};

const view = ({ address, private: isPrivate, copied }: MemorySpec) =>
  new GuestMemory(address, LENGTH, { private: isPrivate, copied });

function ram(options: Partial<RamOptions> = {}): ForkableRam {
  const all = { length: LENGTH, ...options };
  const spec = openRam(all, log);
  return { memory: view(spec), spec, options: all };
}

/** What goes on from a base; its descriptor is its own. */
function child(fd: number): ForkableRam {
  const options = { length: LENGTH };
  const spec = openSavedRam(duplicate(fd), options, log);
  return { memory: view(spec), spec, options };
}

function fork(ram: ForkableRam): number {
  const base = new RamBase(ram);
  while (!base.step(MiB));
  let aside = base.adopt();
  while (aside !== undefined) aside = unmapSome(aside, 3 * MiB);
  return base.fd;
}

function content(fd: number): Uint8Array {
  const bytes = new Uint8Array(LENGTH);
  readAt(fd, bytes, 0);
  return bytes;
}

const same = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;

function write(ram: ForkableRam, pages: readonly number[], value: number): void {
  for (const page of pages) ram.memory.bytes.fill(value, page * PAGE + 7, page * PAGE + 99);
}

const pages = fc.uniqueArray(fc.nat(LENGTH / PAGE - 1), { maxLength: 30 });
const piece = fc.option(fc.nat(LENGTH / (2 * MiB) - 1), { nil: undefined });
const generations = fc.array(fc.record({ wrote: pages, gave: piece, sibling: pages }), {
  minLength: 1,
  maxLength: 4,
});

for (const mergeable of [false, true]) {
  Deno.test(`whatever was written before and after, each has its own: mergeable ${mergeable}`, () => {
    fc.assert(
      fc.property(pages, generations, (first, rounds) => {
        const all = [ram({ mergeable })];
        write(all[0], first, 1);
        // Each round the last one of them is forked; its child is the next one's parent.
        rounds.forEach(({ wrote, gave, sibling }, i) => {
          const parent = all.at(-1)!;
          write(parent, wrote, 10 + i);
          if (gave !== undefined) assert(parent.memory.discard(gave * 2 * MiB, 2 * MiB));
          const before = all.map(({ memory }) => memory.bytes.slice());
          const fd = fork(parent);
          assert(isSealed(fd));
          assert(all.every(({ memory }, n) => same(memory.bytes, before[n])));
          assert(same(content(fd), before.at(-1)!));
          const one = child(fd);
          assert(same(one.memory.bytes, before.at(-1)!));
          write(one, sibling, 100 + i);
          if (gave !== undefined) assert(one.memory.discard(gave * 2 * MiB, 2 * MiB));
          write(parent, sibling, 200 + i);
          assert(same(content(fd), before.at(-1)!));
          assert(sibling.every((page) => one.memory.bytes[page * PAGE + 7] !== 200 + i));
          all.push(one);
        });
        for (const { spec } of all) {
          new Mapping(spec.address, LENGTH).unmap();
          close(spec.fd!);
        }
      }),
      { numRuns: 15 },
    );
  });
}

Deno.test("what a parent gives back afterwards is zero, and stays in the base", () => {
  const one = ram();
  write(one, [512, 600], 3);
  const fd = fork(one);
  const before = inodeOf(fd);
  assert(one.memory.discard(2 * MiB, 2 * MiB));
  assertEquals(one.memory.bytes[512 * PAGE + 7], 0);
  assertEquals(content(fd)[512 * PAGE + 7], 3);
  const again = fork(one);
  assertEquals(content(again)[512 * PAGE + 7], 0);
  const holes = [...blankRanges(again, LENGTH)];
  assertEquals(holes, [{ start: 0, end: LENGTH }]);
  // The one from before is its children's alone. Its number may be another file's of this process by now.
  assertEquals(inodeOf(fd) === before, false);
});

Deno.test("memory that was never used is not made in the base by those that use it", () => {
  const one = ram();
  write(one, [3], 3);
  const fd = fork(one);
  const before = [...dataRanges(fd, LENGTH)];
  const other = child(fd);
  for (const it of [one, other]) write(it, [2000, 2001], 5);
  assertEquals(one.memory.bytes[1500 * PAGE], 0);
  assertEquals([...dataRanges(fd, LENGTH)], before);
});

Deno.test("blank ranges are pieces with nothing in them, and all of those", () => {
  for (const length of [2 * MiB, LENGTH, LENGTH + 5 * PAGE, 3 * 1024 ** 3]) {
    fc.assert(
      fc.property(fc.array(fc.nat(length / PAGE - 1), { maxLength: 12 }), (used) => {
        const fd = memfd("blank", length);
        for (const page of used) writeAt(fd, Uint8Array.of(1), page * PAGE);
        const piece = pieceBytes(length);
        const isUsed = new Set(used.map((page) => Math.floor(page * PAGE / piece)));
        const blank = new Set<number>();
        let last = -1;
        for (const { start, end } of blankRanges(fd, length)) {
          assert(start % piece === 0 && start > last && end > start);
          assert(end % piece === 0 || end === length);
          last = end;
          for (let at = start; at < end; at += piece) blank.add(at / piece);
        }
        for (let i = 0; i * piece < length; i++) assertEquals(blank.has(i), !isUsed.has(i));
        close(fd);
      }),
      { numRuns: 10 },
    );
  }
});

Deno.test("there is always a piece size with which there are few of them", () => {
  assertEquals([1, 2048, 2049, 65536].map((n) => pieceBytes(n * MiB) / MiB), [2, 2, 4, 64]);
});

Deno.test("RAM that cannot be forked is told of with the reason", () => {
  const reason = (change: (it: ForkableRam) => void) => {
    const one = ram();
    change(one);
    return whyUnforkable(one);
  };
  assertEquals(reason(() => {}), undefined);
  assertEquals(reason(({ memory }) => memory.pinned = true), "its memory is pinned for a disk");
  assert(reason(({ spec }) => spec.pooled = true)?.includes("huge pages"));
  const hotplug = { guest: 2 ** 32, offset: LENGTH, length: MiB, blockBytes: MiB };
  assert(reason(({ spec }) => spec.hotplug = hotplug)?.includes("mapped twice"));
  const tracked = ram();
  tracked.memory.changes = DirtyPages.of(LENGTH);
  assertEquals(whyUnforkable(tracked), undefined);
  const base = new RamBase(tracked);
  assertThrows(() => base.adopt(), Error, "changes of its memory are tracked");
  base.abandon();
  write(tracked, [5], 5);
  assertEquals(content(tracked.spec.fd!)[5 * PAGE + 7], 5);
});

Deno.test("a base that is given up leaves RAM as it was", () => {
  const one = ram();
  write(one, [5], 5);
  new RamBase(one).abandon();
  assert(!isSealed(one.spec.fd!));
  write(one, [5], 6);
  assertEquals(content(one.spec.fd!)[5 * PAGE + 7], 6);
  const fd = fork(one);
  new RamBase(one).abandon();
  assertEquals(content(fd)[5 * PAGE + 7], 6);
});

/** Which file a descriptor is of; null if it is of none. */
function inodeOf(fd: number): number | null {
  try {
    return Deno.statSync(`/proc/self/fd/${fd}`).ino;
  } catch {
    return null;
  }
}
