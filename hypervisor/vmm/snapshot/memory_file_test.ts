import { Buffer } from "node:buffer";
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { DirtyPages } from "../../machine/dirty_pages.ts";
import { GuestMemory } from "../../machine/memory.ts";
import { type MemorySpec, openSavedRam } from "../../machine/ram.ts";
import { SHA256_BYTES } from "../../sys/digest.ts";
import { close, O_CREAT, O_RDWR, open } from "../../sys/files.ts";
import { RamCopier } from "../move/copier.ts";
import { FileSink } from "../move/file_sink.ts";
import { RamImage } from "../move/ram_image.ts";
import { MovedMemory, PAGE } from "../move/testing/memory.ts";
import { CHUNK_BYTES, digestBytes, MemoryDigest } from "./memory_file.ts";

const MiB = 2 ** 20;

function withFile(use: (fd: number, path: string) => void): void {
  const path = Deno.makeTempFileSync();
  const fd = open(path, O_RDWR | O_CREAT);
  try {
    use(fd, path);
  } finally {
    close(fd);
    Deno.removeSync(path);
  }
}

/** Writes all of a guest's memory that stands still, or of a copy of `base` what has changed. */
function write(
  fd: number,
  spec: MemorySpec,
  since?: { base: number; digests: Uint8Array; changed: number[] },
): Uint8Array<SharedArrayBuffer> {
  const { length } = spec;
  const image = new RamImage(spec);
  const digests = new Uint8Array(new SharedArrayBuffer(digestBytes(length)));
  if (since !== undefined) digests.set(since.digests);
  const { address } = image;
  const isNew = since === undefined;
  const sink = new FileSink({ fd, address, length, isNew, base: since?.base, digests });
  let isFinishing = false;
  new RamCopier({
    image,
    sink,
    changes: since && {
      collect: (into) => since.changed.splice(0).forEach((page) => into.add(page * PAGE, 1)),
      giveBack: () => {},
    },
    control: {
      allowedPauseMs: 0,
      get isFinishing() {
        return isFinishing;
      },
      ready: () => isFinishing = true,
      pace: () => {},
      round: () => {},
      stalled: () => {},
    },
    sets: [DirtyPages.of(length), DirtyPages.of(length)],
    full: isNew,
  }).run();
  sink.settle();
  sink.close();
  image.close();
  return digests;
}

function digestsOf(fd: number, length: number): Uint8Array {
  const digests = new Uint8Array(digestBytes(length));
  const digest = new MemoryDigest(fd, { length, digests });
  while (!digest.step());
  return digests;
}

const isSame = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;

Deno.test("digests are the same wherever the holes are, and a byte changes that of its chunk", () => {
  const length = 5 * CHUNK_BYTES + 3 * PAGE;
  using memory = new MovedMemory({ length });
  for (const page of [1, 512, 513, 2560]) memory.write(page, 1, 7);
  const [sparse, whole] = [true, false].map((isSparse) => {
    let found: Uint8Array = new Uint8Array();
    withFile((fd, path) => {
      if (isSparse) found = write(fd, memory.spec);
      else {
        Deno.writeFileSync(path, memory.bytes);
        found = digestsOf(fd, length);
      }
      assert(isSame(digestsOf(fd, length), found));
      const file = Deno.readFileSync(path);
      assert(isSame(file, memory.bytes));
      file[length - 1] ^= 1;
      Deno.writeFileSync(path, file);
      const other = digestsOf(fd, length);
      const last = 5 * SHA256_BYTES;
      assert(isSame(other.subarray(0, last), found.subarray(0, last)));
      assert(!isSame(other.subarray(last), found.subarray(last)));
    });
    return found;
  });
  assert(isSame(sparse, whole));
});

Deno.test("whatever pages there are, they are in the file, also of a guest that was itself restored", () => {
  const length = 8 * MiB;
  const pageList = fc.uniqueArray(fc.nat(length / PAGE - 1), { maxLength: 40 });
  fc.assert(
    fc.property(pageList, pageList, (first, second) => {
      using source = new MovedMemory({ length });
      for (const page of first) source.write(page, 1, page);
      withFile((fd, path) => {
        const digests = write(fd, source.spec);
        assert(isSame(digests, digestsOf(fd, length)));
        const spec = openSavedRam(fd, { length }, () => {});
        const memory = new GuestMemory(spec.address, length, { copied: true });
        assert(isSame(memory.bytes, source.bytes));
        for (const page of second) memory.bytes[page * PAGE + 77] ^= 99;
        // What was restored leaves its file as it is.
        assert(isSame(Deno.readFileSync(path), source.bytes));
        withFile((again, path) => {
          write(again, spec);
          assert(isSame(Deno.readFileSync(path), memory.bytes));
        });
        // And what has changed alone, into a copy.
        withFile((again, path) => {
          const found = write(again, spec, { base: fd, digests, changed: [...second] });
          assert(isSame(Deno.readFileSync(path), memory.bytes));
          assert(isSame(found, digestsOf(again, length)));
        });
        assert(isSame(Deno.readFileSync(path), source.bytes));
      });
    }),
    { numRuns: 12 },
  );
});

Deno.test("of what did not change nothing is read: a base that was damaged is found out", () => {
  const length = 8 * MiB;
  using memory = new MovedMemory({ length });
  memory.write(0, 2048, 3);
  withFile((fd, path) => {
    const digests = write(fd, memory.spec);
    using file = Deno.openSync(path, { write: true });
    file.seekSync(5 * MiB, Deno.SeekMode.Start);
    file.writeSync(Uint8Array.of(1, 2, 3));
    withFile((again) => {
      memory.write(7, 1, 0);
      const found = write(again, memory.spec, { base: fd, digests, changed: [7] });
      const real = digestsOf(again, length);
      const wrong = [0, 1, 2, 3].filter((chunk) => {
        const [a, b] = [found, real].map((all) => all.subarray(32 * chunk, 32 * chunk + 32));
        return !isSame(a, b);
      });
      assertEquals(wrong, [2]);
    });
  });
});

Deno.test("what a restored guest gives back is zero, and does not come back from the file", () => {
  const length = 8 * MiB;
  using source = new MovedMemory({ length });
  for (const page of [0, 512, 600, 1023, 1024]) source.write(page, 1, page);
  withFile((fd) => {
    write(fd, source.spec);
    const spec = openSavedRam(fd, { length }, () => {});
    const memory = new GuestMemory(spec.address, length, { copied: true });
    assert(memory.discard(512 * PAGE, 2 * MiB));
    assert(memory.bytes.subarray(512 * PAGE, 1024 * PAGE).every((byte) => byte === 0));
    assertEquals(memory.bytes[1024 * PAGE + 5], source.bytes[1024 * PAGE + 5]);
    // Too little to be worth a mapping of its own.
    assert(!memory.discard(0, PAGE));
    assertEquals(memory.bytes[5], source.bytes[5]);
    memory.bytes[513 * PAGE] = 4;
    withFile((fd, path) => {
      write(fd, spec);
      assert(isSame(Deno.readFileSync(path), memory.bytes));
    });
  });
});
