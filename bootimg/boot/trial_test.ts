import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { standingOf, Trial, TRIAL_MS, type TrialActions, trialMs } from "./trial.ts";

Deno.test("a system is on trial the first time it runs, until it is good", () => {
  const state = { good: "a", try: null, tried: "b" } as const;
  assertEquals(standingOf(state, "b"), { running: "b", onTrial: "b", failed: null });
  const good = { good: "b", try: null, tried: null } as const;
  assertEquals(standingOf(good, "b"), { running: "b", onTrial: null, failed: null });
});

Deno.test("who runs instead of the one that was tried tells that it failed", () => {
  const state = { good: "a", try: null, tried: "b" } as const;
  assertEquals(standingOf(state, "a"), { running: "a", onTrial: null, failed: "b" });
  assertEquals(standingOf(state, "image").failed, "b");
  assertEquals(standingOf(state, null).failed, "b");
  assertEquals(standingOf({ ...state, tried: null }, "image").failed, null);
});

Deno.test("only a shorter trial can be asked for, and not by what process 1 is given", () => {
  assertEquals(trialMs("quiet denovisor.trial=60 -- run"), 60_000);
  for (const value of ["x", "0", "-5", "1.5", "100000", ""]) {
    assertEquals(trialMs(`denovisor.trial=${value}`), TRIAL_MS, value);
  }
  assertEquals(trialMs("quiet -- denovisor.trial=60"), TRIAL_MS);
});

function begun(options: Partial<TrialActions> = {}) {
  const done: string[] = [];
  const over = Promise.withResolvers<void>();
  const trial = new Trial("b", {
    keep: (system) => Promise.resolve(void done.push(`keep ${system}`)),
    failed: (why) => done.push(why),
    restart: () => done.push("restart"),
    restartNow() {
      done.push("restart now");
      over.resolve();
    },
    ...options,
  });
  return { trial, done, over: over.promise };
}

Deno.test("a trial that is not passed tells what was missing, restarts, and then nothing can hold it up", async () => {
  const { trial, done, over } = begun({ trialMs: 5, endMs: 5 });
  await trial.shows("data");
  await trial.shows("console");
  assertEquals(trial.told?.waitsFor, "the guests are back");
  await over;
  assertStringIncludes(done[0], "not so far that the guests are back");
  assertEquals(done.slice(1), ["restart", "restart now"]);
  await trial.shows("guests");
  assertEquals([trial.told, done.length], [null, 3]);
});

Deno.test("a system is kept once it has shown all, at one time", async () => {
  const { trial, done } = begun();
  await trial.shows("guests");
  await trial.shows("data");
  await trial.shows("guests", false);
  await trial.shows("console");
  assertEquals([trial.told?.waitsFor, done], ["the guests are back", []]);
  await trial.shows("guests");
  await trial.shows("guests");
  assertEquals([trial.told, done], [null, ["keep b"]]);
});

Deno.test("a system that cannot be kept goes on proving itself", async () => {
  let isBroken = true;
  const { trial } = begun({
    trialMs: 60_000,
    keep: () => isBroken ? Promise.reject(new Error("the disk is gone")) : Promise.resolve(),
  });
  await trial.shows("data");
  await trial.shows("console");
  await assertRejects(() => trial.shows("guests"), Error, "the disk is gone");
  assertEquals(trial.told?.system, "b");
  isBroken = false;
  await trial.shows("guests");
  assertEquals(trial.told, null);
});

Deno.test("a trial that was given up is not passed by what is shown later", async () => {
  const { trial, done, over } = begun({ trialMs: 5, endMs: 5 });
  trial.giveUp();
  await trial.shows("data");
  await trial.shows("console");
  await trial.shows("guests");
  await over;
  assertEquals(done.includes("keep b"), false);
});
