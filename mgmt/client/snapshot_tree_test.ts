import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { Snapshot, SnapshotTree } from "../../hypervisor/supervisor/api/schemas.ts";
import { treeRows } from "./snapshot_tree.ts";

function snapshot(id: string, parent: string | null): Snapshot {
  return {
    id,
    parent,
    name: id,
    description: "",
    memory: false,
    template: false,
    frozen: false,
    memoryBytes: 0,
    diskBytes: 0,
    ownBytes: null,
    pauseMs: null,
    createdAt: "2026-11-22T17:40:12.345Z",
  };
}

function tree(parents: Record<string, string | null>, current: string | null): SnapshotTree {
  return {
    guest: "guest",
    snapshots: Object.entries(parents).map(([id, parent]) => snapshot(id, parent)),
    current,
    base: null,
  };
}

/** One line a row, such as "| a": a name in its lane, with the lanes that pass by. */
function drawn(all: SnapshotTree): string[] {
  return treeRows(all).map(({ snapshot, lane, passing }) => {
    const lanes = Array.from({ length: lane }, (_, i) => passing.includes(i) ? "|" : " ");
    return [...lanes, snapshot?.name ?? "here"].join("");
  });
}

Deno.test("a history without branches is one lane, which ends here", () => {
  assertEquals(drawn(tree({}, null)), ["here"]);
  assertEquals(drawn(tree({ a: null, b: "a", c: "b" }, "c")), ["a", "b", "c", "here"]);
  assertEquals(treeRows(tree({ a: null }, "a")), [
    { snapshot: snapshot("a", null), lane: 0, from: null, passing: [], goesOn: true },
    { snapshot: null, lane: 0, from: 0, passing: [], goesOn: false },
  ]);
});

Deno.test("the way here stays in its lane; branches that were left are beside it", () => {
  const all = { a: null, b: "a", c: "b", d: "b", e: "a", f: "c" };
  assertEquals(drawn(tree(all, "e")), ["a", "|b", "||c", "||f", "|d", "e", "here"]);
  assertEquals(drawn(tree(all, "b")), ["a", "|e", "b", "|c", "|f", "|d", "here"]);
});

Deno.test("what comes from nothing that is left begins anew", () => {
  assertEquals(drawn(tree({ a: "gone", b: null, c: "a" }, "a")), ["b", "a", "|c", "here"]);
  assertEquals(drawn(tree({ a: null, b: "a" }, "gone")), ["a", "b", "here"]);
});

Deno.test("every snapshot is drawn once, below what it comes from, whatever is told", () => {
  const names = "abcdefghij".split("");
  const parent = fc.option(fc.constantFrom(...names, "gone"));
  const parents = fc.dictionary(fc.constantFrom(...names), parent);
  fc.assert(fc.property(parents, parent, (parents, current) => {
    const rows = treeRows(tree(parents, current));
    const seen = rows.map(({ snapshot }) => snapshot?.id ?? "here");
    assertEquals(seen.toSorted(), [...Object.keys(parents), "here"].toSorted());
    assertEquals(seen.at(-1), "here");
    rows.forEach((row, i) => {
      assert(!row.passing.includes(row.lane));
      if (row.from === null) return assertEquals([row.lane, row.passing], [0, []]);
      assert(row.from === row.lane || (row.passing.includes(row.from) && row.from < row.lane));
      // The line that it comes from reaches down to it.
      const before = rows.slice(0, i).findLastIndex(({ lane }) => lane === row.from);
      assert(rows[before].goesOn);
      assert(rows.slice(before + 1, i).every(({ passing }) => passing.includes(row.from!)));
    });
  }));
});

Deno.test("a thousand snapshots in a row are no matter", () => {
  const ids = Array.from({ length: 1000 }, (_, i) => `s${i}`);
  const parents = Object.fromEntries(ids.map((id, i) => [id, i === 0 ? null : ids[i - 1]]));
  assertEquals(treeRows(tree(parents, "s999")).length, 1001);
});
