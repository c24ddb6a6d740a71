/**
 * LZ4's legacy frames, as Linux packs itself in (lz4's doc/lz4_Frame_format.md and
 * lz4_Block_format.md).
 *
 * @module
 */

export const LZ4_LEGACY_MAGIC = 0x184C_2102;
const MIN_MATCH = 4;

/** Unpacks to exactly `length` bytes, or throws a SyntaxError. */
export function unpackLz4(packed: Uint8Array, length: number): Uint8Array<ArrayBuffer> {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.length);
  const out = new Uint8Array(length);
  if (packed.length < 4 || view.getUint32(0, true) !== LZ4_LEGACY_MAGIC) {
    throw new SyntaxError("Cannot unpack LZ4: it does not begin as a legacy frame");
  }
  let written = 0;
  let at = 4;
  while (at + 4 <= packed.length) {
    const bytes = view.getUint32(at, true);
    at += 4;
    if (bytes > packed.length - at) throw new SyntaxError("Cannot unpack LZ4: it is truncated");
    written = unpackBlock(packed.subarray(at, at + bytes), out, written);
    at += bytes;
  }
  if (written !== length) {
    throw new SyntaxError(`Cannot unpack LZ4: it has ${written} bytes, ${length} are declared`);
  }
  return out;
}

/** Appends a block's bytes to what is in `out` up to `start`; where it then ends. */
function unpackBlock(block: Uint8Array, out: Uint8Array, start: number): number {
  const damaged = () => new SyntaxError("Cannot unpack LZ4: it is damaged");
  let from = 0;
  let to = start;
  /** A length of 15 goes on in further bytes, up to one that is not 255. */
  const more = (length: number): number => {
    for (;;) {
      if (from >= block.length) throw damaged();
      const byte = block[from++];
      length += byte;
      if (byte !== 255) return length;
    }
  };
  while (from < block.length) {
    const token = block[from++];
    const literals = token >> 4 === 15 ? more(15) : token >> 4;
    if (literals > block.length - from || literals > out.length - to) throw damaged();
    out.set(block.subarray(from, from + literals), to);
    from += literals;
    to += literals;
    // The last sequence has no match.
    if (from === block.length) return to;
    if (from + 2 > block.length) throw damaged();
    const distance = block[from] | block[from + 1] << 8;
    from += 2;
    const length = MIN_MATCH + ((token & 15) === 15 ? more(15) : token & 15);
    if (distance === 0 || distance > to - start || length > out.length - to) throw damaged();
    // A match may overlap what it makes: then it repeats.
    for (const end = to + length; to < end; to++) out[to] = out[to - distance];
  }
  return to;
}
