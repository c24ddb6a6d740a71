import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { TASK_KINDS, TASK_STATES } from "../../hypervisor/supervisor/api/limits.ts";
import type { Task } from "../../hypervisor/supervisor/api/schemas.ts";
import {
  amountWords,
  compressedWords,
  doingWords,
  endWords,
  formatPause,
  shareOf,
  shortWords,
} from "./task_words.ts";

const MOVE: Task = {
  id: "01ARZ3NDEKTSV4RRFFQ69G5FAV",
  kind: "move",
  guest: "01ARZ3NDEKTSV4RRFFQ69G5FAW",
  guestName: "web-1",
  detail: "basement-2",
  state: "running",
  phase: "Copying memory",
  doneAmount: 3 * 2 ** 29,
  totalAmount: 2 ** 32,
  unit: "bytes",
  canCancel: true,
  pauseMs: null,
  sent: null,
  made: [],
  error: null,
  startedAt: "2026-11-22T17:40:12.345Z",
  endedAt: null,
};

Deno.test("a task says what it does, how far it is and how it ended", () => {
  assertEquals(doingWords(MOVE), "Moving to basement-2");
  assertEquals(amountWords(MOVE), "1.5 GiB of 4 GiB");
  assertEquals(amountWords({ ...MOVE, unit: "steps", doneAmount: 3, totalAmount: 10 }), "3 of 10");
  assertEquals(amountWords({ ...MOVE, totalAmount: 0 }), null);
  assertEquals(shortWords([MOVE]), "Moving web-1, 37 %");
  assertEquals(shortWords([MOVE, MOVE]), "2 tasks under way");
  assertEquals(endWords(MOVE), null);
  assertEquals(
    endWords({ ...MOVE, state: "done", pauseMs: 42.4 }),
    "Moved web-1 to basement-2; it stood still for 42 ms",
  );
  const sent = { memoryBytes: 3 * 2 ** 29, wireBytes: 5 * 2 ** 27 };
  assertEquals(compressedWords(MOVE), null);
  assertEquals(
    endWords({ ...MOVE, state: "done", pauseMs: 42.4, sent }),
    "Moved web-1 to basement-2; it stood still for 42 ms. " +
      "1.5 GiB of memory, compressed to 640 MiB: 2.4 to 1",
  );
  // It did not shrink, or nothing has gone.
  for (const wireBytes of [sent.memoryBytes + 24, 0]) {
    assertEquals(compressedWords({ sent: { ...sent, wireBytes } }), null);
  }
  assertEquals(
    endWords({ ...MOVE, state: "failed", error: "The host is gone" }),
    "The move of web-1 failed: The host is gone",
  );
  assertEquals(
    endWords({ ...MOVE, kind: "fork", state: "done", made: ["a", "b"] }),
    "Made 2 guests out of web-1",
  );
});

Deno.test("pauses are told with the digits that matter", () => {
  assertEquals([0, 0.84, 9.96, 42.4, 999, 1340].map(formatPause), [
    "0 ms",
    "0.8 ms",
    "10 ms",
    "42 ms",
    "999 ms",
    "1.3 s",
  ]);
});

Deno.test("every task has words, and a share between none and all", () => {
  const any = fc.record({
    kind: fc.constantFrom(...TASK_KINDS),
    state: fc.constantFrom(...TASK_STATES),
    unit: fc.constantFrom("bytes" as const, "steps" as const),
    doneAmount: fc.double({ min: 0, noNaN: true, noDefaultInfinity: true }),
    totalAmount: fc.double({ min: 0, noNaN: true, noDefaultInfinity: true }),
    pauseMs: fc.option(fc.double({ min: 0, noNaN: true, noDefaultInfinity: true })),
    sent: fc.option(fc.record({ memoryBytes: fc.maxSafeNat(), wireBytes: fc.maxSafeNat() })),
  });
  fc.assert(fc.property(any, (part) => {
    const task = { ...MOVE, ...part };
    const words = [doingWords(task), endWords(task), amountWords(task), shortWords([task])]
      .concat(compressedWords(task));
    for (const text of words) assert(text === null || !/undefined|NaN|null/.test(text), text ?? "");
    assertEquals(endWords(task) === null, task.state === "running");
    const share = shareOf(task) ?? 0;
    assert(share >= 0 && share <= 1);
  }));
});
