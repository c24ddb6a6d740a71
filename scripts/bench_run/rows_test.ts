import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { holds, PEERS, ratio, ratioTo, type Row } from "./rows.ts";

const row = (more: Partial<Row>): Row => ({
  name: "x",
  unit: "s",
  better: "lower",
  runs: {},
  ...more,
});

Deno.test("a ratio above 1 is better, whichever way the unit goes", () => {
  const runs = { denovisor: [1, 2, 9], microvm: [4], q35: [8] };
  assertEquals(ratioTo(row({ runs }), "microvm"), 2);
  assertEquals(ratioTo(row({ runs, better: "higher" }), "q35"), 0.25);
});

Deno.test("the ratio of a row is to the best of the peers", () => {
  assertEquals(ratio(row({ runs: { denovisor: [2], microvm: [4], q35: [2] } })), 1);
  assertEquals(ratio(row({ runs: { denovisor: [2] } })), undefined);
});

Deno.test("a row holds when it holds against each peer, by what is asked for that peer", () => {
  const runs = { denovisor: [10], microvm: [10], q35: [12] };
  assertEquals(holds(row({ runs })), true);
  assertEquals(holds(row({ runs, least: { q35: 1 / 0.7 } })), false);
  assertEquals(holds(row({ runs: { denovisor: [11], c: [10] }, least: { c: 1 / 1.1 } })), true);
  assertEquals(holds(row({ runs: { denovisor: [12], c: [10] }, least: { c: 1 / 1.1 } })), false);
  assertEquals(holds(row({ runs: { microvm: [1] } })), undefined);
});

Deno.test("any figures, zero too, give a ratio that is a positive number or 0", () => {
  const numbers = fc.array(fc.double({ min: 0, max: 1e12, noNaN: true }), { minLength: 1 });
  const runs = fc.record({ denovisor: numbers, microvm: numbers, q35: numbers, c: numbers }, {
    requiredKeys: ["denovisor"],
  });
  fc.assert(fc.property(runs, fc.constantFrom("lower", "higher"), (runs, better) => {
    const it = row({ runs, better: better as Row["better"] });
    const all = ratio(it);
    assertEquals(all === undefined, PEERS.every((peer) => runs[peer] === undefined));
    if (all === undefined) return;
    assert(Number.isFinite(all) && all >= 0);
    for (const peer of PEERS) assert((ratioTo(it, peer) ?? Infinity) >= all);
  }));
});
