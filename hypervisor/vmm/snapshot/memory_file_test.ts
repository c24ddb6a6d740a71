import { Buffer } from "node:buffer";
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { GuestMemory } from "../../machine/memory.ts";
import { openSavedRam } from "../../machine/ram.ts";
import { type RamSource, wholeRam } from "../../machine/ram_source.ts";
import { setLength } from "../../sys/fallocate.ts";
import { close, O_CREAT, O_RDWR, open } from "../../sys/files.ts";
import { map, memfd } from "../../sys/mapping.ts";
import { CHUNK_BYTES, MemoryDigest, MemoryWriter } from "./memory_file.ts";

const PAGE = 4096;
const MiB = 2 ** 20;

function withFile(length: number, use: (fd: number, path: string) => void): void {
  const path = Deno.makeTempFileSync();
  const fd = open(path, O_RDWR | O_CREAT);
  setLength(fd, length);
  try {
    use(fd, path);
  } finally {
    close(fd);
    Deno.removeSync(path);
  }
}

/** RAM in a memory file, of which these pages have something in them. */
function ram(length: number, pages: readonly number[]): RamSource {
  const fd = memfd("test", length);
  const mapping = map(length, { fd });
  const bytes = new Uint8Array(mapping.buffer);
  for (const page of pages) bytes.fill(page % 255 + 1, page * PAGE + 5, page * PAGE + 9);
  const memory = new GuestMemory(mapping.address, length);
  return wholeRam(memory, { address: mapping.address, length, fd });
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function digestOf(fd: number, length: number): string {
  const digest = new MemoryDigest(fd, length);
  while (!digest.step());
  return digest.value;
}

Deno.test("RAM's file has its bytes where they lie, and holes where there are zeros", () => {
  const length = 64 * MiB;
  const source = ram(length, [0, 7, 8, 9, 700, 16383]);
  // A page that was touched, and holds zeros.
  source.bytes[300 * PAGE] = 1;
  source.bytes[300 * PAGE] = 0;
  withFile(length, (fd, path) => {
    const writer = new MemoryWriter(source, fd);
    assert(writer.totalBytes < 64 * PAGE, `${writer.totalBytes}`);
    while (!writer.step(3 * PAGE));
    assertEquals(writer.doneBytes, writer.totalBytes);
    const file = Deno.readFileSync(path);
    assertEquals(file.length, length);
    assert(same(file, source.bytes));
    assert(Deno.statSync(path).blocks! * 512 <= 8 * PAGE);
  });
});

Deno.test("a digest is the same wherever the holes are, and another for another byte", () => {
  const length = 5 * CHUNK_BYTES + 3 * PAGE;
  const pages = [1, 512, 513, 2560];
  const digests = [true, false].map((sparse) => {
    let found = "";
    withFile(length, (fd, path) => {
      const source = ram(length, pages);
      if (sparse) { while (!new MemoryWriter(source, fd).step(Infinity)); }
      else Deno.writeFileSync(path, source.bytes);
      found = digestOf(fd, length);
      Deno.writeFileSync(path, Uint8Array.of(1), { append: true });
      setLength(fd, length);
      assertEquals(digestOf(fd, length), found);
      const file = Deno.readFileSync(path);
      file[length - 1] ^= 1;
      Deno.writeFileSync(path, file);
      assert(digestOf(fd, length) !== found);
    });
    return found;
  });
  assertEquals(digests[0], digests[1]);
});

Deno.test("whatever pages there are, they are in the file, also of a guest that was itself restored", () => {
  const length = 8 * MiB;
  const pageList = fc.uniqueArray(fc.nat(length / PAGE - 1), { maxLength: 40 });
  fc.assert(
    fc.property(pageList, pageList, (first, second) => {
      const source = ram(length, first);
      withFile(length, (fd, path) => {
        while (!new MemoryWriter(source, fd).step(Infinity));
        const spec = openSavedRam(fd, { length }, () => {});
        const memory = new GuestMemory(spec.address, length, { copied: true });
        assert(same(memory.bytes, source.bytes));
        for (const page of second) memory.bytes[page * PAGE + 77] = 99;
        // What was restored leaves its file as it is.
        assert(same(Deno.readFileSync(path), source.bytes));
        withFile(length, (again, path) => {
          const writer = new MemoryWriter(wholeRam(memory, spec), again);
          assert(writer.totalBytes <= (first.length + second.length) * PAGE);
          while (!writer.step(Infinity));
          const file = Deno.readFileSync(path);
          assert(same(file, memory.bytes));
        });
      });
    }),
    { numRuns: 12 },
  );
});

Deno.test("what a restored guest gives back is zero, and does not come back from the file", () => {
  const length = 8 * MiB;
  const source = ram(length, [0, 512, 600, 1023, 1024]);
  withFile(length, (fd) => {
    while (!new MemoryWriter(source, fd).step(Infinity));
    const spec = openSavedRam(fd, { length }, () => {});
    const memory = new GuestMemory(spec.address, length, { copied: true });
    assert(memory.discard(512 * PAGE, 2 * MiB));
    assert(memory.bytes.subarray(512 * PAGE, 1024 * PAGE).every((byte) => byte === 0));
    assertEquals(memory.bytes[1024 * PAGE + 5], 1024 % 255 + 1);
    // Too little to be worth a mapping of its own.
    assert(!memory.discard(0, PAGE));
    assertEquals(memory.bytes[5], 1);
    memory.bytes[513 * PAGE] = 4;
    const again = wholeRam(memory, spec);
    withFile(length, (fd, path) => {
      while (!new MemoryWriter(again, fd).step(Infinity));
      const file = Deno.readFileSync(path);
      assert(same(file, memory.bytes));
    });
  });
});
