/**
 * A tap for a test's guest, where the machine lets us make one.
 *
 * @module
 */
import { createTap, removeTap } from "../../hypervisor/sys/tap.ts";

export class TestTap implements Disposable {
  readonly name = `hostile${Deno.pid}`;

  /** Null where there are no taps, or none for us. */
  static create(): TestTap | null {
    const tap = new TestTap();
    try {
      createTap(tap.name);
      return tap;
    } catch {
      return null;
    }
  }

  [Symbol.dispose](): void {
    removeTap(this.name);
  }
}
