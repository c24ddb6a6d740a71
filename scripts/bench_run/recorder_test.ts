import { assertEquals, assertThrows } from "@std/assert";
import { figure, Recorder } from "./recorder.ts";

const ROW = { name: "x", unit: "s", better: "lower" } as const;

Deno.test("figures of one row come together, each with its line", () => {
  const lines: string[] = [];
  const recorder = new Recorder((line) => lines.push(line));
  recorder.add(ROW, "denovisor", 1);
  recorder.add(ROW, "q35", 2);
  recorder.add(ROW, "denovisor", 3);
  assertEquals(recorder.rows, [{ ...ROW, runs: { denovisor: [1, 3], q35: [2] } }]);
  assertEquals(lines.length, 3);
  assertThrows(() => recorder.add(ROW, "q35", NaN), Error, "q35 gave NaN");
});

Deno.test("a failure is told by its cause, and the next attempt goes on", async () => {
  const recorder = new Recorder(() => {});
  assertEquals(
    await recorder.attempt("a", async () => {
      await using _ = { [Symbol.asyncDispose]: () => Promise.reject(new Error("second")) };
      throw new Error("first");
    }),
    false,
  );
  assertEquals(await recorder.attempt("b", () => Promise.resolve()), true);
  assertEquals(recorder.failures, ["a: first"]);
});

Deno.test("a figure shows three digits that matter", () => {
  assertEquals([0, 0.0123, 1.2345, 12.345, 12345.6].map(figure), [
    "0",
    "0.012",
    "1.23",
    "12.3",
    "12346",
  ]);
});
