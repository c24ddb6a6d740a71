/**
 * A thread that counts under a lock, for the lock's test.
 *
 * @module
 */
/// <reference lib="deno.worker" />
import { struct } from "../../sys/struct.ts";
import { Arena } from "../arena.ts";
import { Lock } from "../lock.ts";

export const Counter = struct("counter", { low: "u32", high: "u32" });

export interface CountingTask {
  arena: SharedArrayBuffer;
  rounds: number;
}

export function count(lock: Lock, counter: { low: number; high: number }, rounds: number): void {
  for (let i = 0; i < rounds; i++) {
    lock.acquire();
    // Two steps: whoever comes in between sees them differ.
    const value = counter.low;
    if (counter.high !== value) throw new Error(`Cannot count: ${value} and ${counter.high}`);
    counter.low = value + 1;
    counter.high = value + 1;
    lock.release();
  }
}

if (typeof WorkerGlobalScope !== "undefined" && self instanceof WorkerGlobalScope) {
  self.onmessage = ({ data }: MessageEvent<CountingTask>) => {
    const arena = new Arena(data.arena);
    const lock = new Lock(arena, "lock");
    count(lock, arena.place("counter", Counter), data.rounds);
    self.postMessage("done");
    self.close();
  };
}
