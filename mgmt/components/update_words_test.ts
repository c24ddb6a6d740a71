import { assertEquals } from "@std/assert";
import { failureOf, isUnderWay, lastWords, phaseWords } from "./update_words.ts";

const AT = "2026-11-23T20:00:00Z";

Deno.test("the end of the last update is told, with why it was not kept", () => {
  const last = { at: AT, from: "1.2.0", to: "1.3.0", why: null };
  assertEquals(lastWords({ ...last, outcome: "kept" }), "Updated from 1.2.0 to 1.3.0");
  const why = "the console did not answer in time";
  assertEquals(
    lastWords({ ...last, outcome: "fell back", why }),
    "The update to 1.3.0 fell back to 1.2.0: the console did not answer in time",
  );
  assertEquals(
    lastWords({ ...last, from: null, outcome: "undone" }),
    "Went back from the version before to 1.3.0",
  );
});

Deno.test("what is under way hides why the one before failed", () => {
  const failed = { phase: "staging", bytes: 1, total: 2, error: "It broke", isOver: true } as const;
  const pull = { url: "https://example.org/x.efi", isOver: false, error: null };
  assertEquals(failureOf({ job: failed, pull: null }), "It broke");
  assertEquals(failureOf({ job: failed, pull }), null);
  assertEquals([isUnderWay({ job: failed, pull }), isUnderWay({ job: failed, pull: null })], [
    true,
    false,
  ]);
  assertEquals(phaseWords({ job: failed, pull }), "Fetching its signature");
});
