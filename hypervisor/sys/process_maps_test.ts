import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { close } from "./files.ts";
import { map, memfd, replaceWithZeros } from "./mapping.ts";
import { anonymousRanges, parseMaps } from "./process_maps.ts";

const PAGE = 4096;

Deno.test("what is mapped is told apart by whether a file is behind it", () => {
  const fd = memfd("maps-test", 8 * PAGE);
  const mapping = map(8 * PAGE, { fd, private: true });
  const { address } = mapping;
  assertEquals(anonymousRanges(address, 8 * PAGE), []);
  replaceWithZeros(address + 2 * PAGE, 3 * PAGE);
  assertEquals(anonymousRanges(address, 8 * PAGE), [{ start: 2 * PAGE, end: 5 * PAGE }]);
  assertEquals(anonymousRanges(address + 3 * PAGE, PAGE), [{ start: 0, end: PAGE }]);
  mapping.unmap();
  close(fd);
});

Deno.test("lines of maps are read, whatever their names are", () => {
  const text = `7f0000001000-7f0000003000 rw-p 00000000 00:01 1024   /memfd:a 0 (deleted)
7ffffffde000-7ffffffff000 rw-p 00000000 00:00 0          [stack]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0  [vsyscall]
`;
  assertEquals(parseMaps(text).map(({ start, inode }) => [start, inode]), [
    [0x7f0000001000, "1024"],
    [0x7ffffffde000, "0"],
    [0xffffffffff600000, "0"],
  ]);
  fc.assert(fc.property(fc.string(), (it) => void parseMaps(it)));
});
