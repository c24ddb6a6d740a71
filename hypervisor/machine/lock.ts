/**
 * A mutual exclusion lock between the threads of a VMM, in the arena.
 *
 * @module
 */
import { struct } from "../sys/struct.ts";
import type { Arena } from "./arena.ts";

const LockV1 = struct("lock", { word: ["i32", 1] });

const FREE = 0;
const HELD = 1;
/** Held, and somebody sleeps until it is free. */
const CONTENDED = 2;

/** How often to look again before going to sleep: a register access is shorter than a sleep. */
const SPINS = 200;

export class Lock {
  readonly #word: Int32Array;

  constructor(arena: Arena, name: string) {
    this.#word = arena.place(name, LockV1, { local: true }).word;
  }

  acquire(): void {
    const word = this.#word;
    for (let i = 0; i < SPINS; i++) {
      if (Atomics.compareExchange(word, 0, FREE, HELD) === FREE) return;
    }
    while (Atomics.exchange(word, 0, CONTENDED) !== FREE) Atomics.wait(word, 0, CONTENDED);
  }

  release(): void {
    if (Atomics.exchange(this.#word, 0, FREE) === CONTENDED) Atomics.notify(this.#word, 0, 1);
  }
}
