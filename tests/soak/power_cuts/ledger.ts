/**
 * What a host was asked to keep, and what it has answered: so, what it must have after a power cut.
 *
 * @module
 */

/** A change: from `begun` on it may be there, and from `done` on it must be. */
interface Change {
  /** Null for what is gone. */
  value: string | null;
  begun: number;
  /** Null where nobody knows that it was done. */
  done: number | null;
}

/** Values of what a host keeps, by their names; what is not there has none. */
export type Kept = ReadonlyMap<string, string>;

/** All changes in the order of time, whatever clock that is by. */
export class Ledger {
  readonly #now: () => number;
  readonly #changes = new Map<string, Change[]>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** A ledger of before; what is changed from now on comes after all of it. */
  static parse(text: string, now: () => number): Ledger {
    const ledger = new Ledger(now);
    for (const [name, changes] of JSON.parse(text)) ledger.#changes.set(name, changes);
    return ledger;
  }

  format(): string {
    return JSON.stringify([...this.#changes]);
  }

  get names(): string[] {
    return [...this.#changes.keys()];
  }

  /** Has `change` make these values out of those of before, which is done when it returns. */
  async change<T>(values: Record<string, string | null>, change: () => Promise<T>): Promise<T> {
    const begun = this.#now();
    const changes = Object.entries(values).map(([name, value]) => {
      const change: Change = { value, begun, done: null };
      this.#changes.set(name, [...this.#changes.get(name) ?? [], change]);
      return change;
    });
    const result = await change();
    for (const change of changes) change.done = this.#now();
    return result;
  }

  /** What may be there at `time`. */
  mayBe(name: string, time: number): (string | null)[] {
    const begun = (this.#changes.get(name) ?? []).filter((it) => it.begun <= time);
    const last = begun.findLastIndex(({ done }) => done !== null && done <= time);
    const sure = last < 0 ? null : begun[last].value;
    return [sure, ...begun.slice(last + 1).map(({ value }) => value)];
  }

  /** A line for everything that is not as it may be. */
  check(kept: Kept, time: number): string[] {
    const wrong: string[] = [];
    for (const name of new Set([...this.names, ...kept.keys()])) {
      const found = kept.get(name) ?? null;
      const may = this.mayBe(name, time);
      if (!may.includes(found)) {
        wrong.push(`${name} is ${found ?? "not there"}, and must be ${may.join(" or ")}`);
      }
    }
    return wrong;
  }
}
