/**
 * What is looked at after each time, and what is told of all of them.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import type { SequenceServer } from "./sequence_server.ts";
import { checkWork, type Shell } from "./work.ts";

const STREAM_PATIENCE_MS = 120_000;
const LOOK_AGAIN_MS = 50;

/** That a guest at work has lost nothing, time after time. */
export class Proof {
  readonly #server: SequenceServer;
  #last = 0;

  constructor(server: SequenceServer) {
    this.#server = server;
  }

  /** Resolves when all is as it must be; throws where it is not. */
  async holds(shell: Shell): Promise<void> {
    const now = await checkWork(shell);
    assert(now > this.#last, `the counter went from ${this.#last} to ${now}`);
    this.#last = now;
    await this.#streamGoesOn();
  }

  async #streamGoesOn(): Promise<void> {
    const server = this.#server;
    const before = server.last;
    const deadline = performance.now() + STREAM_PATIENCE_MS;
    while (server.last === before && server.wrong.length === 0) {
      assert(performance.now() < deadline, `the TCP stream stands still at ${before}`);
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    }
    assertEquals(server.wrong, []);
    assertEquals(server.connections, 1, "connections of the TCP stream");
  }
}

/** How long guests stood still, by what was done with them. */
export class Pauses {
  readonly #all = new Map<string, number[]>();

  add(what: string, milliseconds: number): void {
    const list = this.#all.get(what) ?? [];
    this.#all.set(what, list);
    list.push(milliseconds);
  }

  /** A line for each. */
  figures(): string {
    return [...this.#all].map(([what, all]) => {
      const sorted = all.toSorted((a, b) => a - b);
      const at = (part: number) => sorted[Math.floor(part * (sorted.length - 1))].toFixed(1);
      return `${what}: ${all.length} times, the guest stood still for ${at(0.5)} ms (median), ` +
        `${at(0)} to ${at(1)}`;
    }).join("\n");
  }
}

/** Tells what is done, with the seconds that have passed. */
export function teller(): (text: string) => void {
  const began = performance.now();
  return (text) =>
    console.log(`${((performance.now() - began) / 1000).toFixed(0).padStart(6)} s  ${text}`);
}
