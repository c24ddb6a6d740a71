import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { sha256, sha256Of } from "./digest.ts";
import { largestRead } from "./testing/largest_read.ts";

async function onFile(bytes: Uint8Array, act: (file: Deno.FsFile) => Promise<void>): Promise<void> {
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeFile(path, bytes);
    using file = await Deno.open(path);
    await act(file);
  } finally {
    await Deno.remove(path);
  }
}

const expected = async (bytes: Uint8Array<ArrayBuffer>) =>
  new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();

Deno.test("parts have the digest of what they make together", async () => {
  const parts = [new Uint8Array([1, 2]), new Uint8Array(), new Uint8Array([3])];
  assertEquals(sha256(...parts).toHex(), await expected(new Uint8Array([1, 2, 3])));
});

Deno.test("any range of a file has the digest of its bytes, wherever the file ends", async () => {
  const range = fc.record({ position: fc.nat(80), length: fc.nat(80) });
  await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 64 }), range, async (bytes, it) => {
    const part = new Uint8Array(bytes.slice(it.position, it.position + it.length));
    await onFile(
      bytes,
      async (file) => assertEquals(await sha256Of(file, it), await expected(part)),
    );
  }));
});

Deno.test("a large file is read piece by piece", async () => {
  const bytes = crypto.getRandomValues(new Uint8Array(65536));
  const large = new Uint8Array(2 * 1024 * 1024 + 7);
  for (let at = 0; at < large.length; at += bytes.length) {
    large.set(bytes.subarray(0, Math.min(bytes.length, large.length - at)), at);
  }
  await onFile(large, async (file) => {
    const largest = await largestRead(async () =>
      assertEquals(
        await sha256Of(file, { position: 0, length: large.length }),
        await expected(large),
      )
    );
    assert(largest <= 1024 * 1024, `${largest} bytes at once`);
  });
});
