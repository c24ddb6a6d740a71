import { assertEquals, assertRejects } from "@std/assert";
import { delay } from "@std/async";
import { join } from "@std/path";
import { ownBytes } from "./extents.ts";
import { cloneFile } from "./reflink.ts";

const MIB = 1024 * 1024;

async function withDirectory(dir: string | undefined, use: (path: string) => Promise<void>) {
  const directory = Deno.makeTempDirSync({ dir });
  try {
    await use(directory);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

/** Data in so many pieces, with holes between. */
function pieces(path: string, count: number) {
  using file = Deno.openSync(path, { write: true, create: true });
  for (let i = 0; i < count; i++) {
    file.seekSync(i * 64 * 1024, Deno.SeekMode.Start);
    file.writeSync(new Uint8Array(4096).fill(1));
  }
  file.syncSync();
}

// A file system in memory cannot say where a file's data lies, and shares none.
for (const dir of [undefined, "/dev/shm"]) {
  Deno.test(`a file has for itself what it takes, less its holes, ${dir ?? "on a disk"}`, () =>
    withDirectory(dir, async (directory) => {
      const path = join(directory, "a");
      Deno.writeFileSync(path, new Uint8Array());
      assertEquals(await ownBytes(path), 0);
      Deno.truncateSync(path, 100 * MIB);
      assertEquals(await ownBytes(path), 0);
      // More of them than are asked for at a time.
      pieces(path, 1500);
      assertEquals(await ownBytes(path), 1500 * 4096);
    }));
}

Deno.test("what a file shares is nobody's own until one of the two is gone", () =>
  withDirectory(undefined, async (directory) => {
    const [a, b] = [join(directory, "a"), join(directory, "b")];
    Deno.writeFileSync(a, new Uint8Array(MIB).fill(1));
    const how = await cloneFile(a, b);
    {
      using file = Deno.openSync(b, { write: true });
      file.seekSync(MIB, Deno.SeekMode.Start);
      file.writeSync(new Uint8Array(64 * 1024).fill(2));
      file.syncSync();
    }
    const shared = how === "reflink" ? MIB : 0;
    assertEquals(await ownBytes(a), MIB - shared);
    assertEquals(await ownBytes(b), MIB + 64 * 1024 - shared);
    Deno.removeSync(a);
    // Some file systems see to that a moment later.
    const all = MIB + 64 * 1024;
    for (let tries = 0; await ownBytes(b) < all && tries < 100; tries++) await delay(50);
    assertEquals(await ownBytes(b), all);
  }));

Deno.test("a file that is not there has nothing", async () => {
  await assertRejects(() => ownBytes("/nonexistent/a"), Error, "ENOENT");
});
