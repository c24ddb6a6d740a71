/**
 * ELF kernels made by hand.
 *
 * @module
 */

export interface ElfOptions {
  segments?: { address: number; bytes: Uint8Array; memoryBytes?: number }[];
  entry?: number;
  /** The PVH entry that a note has; none without. */
  pvh?: number;
  /** What lies behind the file's own contents. */
  behind?: Uint8Array;
}

const PAGE = 4096;
export const ELF_ADDRESS = 0x100_0000;

export function elfKernel(options: ElfOptions = {}): Uint8Array<ArrayBuffer> {
  const { segments = [{ address: ELF_ADDRESS, bytes: Uint8Array.of(0xF4) }], pvh } = options;
  const note = new Uint8Array(pvh === undefined ? 0 : 32);
  if (pvh !== undefined) {
    // Another note before it, and then Xen's 18, the 32-bit entry.
    const view = new DataView(note.buffer);
    view.setUint32(0, 0, true);
    view.setUint32(8, 1, true);
    [4, 4, 18].forEach((word, i) => view.setUint32(12 + i * 4, word, true));
    note.set(new TextEncoder().encode("Xen"), 24);
    view.setUint32(28, pvh, true);
  }
  const parts = [...segments.map((s) => s.bytes), note];
  const offsets: number[] = [];
  let end = PAGE;
  for (const part of parts) {
    offsets.push(end);
    end += Math.ceil(part.length / 16) * 16;
  }
  const file = new Uint8Array(end + (options.behind?.length ?? 0));
  file.set(options.behind ?? [], end);
  const view = new DataView(file.buffer);
  const u64 = (at: number, value: number) => view.setBigUint64(at, BigInt(value), true);
  file.set([0x7F, 0x45, 0x4C, 0x46, 2, 1, 1]);
  view.setUint16(16, 2, true);
  view.setUint16(18, 62, true);
  u64(24, options.entry ?? segments[0].address);
  u64(32, 64);
  u64(40, end);
  view.setUint16(54, 56, true);
  view.setUint16(56, parts.length, true);
  parts.forEach((part, i) => {
    const at = 64 + i * 56;
    file.set(part, offsets[i]);
    const segment = segments[i];
    view.setUint32(at, segment ? 1 : 4, true);
    u64(at + 8, offsets[i]);
    u64(at + 24, segment?.address ?? 0);
    u64(at + 32, part.length);
    u64(at + 40, segment?.memoryBytes ?? part.length);
  });
  return file;
}
