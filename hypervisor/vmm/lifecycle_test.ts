import { assert, assertEquals } from "@std/assert";
import { Arena } from "../machine/arena.ts";
import { EXIT_CODES, type ExitReason } from "./control.ts";
import { GuestLife, restMs } from "./lifecycle.ts";

function threads(): [GuestLife, GuestLife] {
  const arena = new Arena();
  return [new GuestLife(arena), new GuestLife(new Arena(arena.buffer))];
}

Deno.test("the first reason to end is the one, in every thread", () => {
  for (const reason of Object.keys(EXIT_CODES) as ExitReason[]) {
    const [one, other] = threads();
    assertEquals([one.hasEnded, one.reason], [false, undefined]);
    assert(one.end(reason));
    assert(!other.end("host"));
    assertEquals([other.hasEnded, other.reason], [true, reason]);
  }
});

Deno.test("what is said with the first reason is kept, what is too long is cut", () => {
  const [one, other] = threads();
  assertEquals(other.message, "");
  one.end("crash", "the reason, " + "é".repeat(2000));
  one.end("host", "another");
  assertEquals(other.message.startsWith("the reason, ééé"), true);
  assertEquals(new TextEncoder().encode(other.message).length <= 1026, true);
});

Deno.test("a thread that may run does not wait, and one that has stopped is not kicked", () => {
  const [one, other] = threads();
  one.hold();
  assert(other.isHeld);
  one.release();
  other.park(() => {});
  one.setThread(0, 2 ** 30);
  assertEquals([other.threads, other.stopped, other.parked], [1, 0, 0]);
  other.kickAll();
  one.setStopped(0);
  other.kickAll();
  assertEquals([other.threads, other.stopped], [0, 1]);
});

Deno.test("a thread that is slowed down rests for its share, and not while the guest is held", () => {
  const [one, other] = threads();
  assertEquals(other.rest(), false);
  assertEquals([20, 50, 80, 95].map(restMs), [2.5, 10, 40, 190]);
  one.slow(80);
  const began = performance.now();
  assertEquals(other.rest(), true);
  assert(performance.now() - began >= 39);
  one.hold();
  one.slow(99);
  assertEquals(other.rest(), true);
  assert(performance.now() - began < 1000);
  one.slow(0);
  assertEquals(other.rest(), false);
});

Deno.test("an end releases those who are held", () => {
  const [one, other] = threads();
  one.hold();
  one.end("poweroff");
  other.park(() => {});
  assert(other.hasEnded);
});
