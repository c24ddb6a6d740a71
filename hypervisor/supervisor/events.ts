/**
 * What changed, told to everyone who listens.
 *
 * @module
 */
import type * as z from "zod";
import type { Events } from "./api/schemas.ts";

export type EventName = keyof typeof Events;
export type EventData<N extends EventName> = z.output<(typeof Events)[N]>;
export type Change = {
  [N in Exclude<EventName, "snapshot">]: { name: N; data: EventData<N> };
}[Exclude<EventName, "snapshot">];

/** Passes each change to every listener, in order. */
export class EventHub {
  readonly #listeners = new Set<(change: Change) => void>();

  get listeners(): number {
    return this.#listeners.size;
  }

  publish(change: Change): void {
    for (const listener of [...this.#listeners]) listener(change);
  }

  /** Returns the function that ends it. */
  subscribe(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
