import { assertEquals, assertRejects } from "@std/assert";
import { within } from "./within.ts";

Deno.test("what is done in time is waited for, and its failure told", async () => {
  let isDone = false;
  const work = new Promise((resolve) => setTimeout(resolve, 10)).then(() => isDone = true);
  assertEquals([await within(work, 60_000), isDone], [true, true]);
  await assertRejects(() => within(Promise.reject(new Error("broken")), 60_000), Error, "broken");
});

Deno.test("what never ends is waited for no longer than said", async () => {
  assertEquals(await within(new Promise(() => {}), 10), false);
});
