import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { untilMark } from "./marked_stream.ts";

const encoder = new TextEncoder();

async function read(chunks: Uint8Array[], mark: Uint8Array) {
  const stream = untilMark(
    (async function* () {
      yield* chunks;
    })(),
    mark,
  );
  const parts: number[] = [];
  while (true) {
    const { value, done } = await stream.next();
    if (done) return { bytes: parts, marked: value };
    parts.push(...value as Uint8Array);
  }
}

Deno.test("whatever comes before the mark passes, however it is cut in pieces", async () => {
  const letters = fc.array(fc.constantFrom(..."mark!x"), { maxLength: 40 });
  await fc.assert(fc.asyncProperty(
    letters.map((it) => it.join("")).filter((it) => !`${it}mark!`.slice(0, -1).includes("mark!")),
    fc.array(fc.nat(50)),
    async (text, cuts) => {
      const all = encoder.encode(`${text}mark!after`);
      const chunks: Uint8Array[] = [];
      let from = 0;
      for (const to of [...cuts].sort((a, b) => a - b)) {
        chunks.push(all.slice(from, to));
        from = Math.max(from, Math.min(to, all.length));
      }
      chunks.push(all.slice(from));
      const { bytes, marked } = await read(chunks, encoder.encode("mark!"));
      assertEquals(new TextDecoder().decode(new Uint8Array(bytes)), text);
      assertEquals(marked, true);
    },
  ));
});

Deno.test("a stream that ends without its mark passes whole and says so", async () => {
  const { bytes, marked } = await read([encoder.encode("some ma")], encoder.encode("mark!"));
  assertEquals(new TextDecoder().decode(new Uint8Array(bytes)), "some ma");
  assertEquals(marked, false);
});
