import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { NO_RECORD, parseRecord, reconcile, UpdateRecord } from "./record.ts";

Deno.test("any text is a record, and a damaged one counts as none", () => {
  const kept = UpdateRecord.parse({
    ...{ image: "1.0.0", previous: { version: "1.0.0", system: "image" } },
    pending: {
      ...{ kind: "update", from: null, began: true, why: "x" },
      to: { version: "2.0.0", system: "a" },
    },
    last: { at: "2026-01-01T00:00:00Z", from: null, to: "2.0.0", outcome: "kept", why: null },
  });
  assertEquals(parseRecord(JSON.stringify(kept)), kept);
  fc.assert(fc.property(fc.oneof(fc.json(), fc.string({ unit: "binary" })), (text) => {
    assertEquals(parseRecord(text), NO_RECORD);
  }));
  const text = JSON.stringify(kept);
  fc.assert(fc.property(fc.nat(text.length - 1), fc.nat(127), (at, code) => {
    const changed = text.slice(0, at) + String.fromCharCode(code) + text.slice(at + 1);
    UpdateRecord.parse(parseRecord(changed));
  }));
  assertEquals(parseRecord(text + " ".repeat(20_000)), NO_RECORD);
});

const name = fc.constantFrom("image" as const, "a" as const, "b" as const);
const slot = fc.constantFrom("a" as const, "b" as const, null);

Deno.test("whatever the loader's state, a start makes a record of the right form, once", () => {
  const choice = fc.record({ version: fc.constantFrom("1.0.0", "2.0.0"), system: name });
  const pending = fc.record({
    kind: fc.constantFrom("update" as const, "undo" as const),
    ...{ from: fc.option(choice), to: choice, began: fc.boolean(), why: fc.constant(null) },
  });
  const record = fc.record({
    ...{ image: fc.constant(null), previous: fc.option(choice), pending: fc.option(pending) },
    last: fc.constant(null),
  });
  const state = fc.record({ good: name, try: slot, tried: slot });
  fc.assert(fc.property(record, state, fc.option(name), (before, state, system) => {
    const start = { system, version: "1.0.0", state, at: "2026-01-01T00:00:00Z" };
    const once = UpdateRecord.parse(reconcile(before, start));
    assertEquals(reconcile(once, start), once);
  }));
});
