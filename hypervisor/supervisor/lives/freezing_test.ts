import { assertRejects } from "@std/assert";
import { thawed } from "./freezing.ts";
import type { GuestLife } from "./guest_life.ts";

function guest(run: { isFrozen: boolean }): GuestLife {
  return { record: { name: "web" }, isUp: true, process: { run } } as unknown as GuestLife;
}

Deno.test("who waits until file systems are thawed hears when they are, are not, or need not be", async () => {
  const { signal } = new AbortController();
  await thawed(guest({ isFrozen: false }), { signal });
  const run = { isFrozen: true };
  const soon = thawed(guest(run), { signal });
  run.isFrozen = false;
  await soon;
  const late = () => thawed(guest({ isFrozen: true }), { signal, withinMs: 1 });
  await assertRejects(late, Error, "its agent does not answer");
});

Deno.test("who waits until file systems are thawed can give up", async () => {
  const abort = new AbortController();
  const waiting = thawed(guest({ isFrozen: true }), { signal: abort.signal, withinMs: 5_000 });
  abort.abort(new Error("It was cancelled"));
  await assertRejects(() => waiting, Error, "It was cancelled");
});
