import { assertEquals, assertThrows } from "@std/assert";
import { SysError } from "./errno.ts";
import { setLength } from "./fallocate.ts";
import { close, O_RDONLY, open } from "./files.ts";
import { map, memfd } from "./mapping.ts";
import { discard } from "./memory_advice.ts";
import { writeAt } from "./positioned_io.ts";
import { mapCopyOver, setPagesAside } from "./remapping.ts";
import { isInMemory, isSealed, seal } from "./seals.ts";

const PAGE = 4096;

Deno.test("what is sealed keeps its length and content; private copies can be written", () => {
  const fd = memfd("sealed", 4 * PAGE);
  writeAt(fd, Uint8Array.of(1, 2, 3), 0);
  assertEquals([isSealed(fd), isInMemory(fd)], [false, true]);
  seal(fd);
  assertEquals(isSealed(fd), true);
  for (const length of [0, 5 * PAGE]) assertThrows(() => setLength(fd, length), SysError, "EPERM");
  assertThrows(() => writeAt(fd, Uint8Array.of(9), 0), SysError, "EPERM");
  assertThrows(() => map(PAGE, { fd }), SysError, "EPERM");
  const copy = map(PAGE, { fd, private: true });
  new Uint8Array(copy.buffer)[0] = 9;
  const other = map(PAGE, { fd, private: true });
  assertEquals(new Uint8Array(other.buffer)[0], 1);
  for (const it of [copy, other]) it.unmap();
  close(fd);
  const file = open("/proc/self/status", O_RDONLY);
  assertEquals([isSealed(file), isInMemory(file)], [false, false]);
  close(file);
});

Deno.test("a private copy takes a shared mapping's place, whose pages are aside until they are unmapped", () => {
  const length = 6 * 2 ** 20;
  const fd = memfd("ram", length);
  const ram = map(length, { fd, align: 2 ** 21 });
  const bytes = new Uint8Array(ram.buffer);
  for (let at = 0; at < length; at += PAGE) bytes[at] = at / PAGE;
  const aside = setPagesAside(ram.address, length);
  // Until something else is in its place, it is as it was.
  bytes[PAGE] = 77;
  mapCopyOver(ram.address, length, fd);
  seal(fd);
  for (let at = 0; at < length; at += PAGE) {
    assertEquals(bytes[at], at === PAGE ? 77 : at / PAGE & 0xFF);
  }
  bytes.fill(5, 0, 100);
  const other = map(PAGE, { fd, private: true });
  assertEquals([...new Uint8Array(other.buffer, 0, 2)], [0, 0]);
  // What is sealed cannot be punched out either, through the mapping that was there before.
  if (aside !== undefined) assertEquals(discard(aside.address, PAGE, { private: false }), -1);
  for (const it of [aside, other, ram]) it?.unmap();
  close(fd);
});
