/**
 * Changes of one thing, one after the other.
 *
 * @module
 */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Calls `act` once all that was begun for `key` before is over, however it ended. */
  async take<T>(key: string, act: () => T | Promise<T>): Promise<T> {
    const before = this.#last.get(key);
    const turn = (async () => {
      await before?.catch(() => {});
      return await act();
    })();
    this.#last.set(key, turn);
    try {
      return await turn;
    } finally {
      if (this.#last.get(key) === turn) this.#last.delete(key);
    }
  }
}
