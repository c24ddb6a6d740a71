/**
 * A stream that is followed by a mark, after which nothing counts.
 *
 * @module
 */

/**
 * Yields the bytes of `stream` up to `mark`, as they come. Returns whether the mark was there:
 * without it the stream has broken off.
 */
export async function* untilMark(
  stream: AsyncIterable<Uint8Array>,
  mark: Uint8Array,
): AsyncGenerator<Uint8Array, boolean> {
  let held = new Uint8Array(0);
  for await (const chunk of stream) {
    const bytes = new Uint8Array(held.length + chunk.length);
    bytes.set(held);
    bytes.set(chunk, held.length);
    const at = indexOf(bytes, mark);
    if (at >= 0) {
      if (at > 0) yield bytes.subarray(0, at);
      return true;
    }
    const sure = bytes.length - beginningAtEnd(bytes, mark);
    if (sure > 0) yield bytes.subarray(0, sure);
    held = bytes.slice(sure);
  }
  if (held.length > 0) yield held;
  return false;
}

function indexOf(bytes: Uint8Array, mark: Uint8Array): number {
  let at = bytes.indexOf(mark[0]);
  while (at >= 0 && at + mark.length <= bytes.length) {
    if (mark.every((byte, i) => bytes[at + i] === byte)) return at;
    at = bytes.indexOf(mark[0], at + 1);
  }
  return -1;
}

/** How many of the last bytes may be the mark's first ones; those have to wait for what follows. */
function beginningAtEnd(bytes: Uint8Array, mark: Uint8Array): number {
  for (let count = Math.min(mark.length - 1, bytes.length); count > 0; count--) {
    const from = bytes.length - count;
    let same = true;
    for (let i = 0; same && i < count; i++) same = bytes[from + i] === mark[i];
    if (same) return count;
  }
  return 0;
}
