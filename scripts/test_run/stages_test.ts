import { assertEquals, assertStringIncludes } from "@std/assert";
import { TestRun } from "./stages.ts";

const GOOD = { passed: 2, failed: 0, output: "all fine" };
const BAD = { passed: 1, failed: 1, output: "error: a guest hung" };

Deno.test("what fails once and not again has passed, and the report tells why it ran again", async () => {
  const run = new TestRun();
  const outcomes = [BAD, GOOD];
  await run.stageOrAgain("lab", () => Promise.resolve(outcomes.shift()!));
  assertEquals(run.total, { passed: 2, failed: 0 });
  assertStringIncludes(run.report(), "lab: was run once more");
  assertStringIncludes(run.report(), "a guest hung");
  assertEquals(run.report().split("\n").at(-1), "2 passed, 0 failed");
});

Deno.test("what fails twice has failed, and is not tried a third time", async () => {
  const run = new TestRun();
  let times = 0;
  await run.stageOrAgain("lab", () => {
    times++;
    return Promise.resolve(BAD);
  });
  assertEquals([times, run.total], [2, { passed: 1, failed: 1 }]);
  assertStringIncludes(run.report(), "== lab: FAILED\nerror: a guest hung");
});

Deno.test("a stage that throws is one failure, and the next one runs", async () => {
  const run = new TestRun();
  await run.stage("set-up", () => Promise.reject(new Error("no network")));
  await run.stage("unit", () => Promise.resolve(GOOD));
  assertEquals(run.total, { passed: 2, failed: 1 });
  assertStringIncludes(run.report(), "== set-up: FAILED\nno network");
});

Deno.test("stages of several lanes are all run, at most so many at a time, failures once more", async () => {
  const run = new TestRun();
  let now = 0, most = 0, times = 0;
  const stage = (failures: number) => ({
    name: "lab",
    body: async () => {
      times++;
      most = Math.max(most, ++now);
      await new Promise((resolve) => setTimeout(resolve, 1));
      now--;
      return failures-- > 0 ? BAD : GOOD;
    },
  });
  await run.together([stage(0), stage(1), stage(2), stage(0), stage(0)], 2);
  assertEquals([times, most], [7, 2]);
  assertEquals(run.total, { passed: 9, failed: 1 });
});
