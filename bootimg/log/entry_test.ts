import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { LogRecord } from "../../hypervisor/supervisor/api/log_schemas.ts";
import { entryOfLine, entryText, makeEntry } from "./entry.ts";
import { Pace } from "./pace.ts";

const SUPERVISOR = { room: "supervisor", speaksFor: ["vmm"], level: "warning" } as const;

Deno.test("a line of JSON keeps its level and its fields, and mere text has its stream's", () => {
  const line = JSON.stringify({
    ...{ time: "2020-01-01T00:00:00Z", level: "warn", message: "a guest's VMM ended" },
    ...{ guest: "web", code: 3, ok: false, none: null, list: [1] },
  });
  const { level, room, message, fields } = entryOfLine(line, SUPERVISOR);
  assertEquals([level, room, message], ["warning", "supervisor", "a guest's VMM ended"]);
  assertEquals(fields, { guest: "web", code: 3, ok: false, none: null });
  const text = entryOfLine("error: Uncaught\t(in promise)", SUPERVISOR);
  assertEquals([text.level, text.message], ["warning", "error: Uncaught (in promise)"]);
});

Deno.test("a service speaks for no room but those it may speak for", () => {
  const of = (room: string, speaksFor: string[]) =>
    entryOfLine(JSON.stringify({ level: "info", message: "x", room }), {
      ...{ room: "console", level: "info" },
      speaksFor,
    }).room;
  assertEquals(of("vmm", ["vmm"]), "vmm");
  assertEquals(of("vmm", []), "console");
  assertEquals(of("kernel", ["vmm"]), "console");
});

Deno.test("whatever a service writes is a record, of bounded size and without controls", () => {
  const line = fc.oneof(
    fc.string({ unit: "binary", maxLength: 10_000 }),
    fc.json(),
    fc.record({
      level: fc.oneof(fc.constantFrom("info", "warn", "error"), fc.jsonValue()),
      message: fc.oneof(fc.string({ unit: "binary" }), fc.jsonValue()),
      room: fc.jsonValue(),
      "__proto__": fc.jsonValue(),
      more: fc.jsonValue(),
    }, { requiredKeys: [] }).map((it) => JSON.stringify(it)),
  );
  fc.assert(fc.property(line, (line) => {
    const entry = entryOfLine(line, SUPERVISOR);
    LogRecord.parse({ seq: 1, ...entry });
    assert(!/\p{Cc}/u.test(entry.message));
    assert(entry.message.length <= 2000);
    assert(!/\p{Cc}/u.test(entryText(entry)), JSON.stringify(entryText(entry)));
  }));
});

Deno.test("an entry has no more, and nothing longer, than one may have", () => {
  const fields = Object.fromEntries(
    Array.from({ length: 100 }, (_, i) => [`f${i}`, "x".repeat(100_000)]),
  );
  const entry = makeEntry({
    level: "info",
    room: "r".repeat(99),
    message: "😀".repeat(9999),
    fields,
  });
  assertEquals(Object.keys(entry.fields).length, 16);
  assert(JSON.stringify(entry).length < 150_000);
  assert(entry.message.isWellFormed() && entry.message.endsWith("…"));
});

Deno.test("fields are text behind the message", () => {
  const entry = makeEntry({
    ...{ level: "info", room: "supervisor", message: "signed in" },
    fields: { address: "192.0.2.1", why: "a b\n", n: 1 },
  });
  assertEquals(entryText(entry), 'supervisor: signed in address=192.0.2.1 why="a b\\n" n=1');
});

Deno.test("who tells too fast is left out, and how much of it is told", () => {
  let now = 0;
  const pace = new Pace({ burst: 3, perSecond: 1, now: () => now });
  const take = () => pace.take()?.leftOut ?? "out";
  assertEquals([take(), take(), take(), take(), take()], [0, 0, 0, "out", "out"]);
  now = 1000;
  assertEquals([take(), take()], [2, "out"]);
  now = 100_000;
  assertEquals([take(), take(), take(), take()], [1, 0, 0, "out"]);
});
