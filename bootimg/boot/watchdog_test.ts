import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { Health } from "../../hypervisor/supervisor/api/health_schemas.ts";
import {
  ENDING_LIMIT_MS,
  FeedingRule,
  HANG_MS,
  hangs,
  START_MS,
  SUPERVISOR_LIMIT_MS,
} from "./feeding_rule.ts";
import { watchSupervisor } from "./supervisor_watch.ts";

Deno.test("a supervisor that never came up is no reason for a reset: it would not then either", () => {
  const rule = new FeedingRule();
  assert(rule.mayFeed(0) && rule.mayFeed(365 * 86_400_000));
});

Deno.test("restarts of the supervisor do not reset the host; its absence does, in the end", () => {
  const rule = new FeedingRule();
  rule.answered(1000);
  assert(rule.mayFeed(1000 + SUPERVISOR_LIMIT_MS - 1));
  assert(!rule.mayFeed(1000 + SUPERVISOR_LIMIT_MS));
  rule.answered(1000 + SUPERVISOR_LIMIT_MS);
  assert(rule.mayFeed(1000 + SUPERVISOR_LIMIT_MS), "it has come back in the last moment");
  // It dies each time shortly after it has answered, which is what a crash loop is.
  const restarts = fc.array(fc.integer({ min: 1, max: SUPERVISOR_LIMIT_MS - 1 }));
  fc.assert(fc.property(restarts, (gaps) => {
    const rule = new FeedingRule();
    let now = 0;
    for (const gap of gaps) {
      rule.answered(now);
      now += gap;
      assert(rule.mayFeed(now));
    }
  }));
});

Deno.test("an end that takes too long is a hang, whatever the supervisor does", () => {
  const rule = new FeedingRule();
  rule.answered(0);
  const end = SUPERVISOR_LIMIT_MS * 2;
  rule.ending(end);
  rule.ending(end + 1000);
  assert(rule.mayFeed(end + ENDING_LIMIT_MS - 1));
  rule.answered(end + ENDING_LIMIT_MS - 1);
  assert(!rule.mayFeed(end + ENDING_LIMIT_MS));
});

Deno.test("a process hangs that answers no more, or never has; one that is slow or gone does not", () => {
  const at = (now: number, startedAt: number | null, answeredAt: number | null) =>
    hangs({ now, startedAt, answeredAt });
  assert(!at(START_MS * 9, null, 0));
  assert(!at(START_MS - 1, 0, null));
  assert(at(START_MS, 0, null));
  assert(!at(1000 + HANG_MS - 1, 0, 1000));
  assert(at(1000 + HANG_MS, 0, 1000));
  assert(!at(5000 + HANG_MS, 5000, 4000), "it is another process than the one that answered");
});

Deno.test("the supervisor is asked on its socket, and its silence is told", async () => {
  const folder = await Deno.makeTempDir();
  const socket = `${folder}/s`;
  const health: Health = {
    diskMiB: 2,
    diskFreeMiB: 1,
    guests: { running: 1 },
    guestsBack: true,
    shown: [],
  };
  const server = Deno.serve({ path: socket, onListen: () => {} }, () => Response.json(health));
  const first = Promise.withResolvers<Health | null>();
  const stop = watchSupervisor({
    ...{ socket, everyMs: 10, answerMs: 5000 },
    service: { startedAt: null, kill: () => {} },
    onHealth: (it) => first.resolve(it),
  });
  assertEquals(await first.promise, health);
  stop();
  await server.shutdown();
  const silence = Promise.withResolvers<Health | null>();
  const killed: string[] = [];
  const again = watchSupervisor({
    ...{ socket, everyMs: 10, answerMs: 50 },
    service: { startedAt: performance.now() - START_MS, kill: () => killed.push("it") },
    onHealth: (it) => silence.resolve(it),
  });
  assertEquals(await silence.promise, null);
  await new Promise((resolve) => setTimeout(resolve, 20));
  again();
  assert(killed.length > 0);
  await Deno.remove(folder, { recursive: true });
});
