import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { unpackLz4 } from "./lz4.ts";

/** As the reference packs it: what Linux's build runs. */
async function pack(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const child = new Deno.Command("lz4", {
    args: ["-l", "-9", "-c", "-q"],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const output = child.output();
  const writer = child.stdin.getWriter();
  await writer.write(bytes);
  await writer.close();
  return (await output).stdout;
}

const HAS_LZ4 = (() => {
  try {
    return new Deno.Command("lz4", { args: ["--version"] }).outputSync().success;
  } catch {
    return false;
  }
})();

Deno.test({
  name: "what the reference packs comes back: text, noise, runs and nothing",
  ignore: !HAS_LZ4,
  fn: async () => {
    const noise = crypto.getRandomValues(new Uint8Array(5000));
    const words = new TextEncoder().encode("a kernel is a kernel is a kernel. ".repeat(3000));
    const run = new Uint8Array(100_000).fill(7);
    // More than a block of 8 MiB.
    const large = new Uint8Array(9 * 2 ** 20);
    for (let i = 0; i < large.length; i += 977) large[i] = i;
    for (const bytes of [noise, words, run, large, Uint8Array.of(1)]) {
      const packed = await pack(bytes);
      assert(bytes.length < 10 || bytes === noise || packed.length < bytes.length);
      assertEquals(unpackLz4(packed, bytes.length), bytes);
    }
  },
});

/** One block by hand: "abcd", then eight bytes from four back, then "efghi". */
const BLOCK = Uint8Array.of(
  ...[2, 0x21, 0x4C, 0x18, 13, 0, 0, 0],
  ...[0x44, 0x61, 0x62, 0x63, 0x64, 4, 0, 0x50, 0x65, 0x66, 0x67, 0x68, 0x69],
);

Deno.test("a match that overlaps what it makes repeats it", () => {
  assertEquals(new TextDecoder().decode(unpackLz4(BLOCK, 17)), "abcdabcdabcdefghi");
});

Deno.test("what is damaged, cut off or of another length is a SyntaxError", () => {
  assertThrows(() => unpackLz4(new Uint8Array(8), 0), SyntaxError, "does not begin");
  assertThrows(() => unpackLz4(BLOCK, 18), SyntaxError, "it has 17 bytes, 18 are declared");
  assertThrows(() => unpackLz4(BLOCK, 16), SyntaxError, "damaged");
  assertThrows(() => unpackLz4(BLOCK.subarray(0, 15), 17), SyntaxError, "truncated");
  const far = BLOCK.slice();
  far[13] = 5;
  assertThrows(() => unpackLz4(far, 17), SyntaxError, "damaged");
});

Deno.test("any bytes unpack to the declared length or are a SyntaxError", () => {
  const flips = fc.array(fc.record({ at: fc.nat(20), byte: fc.nat(255) }), { maxLength: 4 });
  fc.assert(
    fc.property(flips, fc.nat(40), fc.nat(21), (flips, length, cut) => {
      const bytes = BLOCK.slice();
      for (const { at, byte } of flips) bytes[at] = byte;
      try {
        assertEquals(unpackLz4(bytes.subarray(0, 21 - cut), length).length, length);
      } catch (error) {
        assert(error instanceof SyntaxError, String(error));
      }
    }),
    { numRuns: 1000 },
  );
});
