import { assertEquals } from "@std/assert";
import { standingOf, Trial } from "./trial.ts";

const NO_DISK = { path: "/nowhere", sectors: 0 };

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

Deno.test("a trial that is not passed ends in a restart, and then in one that nothing can hold up", async () => {
  const done: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const trial = new Trial(NO_DISK, "b", {
    trialMs: 5,
    endMs: 5,
    restart: () => done.push("restart"),
    restartNow: () => {
      done.push("restart now");
      resolve();
    },
  });
  await promise;
  assertEquals(done, ["restart", "restart now"]);
  // Without the disk it cannot be passed either.
  assertEquals(await trial.passed().then(() => "passed", () => "not passed"), "not passed");
});
