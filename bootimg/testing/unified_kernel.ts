/**
 * A file of the form of a unified kernel image, for tests: nothing in it can run.
 *
 * @module
 */

const SECTOR_BYTES = 512;
const PE_AT = 0x80;

/** A program with these sections, each beginning at a sector. */
export function unifiedKernel(sections: Readonly<Record<string, Uint8Array>>): Uint8Array {
  const names = Object.keys(sections);
  const headBytes = roundUp(PE_AT + 24 + names.length * 40);
  const total = Object.values(sections).reduce((sum, it) => sum + roundUp(it.length), headBytes);
  const file = new Uint8Array(total);
  const view = new DataView(file.buffer);
  view.setUint16(0, 0x5a4d, true);
  view.setUint32(0x3c, PE_AT, true);
  view.setUint32(PE_AT, 0x4550, true);
  view.setUint16(PE_AT + 6, names.length, true);
  let offset = headBytes;
  names.forEach((name, i) => {
    const at = PE_AT + 24 + i * 40;
    const bytes = sections[name];
    new TextEncoder().encodeInto(name, file.subarray(at, at + 8));
    view.setUint32(at + 8, bytes.length, true);
    view.setUint32(at + 16, roundUp(bytes.length), true);
    view.setUint32(at + 20, offset, true);
    file.set(bytes, offset);
    offset += roundUp(bytes.length);
  });
  return file;
}

/** The same with what a system has. */
export function tinySystem(words = "quiet rdinit=/init"): Uint8Array {
  return unifiedKernel({
    ".text": new Uint8Array(100).fill(1),
    ".cmdline": new TextEncoder().encode(words),
    ".initrd": new Uint8Array(3000).fill(2),
    ".linux": new Uint8Array(5000).fill(3),
  });
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / SECTOR_BYTES) * SECTOR_BYTES;
}
