import { assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { LineReader } from "./lines.ts";

/** A stream that gives the pieces one by one. */
function source(pieces: Uint8Array[]) {
  const waiting = [...pieces];
  return {
    read(into: Uint8Array): Promise<number | null> {
      const piece = waiting.shift();
      if (piece === undefined) return Promise.resolve(null);
      into.set(piece);
      return Promise.resolve(piece.length);
    },
  };
}

/** Cuts bytes at the given places. */
function cut(bytes: Uint8Array, places: number[]): Uint8Array[] {
  const ends = [...places.map((place) => place % (bytes.length + 1)), bytes.length]
    .sort((a, b) => a - b);
  return ends.map((end, i) => bytes.subarray(i === 0 ? 0 : ends[i - 1], end))
    .filter((piece) => piece.length > 0);
}

Deno.test("lines are the same however the stream is cut, and what follows is not lost", async () => {
  const line = fc.string({ unit: "grapheme" })
    .filter((text) => text.isWellFormed() && !text.includes("\n"));
  await fc.assert(
    fc.asyncProperty(
      fc.array(line),
      fc.uint8Array(),
      fc.array(fc.nat()),
      async (lines, rest, places) => {
        const head = new TextEncoder().encode(lines.map((line) => line + "\n").join(""));
        const bytes = new Uint8Array([...head, ...rest]);
        const reader = new LineReader(source(cut(bytes, places)), { longest: 1000 });
        for (const line of lines) assertEquals(await reader.next(), line.replace(/^\ufeff/, ""));
        const after = [...reader.rest()];
        for (let more = await reader.read(); more !== null; more = await reader.read()) {
          after.push(...more);
        }
        assertEquals(after, [...rest]);
      },
    ),
  );
});

Deno.test("a stream that ends within a line has no such line", async () => {
  const reader = new LineReader(source([new TextEncoder().encode("one\ntw")]), { longest: 10 });
  assertEquals([await reader.next(), await reader.next()], ["one", null]);
});

Deno.test("a line that is too long is refused, ended or not", async () => {
  for (const text of ["x".repeat(11), "x".repeat(11) + "\n"]) {
    const reader = new LineReader(source([new TextEncoder().encode(text)]), { longest: 10 });
    await assertRejects(() => reader.next(), RangeError, "longer than 10 bytes");
  }
  const reader = new LineReader(source([new TextEncoder().encode("x".repeat(10) + "\n")]), {
    longest: 10,
  });
  assertEquals(await reader.next(), "x".repeat(10));
});
