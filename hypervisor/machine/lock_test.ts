import { assertEquals } from "@std/assert";
import { Arena } from "./arena.ts";
import { Lock } from "./lock.ts";
import { count, Counter, type CountingTask } from "./testing/counting_worker.ts";

const ROUNDS = 100_000;

Deno.test("three threads that count under a lock count every time", async () => {
  const arena = new Arena();
  const lock = new Lock(arena, "lock");
  const counter = arena.place("counter", Counter);
  const url = new URL("./testing/counting_worker.ts", import.meta.url);
  // Held until all have started, so that they also sleep on it.
  lock.acquire();
  const done = Array.from({ length: 2 }, () => {
    const worker = new Worker(url, { type: "module" });
    worker.postMessage({ arena: arena.buffer, rounds: ROUNDS } satisfies CountingTask);
    return new Promise<void>((resolve, reject) => {
      worker.onmessage = () => resolve();
      worker.onerror = (event) => reject(new Error(event.message));
    });
  });
  await new Promise((resolve) => setTimeout(resolve, 50));
  lock.release();
  count(lock, counter, ROUNDS);
  await Promise.all(done);
  assertEquals([counter.low, counter.high], [3 * ROUNDS, 3 * ROUNDS]);
});
