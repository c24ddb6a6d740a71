/**
 * What a device writes to a virtqueue's chains, for whoever copies a guest's memory while it runs.
 *
 * @module
 */
import type { GuestMemory } from "../../machine/memory.ts";
import type { Rings } from "./queue.ts";
import {
  DESC_BYTES,
  F_INDIRECT,
  F_NEXT,
  F_WRITE,
  MAX_CHAIN_BYTES,
  MAX_QUEUE_SIZE,
} from "./queue_layout.ts";

/** A chain's steps: to an indirect table, and through that. */
const MAX_STEPS = MAX_QUEUE_SIZE + 1;

/**
 * Marks all that the device could write of the chain at `head`, which it is about to return, whatever of
 * it it says it has: a read from a disk that fails has filled some of it, and a status byte lies behind
 * what is counted.
 *
 * No write is missed. All are done by now, the kernel's too, for its completion is what has the chain
 * returned. Whoever took the page's bit before this takes it once more afterwards; whoever takes it
 * later copies what was written. What is still on its way is marked when it returns, so the last
 * collection comes when devices hold nothing that the kernel works on.
 *
 * The descriptors are read anew: a queue keeps those of one chain only, and until the driver sees the
 * chain in the used ring they are not its to change (section 2.7.13). One that changes them all the same
 * makes pages of its own memory stale in the copy, and reaches nothing else.
 */
export function markWritable(memory: GuestMemory, rings: Rings, head: number): void {
  const { view } = memory;
  let table = rings.desc;
  let entries = rings.size;
  let bytes = 0;
  for (let index = head, steps = 0; index < entries && steps < MAX_STEPS; steps++) {
    const at = table + DESC_BYTES * index;
    const address = view.getUint32(at, true) + view.getUint32(at + 4, true) * 0x1_0000_0000;
    const length = view.getUint32(at + 8, true);
    const word = view.getUint32(at + 12, true);
    if ((word & F_INDIRECT) !== 0) {
      table = memory.offset(address, length);
      if (table < 0) return;
      entries = Math.floor(length / DESC_BYTES);
      index = 0;
      continue;
    }
    bytes += length;
    if (bytes >= MAX_CHAIN_BYTES) return;
    if (length !== 0 && (word & F_WRITE) !== 0) {
      const offset = memory.offset(address, length);
      if (offset < 0) return;
      memory.changed(offset, length);
    }
    if ((word & F_NEXT) === 0) return;
    index = word >>> 16;
  }
}
