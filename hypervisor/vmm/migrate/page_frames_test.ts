import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { DIRTY_PAGE_BYTES as PAGE, DirtyPages } from "../../machine/dirty_pages.ts";
import { map } from "../../sys/mapping.ts";
import { FollowingPages } from "./following_pages.ts";
import { MigrationError } from "./frames.ts";
import {
  decodePages,
  decodeWant,
  decodeZeros,
  encodePages,
  encodeWant,
  encodeZeros,
} from "./page_frames.ts";

const PAGES = 64;
const AREAS = [{ offset: 0, length: PAGES * PAGE }];

/** Numbers as they may be said: pages of RAM, what is near them, and what is no number here. */
const number = fc.oneof(
  { weight: 4, arbitrary: fc.nat(PAGES - 1).map((page) => page * PAGE) },
  fc.nat(PAGES * PAGE),
  fc.constantFrom(PAGES * PAGE, 2 ** 32, 2 ** 52, 2 ** 53, 2 ** 63, 2 ** 64 - PAGE),
);

function words(numbers: readonly number[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(BigUint64Array.from(numbers.map(BigInt)).buffer);
}

/** What is understood; undefined where it is refused by name. */
function understood<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch (error) {
    assert(error instanceof MigrationError, String((error as Error).stack));
    assert(error.message.startsWith("Cannot understand the other VMM: "), error.message);
  }
}

function arePages(offset: number, length: number): boolean {
  return offset % PAGE === 0 && length % PAGE === 0 && length > 0 &&
    offset + length <= PAGES * PAGE;
}

Deno.test("what is asked for is pages of RAM, or nothing is", () => {
  assertEquals(decodeWant(encodeWant([0, 5 * PAGE]), AREAS), [0, 5 * PAGE]);
  fc.assert(fc.property(fc.array(number, { maxLength: 5 }), (offsets) => {
    const wanted = understood(() => decodeWant(words(offsets), AREAS));
    const isRight = offsets.length > 0 && offsets.every((it) => arePages(it, PAGE));
    assertEquals(wanted, isRight ? offsets : undefined);
  }));
  fc.assert(fc.property(fc.uint8Array(), (bytes) => {
    for (const offset of understood(() => decodeWant(bytes, AREAS)) ?? []) {
      assert(arePages(offset, PAGE));
    }
  }));
});

Deno.test("what comes belongs into RAM, whole pages of it, or is refused", () => {
  const content = new Uint8Array(2 * PAGE).fill(7);
  assertEquals(decodePages(encodePages(PAGE, content), AREAS), { offset: PAGE, bytes: content });
  const area = { offset: 3 * PAGE, length: 9 * PAGE };
  assertEquals(decodeZeros(encodeZeros(area), AREAS), area);
  const length = fc.oneof(fc.nat(4).map((count) => count * PAGE), fc.nat(3 * PAGE));
  fc.assert(fc.property(number, length, (offset, bytes) => {
    const body = new Uint8Array([...words([offset]), ...new Uint8Array(bytes)]);
    const pages = understood(() => decodePages(body, AREAS));
    assertEquals(pages !== undefined, arePages(offset, bytes));
  }));
  fc.assert(fc.property(number, number, (offset, bytes) => {
    const zeros = understood(() => decodeZeros(words([offset, bytes]), AREAS));
    assertEquals(zeros, arePages(offset, bytes) ? { offset, length: bytes } : undefined);
  }));
  for (const decode of [decodePages, decodeZeros]) {
    assertThrows(() => decode(new Uint8Array(7), AREAS), MigrationError, "of 7 bytes in all");
  }
});

Deno.test("whoever asks for whatever, and how often: each page that follows goes once, as it is", () => {
  const ram = map(PAGES * PAGE, { private: true });
  const bytes = new Uint8Array(ram.buffer);
  for (let page = 0; page < PAGES; page += 2) bytes.fill(page + 1, page * PAGE, (page + 1) * PAGE);
  const some = fc.array(fc.nat(PAGES - 1), { maxLength: 40 });
  // Asks for a page, answers what was asked for, or has the next go.
  const step = fc.oneof(fc.nat(PAGES - 1), fc.constantFrom("answer" as const, null));
  const steps = fc.array(step, { maxLength: 40 });
  fc.assert(fc.property(some, steps, (pages, steps) => {
    const set = DirtyPages.of(PAGES * PAGE);
    for (const page of pages) set.add(page * PAGE, PAGE);
    const left = new Set(pages);
    const following = new FollowingPages(set, bytes);
    const take = (said: ReturnType<FollowingPages["next"]>) => {
      if (said === undefined) return;
      const { offset, length } = said.kind === "zeros"
        ? decodeZeros(said.body, AREAS)
        : { ...decodePages(said.body, AREAS), length: said.body.length - 8 };
      const content = bytes.subarray(offset, offset + length);
      if (said.kind === "pages") assertEquals(decodePages(said.body, AREAS).bytes, content);
      else assert(content.every((byte) => byte === 0));
      for (let page = offset / PAGE; page < (offset + length) / PAGE; page++) {
        assert(left.delete(page), `page ${page} was not to go, or has gone`);
      }
      assertEquals(following.leftBytes, left.size * PAGE);
    };
    const unasked = new Set(pages);
    let asked: number[] = [];
    const answer = () => {
      for (let said = following.nextWanted(); said !== undefined; said = following.nextWanted()) {
        const first = asked.findIndex((page) => left.has(page));
        const [page] = asked.splice(0, first + 1).slice(-1);
        take(said);
        assert(!left.has(page), `page ${page} was asked for before`);
      }
      assert(asked.every((page) => !left.has(page)));
      asked = [];
    };
    for (const step of steps) {
      if (step === null) take(following.next());
      else if (step === "answer") answer();
      else if (unasked.delete(step)) {
        following.want(step * PAGE);
        asked.push(step);
      } else {
        assertThrows(
          () => following.want(step * PAGE),
          MigrationError,
          `the page at ${step * PAGE}`,
        );
      }
    }
    answer();
    for (let said = following.next(); said !== undefined; said = following.next()) take(said);
    assertEquals(left.size, 0);
  }));
  ram.unmap();
});
