import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { pinningFrom, pinningWords, topologyFrom, topologyWords } from "./cpu_words.ts";

Deno.test("topology and pinning are read as they are written", () => {
  assertEquals(topologyFrom(" 1x4 × 2"), { sockets: 1, cores: 4, threads: 2 });
  assertEquals([topologyFrom(" "), topologyFrom("4"), topologyFrom("1x2x3x4")], [
    null,
    undefined,
    undefined,
  ]);
  assertEquals(pinningFrom("0, 2+3,"), [[0], [2, 3], []]);
  assertEquals([pinningFrom(""), pinningFrom("0-3")], [[], undefined]);
  const part = fc.nat(999);
  fc.assert(
    fc.property(fc.record({ sockets: part, cores: part, threads: part }), (topology) => {
      assertEquals(topologyFrom(topologyWords(topology)), topology);
    }),
  );
  const lists = fc.array(fc.array(part, { maxLength: 4 }), { minLength: 2, maxLength: 8 });
  fc.assert(fc.property(lists, (lists) => {
    assertEquals(pinningFrom(pinningWords(lists)), lists);
  }));
});

Deno.test("any text is read or refused", () => {
  fc.assert(fc.property(fc.string(), (text) => {
    const pinning = pinningFrom(text);
    assert(pinning === undefined || pinning.flat().every(Number.isInteger));
    const topology = topologyFrom(text);
    assert(topology == null || Object.values(topology).every(Number.isInteger));
  }));
});
