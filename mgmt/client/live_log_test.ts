import { assertEquals } from "@std/assert";
import type { LogRecord } from "../../hypervisor/supervisor/api/schemas.ts";
import { MOST_ROWS, withNew } from "./live_log.ts";

function records(from: number, to: number): LogRecord[] {
  return Array.from({ length: to - from + 1 }, (_, i) =>
    ({
      ...{ seq: from + i, time: "", level: "info", room: "boot", message: "", fields: {} },
    }) as LogRecord);
}

Deno.test("what comes stands before what was, and nothing twice", () => {
  const before = { records: records(1, 3).toReversed(), missed: 0, isAll: true };
  const after = withNew(before, { records: records(2, 5), missed: 4 });
  assertEquals(after.records.map(({ seq }) => seq), [5, 4, 3, 2, 1]);
  assertEquals([after.missed, after.isAll], [4, true]);
});

Deno.test("a page has no end of rows, and says when it does not show all", () => {
  const full = { records: records(1, MOST_ROWS).toReversed(), missed: 0, isAll: true };
  const after = withNew(full, { records: records(MOST_ROWS + 1, MOST_ROWS + 2), missed: 0 });
  assertEquals([after.records.length, after.records[0].seq], [MOST_ROWS, MOST_ROWS + 2]);
  assertEquals(after.isAll, false);
});
