import { assert, assertEquals } from "@std/assert";
import { Arena } from "../machine/arena.ts";
import { EXIT_CODES, type ExitReason } from "./control.ts";
import { GuestLife } from "./lifecycle.ts";

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

Deno.test("a thread that may start does not wait, and one that has ended is not kicked", () => {
  const [one, other] = threads();
  one.start();
  other.waitForStart();
  one.setThread(0, 2 ** 30);
  other.kickAll();
  one.setThread(0, 0);
  other.kickAll();
});
