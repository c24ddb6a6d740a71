import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { readIso } from "../testing/iso_reader.ts";
import { type IsoFile, isoImage, SECTOR_BYTES } from "./iso9660.ts";

const BYTES = 128 * 1024;
const name = fc.stringMatching(/^[a-z0-9](-?[a-z0-9]){0,14}$/);
const files: fc.Arbitrary<IsoFile[]> = fc.uniqueArray(
  fc.record({
    name,
    bytes: fc.oneof(
      fc.uint8Array({ maxLength: 100 }),
      fc.constantFrom(0, 1, SECTOR_BYTES - 1, SECTOR_BYTES, SECTOR_BYTES + 1)
        .map((length) => new Uint8Array(length).fill(length)),
    ),
  }),
  { selector: (file) => file.name, maxLength: 8 },
);

Deno.test("files are read back from a volume as they were put into it", () => {
  fc.assert(
    fc.property(files, (files) => {
      const image = isoImage(files, { label: "cidata", bytes: BYTES });
      assertEquals(image.length, BYTES);
      const read = readIso(image);
      assertEquals(read.label, "cidata");
      assertEquals(read.files, new Map(files.map(({ name, bytes }) => [name, bytes])));
      assertEquals(isoImage(files.toReversed(), { label: "cidata", bytes: BYTES }), image);
    }),
    { numRuns: 200 },
  );
});

Deno.test("Linux's own tool takes it for a volume of that label", async () => {
  const path = Deno.makeTempFileSync();
  try {
    const bytes = new TextEncoder().encode("instance-id: x\n");
    Deno.writeFileSync(
      path,
      isoImage([{ name: "meta-data", bytes }], { label: "cidata", bytes: BYTES }),
    );
    const { stdout } = await new Deno.Command("blkid", { args: ["-p", "-o", "export", path] })
      .output();
    const lines = new TextDecoder().decode(stdout).split("\n");
    assert(lines.includes("TYPE=iso9660"), lines.join());
    assert(lines.includes("LABEL=cidata"), lines.join());
  } finally {
    Deno.removeSync(path);
  }
});

Deno.test("what does not go into a volume is refused", () => {
  const file = (name: string, length = 1) => ({ name, bytes: new Uint8Array(length) });
  const make = (files: IsoFile[], more: Partial<{ label: string; bytes: number }> = {}) => () =>
    isoImage(files, { label: "cidata", bytes: BYTES, ...more });
  assertThrows(make([file("a", BYTES)]), RangeError, "and it is to have 131072");
  assertThrows(make([], { bytes: BYTES + 1 }), RangeError, "bytes");
  assertThrows(make([], { label: "" }), RangeError, "label");
  assertThrows(make([file("A")]), RangeError, 'a file "A"');
  assertThrows(make([file("../x")]), RangeError);
  assertThrows(make([file("a"), file("a")]), RangeError, "one name");
  const many = Array.from({ length: 40 }, (_, n) => file(`file-${n}`, 0));
  assertThrows(make(many), RangeError, "more files than one sector names");
});
