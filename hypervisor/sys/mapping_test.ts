import { assert, assertEquals, assertThrows } from "@std/assert";
import { EBADF, SysError } from "./errno.ts";
import { close } from "./files.ts";
import { addressOf, bufferAt, map, memfd } from "./mapping.ts";

Deno.test("two mappings of one memory file show the same bytes", () => {
  const fd = memfd("test", 8192);
  const one = map(8192, { fd });
  const other = map(4096, { fd, offset: 4096 });
  new Uint8Array(one.buffer)[4096] = 42;
  assertEquals(new Uint8Array(other.buffer)[0], 42);
  one.unmap();
  other.unmap();
  close(fd);
});

Deno.test("what is written to a private mapping stays in it", () => {
  const fd = memfd("test", 4096);
  const shared = map(4096, { fd });
  const own = map(4096, { fd, private: true });
  new Uint8Array(own.buffer)[0] = 1;
  assertEquals(new Uint8Array(shared.buffer)[0], 0);
  shared.unmap();
  own.unmap();
  close(fd);
});

Deno.test("bytes are reached by their address, from the mapping and from its middle", () => {
  const mapping = map(4096);
  mapping.dontDump();
  const bytes = new Uint8Array(mapping.buffer);
  assertEquals(addressOf(bytes), mapping.address);
  new Uint8Array(bufferAt(mapping.address + 100, 4))[3] = 9;
  assertEquals(bytes[103], 9);
  mapping.unmap();
});

Deno.test("memory that is larger than the host's is given, and its pages exist once touched", () => {
  const length = 2 ** 40;
  const fd = memfd("large", length);
  const mapping = map(length, { fd });
  assertEquals(mapping.length, length);
  const last = bufferAt(mapping.address + length - 4096, 4096);
  new Uint8Array(last)[4095] = 1;
  const info = Deno.statSync(`/proc/self/fd/${fd}`);
  assert(info.size === length && info.blocks! * 512 < 2 ** 24);
  mapping.unmap();
  close(fd);
});

Deno.test("what cannot be mapped is an error that names the call's reason", () => {
  const error = assertThrows(() => map(4096, { fd: 99_999 }), SysError, "Cannot map 4096 bytes");
  assertEquals(error.errno, EBADF);
  assertThrows(() => bufferAt(0, 1), RangeError, "Cannot view memory at address 0");
});
