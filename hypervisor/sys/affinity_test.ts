import { assertEquals, assertThrows } from "@std/assert";
import { pinThread, threadCpus } from "./affinity.ts";
import { SysError } from "./errno.ts";

Deno.test("a thread that is pinned stays where it was put, and can be put back", () => {
  const before = threadCpus();
  const last = before[before.length - 1];
  pinThread([last]);
  assertEquals(threadCpus(), [last]);
  pinThread(before);
  assertEquals(threadCpus(), before);
});

Deno.test("CPUs that the host has not are refused by their numbers", () => {
  assertThrows(() => pinThread([1022, 1023]), SysError, "Cannot run on the host's CPUs 1022, 1023");
});
