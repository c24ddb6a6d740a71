/**
 * Reads volumes of ISO 9660 with Rock Ridge names, of one folder.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";

const SECTOR_BYTES = 2048;
const text = (bytes: Uint8Array) => new TextDecoder("latin1").decode(bytes);

/** A number that is there in both byte orders, and the same in both. */
function both32(bytes: Uint8Array, at: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at);
  assertEquals(view.getUint32(0, true), view.getUint32(4, false));
  return view.getUint32(0, true);
}

/** A directory's records: names as they are without Rock Ridge, and its fields. */
function* recordsOf(image: Uint8Array, root: Uint8Array) {
  const [sector, length] = [both32(root, 2), both32(root, 10)];
  const folder = image.subarray(sector * SECTOR_BYTES, sector * SECTOR_BYTES + length);
  for (let at = 0; folder[at] > 0; at += folder[at]) {
    const record = folder.subarray(at, at + folder[at]);
    assertEquals([record.length % 2, record[1]], [0, 0]);
    const idBytes = record[32];
    const fields = new Map<string, Uint8Array>();
    for (let use = 33 + idBytes + (idBytes + 1) % 2; use + 4 <= record.length;) {
      fields.set(text(record.subarray(use, use + 2)), record.subarray(use, use + record[use + 2]));
      use += record[use + 2];
    }
    const place = both32(record, 2) * SECTOR_BYTES;
    const content = image.subarray(place, place + both32(record, 10));
    yield { id: text(record.subarray(33, 33 + idBytes)), flags: record[25], fields, content };
  }
}

/** Reads a volume as its format says, not as it was written here; throws where it is not as that says. */
export function readIso(image: Uint8Array): { label: string; files: Map<string, Uint8Array> } {
  const sector = (n: number) => image.subarray(n * SECTOR_BYTES, (n + 1) * SECTOR_BYTES);
  let primary: Uint8Array | undefined;
  for (let n = 16;; n++) {
    assertEquals(text(sector(n).subarray(1, 7)), "CD001\x01");
    if (sector(n)[0] === 255) break;
    if (sector(n)[0] === 1) primary = sector(n);
  }
  assert(primary !== undefined);
  assertEquals(both32(primary, 80) * SECTOR_BYTES, image.length);
  const root = primary.subarray(156, 190);
  // Both path tables name the same root.
  const view = new DataView(primary.buffer, primary.byteOffset);
  const [little, big] = [sector(view.getUint32(140, true)), sector(view.getUint32(148, false))];
  assertEquals(new DataView(little.buffer, little.byteOffset).getUint32(2, true), both32(root, 2));
  assertEquals(new DataView(big.buffer, big.byteOffset).getUint32(2, false), both32(root, 2));
  const records = [...recordsOf(image, root)];
  assertEquals(records.slice(0, 2).map(({ id, flags }) => [id, flags]), [["\0", 2], ["\x01", 2]]);
  assertEquals([...records[0].fields.get("SP")!.subarray(4, 6)], [0xbe, 0xef]);
  const ids = records.slice(2).map(({ id }) => id);
  assertEquals(ids, ids.toSorted(), "a directory is in order");
  const files = records.slice(2).map(({ id, fields, content, flags }) => {
    assert(/^[A-Z0-9_]{1,30}\.;1$/.test(id), id);
    assertEquals([flags, both32(fields.get("PX")!, 4)], [0, 0o100444]);
    return [text(fields.get("NM")!.subarray(5)), content] as const;
  });
  return { label: text(primary.subarray(40, 72)).trimEnd(), files: new Map(files) };
}

/** The texts of a volume's files, by their names. */
export function textsIn(image: Uint8Array): Record<string, string> {
  const texts = [...readIso(image).files].map(([name, bytes]) =>
    [name, new TextDecoder().decode(bytes)] as const
  );
  return Object.fromEntries(texts);
}
