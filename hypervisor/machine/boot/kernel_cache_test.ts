import { assert, assertEquals, assertThrows } from "@std/assert";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { bzImage } from "../testing/bzimage.ts";
import { elfKernel } from "../testing/elf.ts";
import { BootFile } from "./boot_file.ts";
import { BZIMAGE_HEADER_BYTES, parseBzImage } from "./bzimage.ts";
import { unpackedKernel } from "./kernel_cache.ts";

const LONG_AGO = new Date(2020, 1, 1);
const VMLINUX = elfKernel({ segments: [{ address: 0x100_0000, bytes: new Uint8Array(9000) }] });

/** With the length of what is packed behind it, as Linux's build appends it. */
function sized(packed: Uint8Array, length = VMLINUX.length): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(packed.length + 4);
  out.set(packed);
  new DataView(out.buffer).setUint32(packed.length, length, true);
  return out;
}

class Cache implements Disposable {
  readonly path = Deno.makeTempDirSync();
  readonly folder = `${this.path}/cache`;

  kernel(packed: Uint8Array, name = "vmlinuz"): string {
    const path = `${this.path}/${name}`;
    Deno.writeFileSync(path, bzImage({ packed }));
    return path;
  }

  /** What a boot finds: the unpacked kernel's bytes. */
  take(path: string, maxBytes?: number): Uint8Array {
    using kernel = new BootFile(path, "kernel");
    const image = parseBzImage(kernel.read(0, BZIMAGE_HEADER_BYTES), kernel.length);
    using file = unpackedKernel(kernel, image, { folder: this.folder, maxBytes });
    return file.read(0, file.length);
  }

  names(): string[] {
    return [...Deno.readDirSync(this.folder)].map(({ name }) => name).sort();
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

Deno.test("a kernel is unpacked however it was packed", () => {
  using cache = new Cache();
  assertEquals(cache.take(cache.kernel(sized(zstdCompressSync(VMLINUX)), "zstd")), VMLINUX);
  // gzip ends with the length itself.
  assertEquals(cache.take(cache.kernel(gzipSync(VMLINUX), "gzip")), VMLINUX);
  const digests = cache.names().map((name) => /^[0-9a-f]{64}\.vmlinux$/.test(name));
  assertEquals(digests, [true, true]);
});

for (const [name, ...command] of [["xz", "xz", "--check=crc32"], ["bzip2", "bzip2"]]) {
  let has = true;
  try {
    new Deno.Command(command[0], { args: ["--help"] }).outputSync();
  } catch {
    has = false;
  }
  Deno.test({
    name: `a kernel packed by ${name} is unpacked by the host's program`,
    ignore: !has,
    fn: () => {
      using cache = new Cache();
      Deno.writeFileSync(`${cache.path}/plain`, VMLINUX);
      const [program, ...args] = command;
      const packed = new Deno.Command(program, { args: [...args, "-kc", `${cache.path}/plain`] })
        .outputSync().stdout;
      assertEquals(cache.take(cache.kernel(sized(packed))), VMLINUX);
      assertEquals(cache.names().length, 1);
      // What would become longer than it claims is not taken, and nothing of it stays.
      assertThrows(() => cache.take(cache.kernel(sized(packed, 100), "liar")));
      assertEquals(cache.names().length, 1);
    },
  });
}

Deno.test("the second boot takes what the first unpacked, without reading the kernel's content", () => {
  using cache = new Cache();
  const path = cache.kernel(sized(zstdCompressSync(VMLINUX)));
  cache.take(path);
  const [name] = cache.names();
  // A mark that only one who does not unpack again leaves in place.
  const marked = VMLINUX.slice();
  marked[marked.length - 1] = 42;
  Deno.writeFileSync(`${cache.folder}/${name}`, marked);
  assertEquals(cache.take(path), marked);
  // A copy is another file of the same digest.
  Deno.copyFileSync(path, `${path}-copy`);
  assertEquals(cache.take(`${path}-copy`), marked);
  assertEquals(cache.names(), [name]);
});

Deno.test("a file's digest is remembered once it is settled, and not when it changes", async () => {
  using cache = new Cache();
  const path = cache.kernel(sized(zstdCompressSync(VMLINUX)));
  // The change time cannot be set back, so the test has to wait.
  await new Promise((resolve) => setTimeout(resolve, 2100));
  cache.take(path);
  assertEquals(cache.names().filter((name) => name.endsWith(".seen")).length, 1);
  const other = elfKernel({ segments: [{ address: 0x100_0000, bytes: new Uint8Array(500) }] });
  Deno.writeFileSync(path, bzImage({ packed: sized(zstdCompressSync(other), other.length) }));
  assertEquals(cache.take(path), other);
});

Deno.test("what cannot be unpacked is refused and leaves nothing", () => {
  using cache = new Cache();
  const refused = (packed: Uint8Array, why?: string) => {
    assertThrows(() => cache.take(cache.kernel(packed)), Error, why);
    assertEquals(cache.names(), []);
  };
  refused(new Uint8Array(0), "does not say where the kernel lies");
  refused(new Uint8Array(100).fill(0xFF), "claims to unpack to");
  refused(sized(new Uint8Array(100).fill(9)), "packed in a way that is not known");
  refused(sized(zstdCompressSync(VMLINUX).subarray(0, 30)));
  refused(sized(zstdCompressSync(new Uint8Array(100_000)), 50), undefined);
  refused(sized(zstdCompressSync(new Uint8Array(5000)), 5000), 'no "\\x7fELF"');
  refused(sized(zstdCompressSync(elfKernel({ entry: 0x200_0000 }))), "its entry is not in it");
});

Deno.test("the kernel that was not used for longest makes room", () => {
  using cache = new Cache();
  const paths = [1, 2, 3].map((n) => {
    const vmlinux = elfKernel({
      segments: [{ address: 0x100_0000, bytes: new Uint8Array(9000).fill(n) }],
    });
    return cache.kernel(sized(zstdCompressSync(vmlinux), vmlinux.length), `kernel${n}`);
  });
  const room = 2 * VMLINUX.length;
  cache.take(paths[0], room);
  const [first] = cache.names();
  cache.take(paths[1], room);
  const second = cache.names().find((name) => name !== first)!;
  Deno.utimeSync(`${cache.folder}/${second}`, LONG_AGO, LONG_AGO);
  cache.take(paths[0], room);
  cache.take(paths[2], room);
  const left = cache.names();
  assertEquals([left.length, left.includes(first), left.includes(second)], [2, true, false]);
  assert(!left.some((name) => name.endsWith(".new")));
});
