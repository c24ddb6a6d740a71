import { assertEquals } from "@std/assert";
import { soakByTime, turns } from "./by_time.ts";
import { EXIT, parseSoakOptions } from "./options.ts";

/** What was said of turns that ended so, each after ten minutes, and the exit code. */
async function soaked(minutes: number, ends: (number | null)[]) {
  const said: string[] = [];
  let at = 0;
  const code = await soakByTime({
    minutes,
    now: () => at,
    say: (line) => void said.push(line),
    soak(_args, seconds) {
      at += Math.min(600, seconds) * 1000;
      return Promise.resolve(ends.shift()!);
    },
  });
  return { code, last: said.at(-1), left: ends.length };
}

Deno.test("every turn is one that the command line takes", () => {
  const some = turns().take(8).toArray();
  for (const { args } of some) parseSoakOptions(args);
  assertEquals(new Set(some.map(({ name }) => name)).size, 4);
});

Deno.test("turns are taken until the time is over, and one that lost something is told", async () => {
  assertEquals(await soaked(35, [EXIT.held, EXIT.noVerdict, EXIT.held, null]), {
    ...{ code: EXIT.held, left: 0 },
    last: "2 held, 0 failed, 1 no verdict, 1 cut short",
  });
  assertEquals(
    await soaked(30, [EXIT.held, EXIT.failed, EXIT.held, EXIT.held]),
    { code: EXIT.failed, left: 1, last: "2 held, 1 failed, 0 no verdict, 0 cut short" },
  );
  assertEquals((await soaked(5, [null])).code, EXIT.noVerdict);
});
