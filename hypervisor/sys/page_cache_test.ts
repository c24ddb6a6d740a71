import { assert, assertEquals, assertThrows } from "@std/assert";
import { close, O_RDWR, open } from "./files.ts";
import { libraryOf } from "./library.ts";
import { map } from "./mapping.ts";
import { forgetPages, isOnSharedFileSystem } from "./page_cache.ts";

const libc = libraryOf({
  mincore: { parameters: ["usize", "usize", "buffer"], result: "i32" },
});
const PAGE = 4096;
const BYTES = 256 * PAGE;

/** How many pages of a file the kernel has in memory. */
function pagesInMemory(fd: number): number {
  const mapping = map(BYTES, { fd, private: true });
  const pages = new Uint8Array(BYTES / PAGE);
  const result = libc.symbols.mincore(BigInt(mapping.address), BigInt(BYTES), pages);
  mapping.unmap();
  assertEquals(result, 0);
  return pages.filter((one) => (one & 1) === 1).length;
}

Deno.test("what the kernel remembers of a file is forgotten, and what was written is not lost", () => {
  // Not in memory only, as temporary files may be.
  const path = Deno.makeTempFileSync({ dir: "/var/tmp" });
  try {
    const content = new Uint8Array(BYTES).fill(7);
    Deno.writeFileSync(path, content);
    {
      using file = Deno.openSync(path);
      file.syncDataSync();
    }
    const fd = open(path, O_RDWR);
    Deno.readFileSync(path);
    assert(pagesInMemory(fd) > 0);
    assertEquals(isOnSharedFileSystem(fd), false);
    forgetPages(fd);
    assertEquals(pagesInMemory(fd), 0);
    assertEquals(Deno.readFileSync(path), content);
    close(fd);
    assertThrows(() => forgetPages(fd), Error, "forget the pages");
    assertEquals(isOnSharedFileSystem(fd), false);
  } finally {
    Deno.removeSync(path);
  }
});
