import { assertEquals } from "@std/assert";

/** Sends itself three signals from as many calls, and says what the counter says. */
const PROGRAM = `
import { take } from ${JSON.stringify(new URL("./eventfd.ts", import.meta.url).href)};
import { SIGHUP, SIGINT, signalEventfd, SIGTERM } from ${
  JSON.stringify(new URL("./signal_events.ts", import.meta.url).href)
};
const fd = signalEventfd([SIGHUP, SIGINT, SIGTERM]);
for (const name of ["SIGTERM", "SIGINT", "SIGHUP"]) Deno.kill(Deno.pid, name);
for (let count = 0; count < 3;) count += take(fd);
console.log("all came");
`;

Deno.test("signals end no process and are counted, whichever thread they reach", async () => {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-lock", PROGRAM],
    signal: AbortSignal.timeout(20_000),
  }).output();
  const text = new TextDecoder().decode(stdout);
  assertEquals([code, text], [0, "all came\n"], new TextDecoder().decode(stderr));
});
