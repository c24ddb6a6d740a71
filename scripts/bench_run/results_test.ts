import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import type { Row } from "./rows.ts";
import {
  formatResults,
  markdownTable,
  parseResults,
  type Results,
  terminalTable,
  withTable,
} from "./results.ts";

const RESULTS: Results = {
  boot: {
    rows: [{
      name: "boot to init",
      unit: "s",
      better: "lower",
      runs: { denovisor: [2, 1, 3], microvm: [4, 4, 4], q35: [7] },
    }],
    failures: [],
    measuredAt: "2026-01-02T03:04:05Z",
    commit: "abc",
    machine: "a PC",
    rounds: 3,
  },
};

Deno.test("results read back from their file are what was written", () => {
  const read = parseResults(formatResults(RESULTS));
  assertEquals(read.boot!.rows[0].runs, RESULTS.boot!.rows[0].runs);
  const { ratio, holds, medians } = JSON.parse(formatResults(RESULTS)).boot.rows[0];
  assertEquals({ ratio, holds, medians }, {
    ratio: 2,
    holds: true,
    medians: { denovisor: 2, microvm: 4, q35: 7 },
  });
});

Deno.test("what is no benchmark in the file is left out", () => {
  assertEquals(parseResults('{"bootSeconds":{"denovisor":[1]},"memory":{}}'), {});
});

Deno.test("a row begins with its ratio", () => {
  assertStringIncludes(terminalTable(RESULTS), "\n 2.00  holds  boot to init  s");
  assertStringIncludes(
    markdownTable(RESULTS),
    "| 2.00 | holds | boot to init | s | 2.00 | 4.00 | 7.00 |  |",
  );
});

Deno.test("a row of what nobody else has says so", () => {
  const row: Row = { ...RESULTS.boot!.rows[0], runs: { denovisor: [2] }, noPeer: true };
  const alone: Results = { upgrade: { ...RESULTS.boot!, rows: [row] } };
  assertStringIncludes(terminalTable(alone), "\n       no peer  boot to init  s");
  assertEquals(parseResults(formatResults(alone)).upgrade!.rows[0].noPeer, true);
});

Deno.test("the table replaces the one that is in the page, and only that", () => {
  const page =
    "before\n<!-- bench: made by ./scripts/bench --readme -->\nold\n<!-- /bench -->\nafter\n";
  const once = withTable(page, "new");
  assertEquals(once, withTable(withTable(page, "other"), "new"));
  assertEquals(once.startsWith("before\n") && once.endsWith("<!-- /bench -->\nafter\n"), true);
  assertEquals(once.includes("old"), false);
  assertThrows(() => withTable("nothing", "new"), Error, "Cannot put the table");
});

Deno.test("what was measured natively has a table of its own", () => {
  const places = "<!-- bench: made by ./scripts/bench --readme -->\n<!-- /bench -->\n" +
    "<!-- bench, native: made by ./scripts/bench --readme -->\n<!-- /bench -->\n";
  const page = withTable(withTable(places, "lab"), "native", "native");
  assertEquals([...page.matchAll(/^(lab|native|<!-- \/bench -->)$/gm)].map(([it]) => it), [
    ...["lab", "<!-- /bench -->"],
    ...["native", "<!-- /bench -->"],
  ]);
  assertStringIncludes(
    markdownTable(RESULTS, "./scripts/bench --native"),
    "by `./scripts/bench --native` on",
  );
});
