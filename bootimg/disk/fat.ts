/**
 * Recognising a FAT volume by its first sector.
 *
 * @module
 */

/** The label of the FAT volume that begins with `sector`; null if it is none. */
export function fatLabel(sector: Uint8Array): string | null {
  if (sector.length < 512 || sector[510] !== 0x55 || sector[511] !== 0xaa) return null;
  const text = (at: number, length: number) =>
    new TextDecoder("latin1").decode(sector.subarray(at, at + length));
  // FAT32 keeps its kind and its label elsewhere than FAT12 and FAT16.
  if (text(82, 8) === "FAT32   ") return text(71, 11).trimEnd();
  if (/^FAT1[26] {3}$/.test(text(54, 8))) return text(43, 11).trimEnd();
  return null;
}
