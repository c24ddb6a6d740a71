/**
 * Headers and messages in a chain's segments, which a driver may cut wherever it likes.
 *
 * @module
 */
import type { GuestMemory } from "../../machine/memory.ts";
import type { VirtQueue } from "./queue.ts";

/**
 * Copies the first bytes of what the driver wrote, once, so that it cannot change afterwards; how many
 * there are, at most `into.length`.
 */
export function gather(queue: VirtQueue, memory: GuestMemory, into: Uint8Array): number {
  const { offsets, lengths, readable } = queue;
  let done = 0;
  for (let i = 0; i < readable && done < into.length; i++) {
    const length = Math.min(lengths[i], into.length - done);
    const at = offsets[i];
    for (let k = 0; k < length; k++) into[done++] = memory.bytes[at + k];
  }
  return done;
}

/** Writes the first `length` of `bytes` where the device may write; the chain has room for them. */
export function scatter(
  queue: VirtQueue,
  memory: GuestMemory,
  bytes: Uint8Array,
  length = bytes.length,
): void {
  const { offsets, lengths, readable, writable } = queue;
  let done = 0;
  for (let i = readable; i < readable + writable && done < length; i++) {
    const here = Math.min(lengths[i], length - done);
    const at = offsets[i];
    for (let k = 0; k < here; k++) memory.bytes[at + k] = bytes[done++];
  }
}
