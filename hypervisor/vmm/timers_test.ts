import { assert, assertEquals } from "@std/assert";
import { Timers } from "./timers.ts";

Deno.test("without timers a loop may sleep for ever", () => {
  const timers = new Timers();
  assertEquals(timers.timeoutMs, -1);
  timers.run();
});

Deno.test("what is due is called once, and what is not due stays", () => {
  const timers = new Timers();
  const called: string[] = [];
  timers.after(0, () => called.push("now"));
  timers.after(1e6, () => called.push("later"));
  assertEquals(timers.timeoutMs, 0);
  timers.run();
  timers.run();
  assertEquals(called, ["now"]);
  assert(timers.timeoutMs > 900_000);
});

Deno.test("a cancelled timer is not called, even by one that is due with it", () => {
  const timers = new Timers();
  const called: string[] = [];
  timers.after(0, () => {
    called.push("first");
    cancel();
  });
  const cancel = timers.after(0, () => called.push("second"));
  timers.run();
  assertEquals(called, ["first"]);
  assertEquals(timers.timeoutMs, -1);
});
