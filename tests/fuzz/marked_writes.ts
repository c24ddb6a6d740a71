/**
 * Whether a device's every write to a guest's memory is one that counts as changed: what the memory was
 * before the device did something is compared with what it is afterwards.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { assertEquals } from "@std/assert";
import { DIRTY_PAGE_BYTES, DirtyPages } from "../../hypervisor/machine/dirty_pages.ts";
import type { GuestMemory } from "../../hypervisor/machine/memory.ts";

export class MarkedWrites {
  readonly #memory: GuestMemory;
  readonly #marked: DirtyPages;
  readonly #before: Uint8Array;
  /** Pages that have changed and are not marked: the kernel may be at work on them. */
  readonly #owed = new Set<number>();

  constructor(memory: GuestMemory, length: number) {
    this.#memory = memory;
    this.#before = new Uint8Array(length);
    this.#marked = memory.changes = DirtyPages.of(memory.bytes.length);
  }

  /** Has the device do something, while the driver does nothing. */
  during<T>(action: () => T): T {
    const after = this.#memory.bytes.subarray(0, this.#before.length);
    this.#before.set(after);
    try {
      return action();
    } finally {
      for (let page = 0; page < this.#before.length / DIRTY_PAGE_BYTES; page++) {
        if (this.#marked.has(page)) this.#owed.delete(page);
        else if (!isSame(this.#before, after, page)) this.#owed.add(page);
      }
      this.#marked.clear();
    }
  }

  /** Once the device is at rest and nothing of it is on its way. */
  check(): void {
    assertEquals([...this.#owed], [], "the device wrote to pages that it did not mark");
  }
}

function isSame(before: Uint8Array, after: Uint8Array, page: number): boolean {
  const [from, to] = [page * DIRTY_PAGE_BYTES, (page + 1) * DIRTY_PAGE_BYTES];
  return Buffer.compare(before.subarray(from, to), after.subarray(from, to)) === 0;
}
