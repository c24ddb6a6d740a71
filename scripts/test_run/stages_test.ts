import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { CHECKOUT } from "../setup/checkout.ts";
import { TestRun, wasTooLong } from "./stages.ts";

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

Deno.test("what broke off with its emulated PC is tried a third time", async () => {
  const run = new TestRun();
  const outcomes = [{ ...BAD, brokeOff: true }, BAD, GOOD];
  await run.stageOrAgain("lab", () => Promise.resolve(outcomes.shift()!));
  assertEquals(run.total, { passed: 2, failed: 0 });
});

Deno.test("the report ends with the names of what failed", async () => {
  const run = new TestRun();
  await run.stage("lab", () => Promise.resolve(BAD));
  assertEquals(run.report().split("\n").slice(-2), ["FAILED: lab", "1 passed, 1 failed"]);
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

for (const [signal, exit] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
  Deno.test(`${signal} ends what a stage has started, and then the run`, async () => {
    const source = `import { oneTest, TestRun } from "${import.meta.resolve("./stages.ts")}";
      await new TestRun().stage("slow", () => oneTest(["sh", "-c", "echo $$ ready; exec sleep 60"]));
      console.log("it went on");`;
    const run = new Deno.Command(Deno.execPath(), {
      args: ["eval", "--quiet", source],
      cwd: CHECKOUT,
      stdout: "piped",
    }).spawn();
    let said = "";
    let pid: number | undefined;
    for await (const text of run.stdout.pipeThrough(new TextDecoderStream())) {
      said += text;
      const ready = said.match(/(\d+) ready/);
      if (ready === null || pid !== undefined) continue;
      pid = Number(ready[1]);
      run.kill(signal);
    }
    assertEquals((await run.status).code, exit, said);
    assert(!said.includes("it went on"), said);
    assertEquals(await isGone(pid!), true);
  });
}

/** Whether a process ends before long. */
async function isGone(pid: number): Promise<boolean> {
  for (let tries = 0; tries < 100; tries++) {
    try {
      // One that nobody waits for stays, as a zombie.
      if ((await Deno.readTextFile(`/proc/${pid}/stat`)).includes(") Z ")) return true;
    } catch {
      return true;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return false;
}

Deno.test("who was killed for the time that it took is told from who was killed before that", () => {
  assertEquals([wasTooLong(124, 5), wasTooLong(137, 1201), wasTooLong(1, 1201)], [
    true,
    true,
    false,
  ]);
  assertEquals(wasTooLong(137, 60), false);
});
