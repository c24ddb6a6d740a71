import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { countOf, excerptOf } from "./summary.ts";

Deno.test("the count is the one that stands at the end of the run", () => {
  assertEquals(countOf("...\nok | 12 passed | 0 failed (3s)\n", 0), { passed: 12, failed: 0 });
  assertEquals(
    countOf("\x1b[31mFAILED\x1b[0m | 2 passed (4 steps) | 1 failed | 3 ignored (1s)\n", 1),
    { passed: 2, failed: 1 },
  );
});

Deno.test("a run that broke off, or failed outside of its tests, counts as a failure", () => {
  assertEquals(countOf("error: Module not found\n", 1), { passed: 0, failed: 1 });
  assertEquals(countOf("", 0), { passed: 0, failed: 1 });
  assertEquals(countOf("ok | 3 passed | 0 failed (1s)\n", 1), { passed: 3, failed: 1 });
});

Deno.test("a bad exit is never counted as nothing failed", () => {
  fc.assert(fc.property(fc.string(), fc.integer({ min: 1, max: 255 }), (output, code) => {
    return countOf(output, code).failed >= 1;
  }));
});

Deno.test("an excerpt begins with the errors, and keeps the end of a long one", () => {
  const run = (error: string) =>
    `a ... ok\nb ... \x1b[31mFAILED\x1b[0m\n\n ERRORS \n\nb => ./b_test.ts:1:6\n${error}\n\nFAILED | 1`;
  assertEquals(
    excerptOf(run("error: 1 is not 2")),
    "ERRORS \n\nb => ./b_test.ts:1:6\nerror: 1 is not 2\n\nFAILED | 1".replace(/^/, " "),
  );
  const long = excerptOf(run("x".repeat(100_000)));
  assert(long.length < 4000 && long.startsWith(" ERRORS") && long.endsWith("FAILED | 1"));
});

Deno.test("an excerpt of what tells no errors is its end", () => {
  assertEquals(excerptOf("error: Module not found\n"), "error: Module not found");
  assert(excerptOf("y".repeat(100_000)).length < 4000);
});
