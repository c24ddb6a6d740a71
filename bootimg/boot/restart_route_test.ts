import { assertEquals } from "@std/assert";
import { restartRoute } from "./restart_route.ts";
import { stageWords } from "./shutdown.ts";

Deno.test("a restart is answered before it begins, and begins once", async () => {
  let restarts = 0;
  const began = Promise.withResolvers<void>();
  const routes = restartRoute({
    isEnding: () => restarts > 0,
    restart() {
      restarts++;
      began.resolve();
    },
    afterMs: 5,
  });
  const ask = async () => (await routes["POST /restart"](new Request("http://x/"))).status;
  assertEquals([await ask(), await ask(), restarts], [202, 202, 0]);
  await began.promise;
  await new Promise((resolve) => setTimeout(resolve, 20));
  assertEquals([restarts, await ask()], [1, 409]);
});

Deno.test("the screen tells which guests are saved, and which are waited for", () => {
  const progress = { done: false, running: ["db", "web"], forced: [] };
  const end = "; press the power button again to end them now";
  assertEquals(
    stageWords({ ...progress, saving: [{ name: "web", percent: 40 }] }),
    `saving web (40 %); waiting for db${end}`,
  );
  assertEquals(stageWords({ ...progress, saving: [] }), `waiting for db, web${end}`);
});
