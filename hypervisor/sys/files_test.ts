import { assertEquals, assertThrows } from "@std/assert";
import { EEXIST, ENOENT, SysError } from "./errno.ts";
import { close, length, O_CREAT, O_EXCL, O_RDONLY, O_WRONLY, open } from "./files.ts";

Deno.test("a file is made once, has its length, and is closed once", () => {
  const folder = Deno.makeTempDirSync();
  const path = `${folder}/ä file`;
  const fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0o640);
  assertEquals(Deno.statSync(path).mode! & 0o777, 0o640);
  assertEquals(length(fd), 0);
  Deno.truncateSync(path, 2 ** 40 + 512);
  assertEquals(length(fd), 2 ** 40 + 512);
  const again = assertThrows(() => open(path, O_WRONLY | O_CREAT | O_EXCL), SysError);
  assertEquals(again.errno, EEXIST);
  close(fd);
  // A number that no file has: that of the one just closed may be another test's by now.
  assertThrows(() => close(2 ** 30), SysError, "EBADF");
  Deno.removeSync(folder, { recursive: true });
});

Deno.test("a descriptor is not inherited by programs", () => {
  const fd = open("/proc/self/status", O_RDONLY);
  const flags = /^flags:\s+(\d+)$/m.exec(Deno.readTextFileSync(`/proc/self/fdinfo/${fd}`))![1];
  assertEquals(parseInt(flags, 8) & 0o2000000, 0o2000000);
  close(fd);
});

Deno.test("a file that is not there is an error with its name", () => {
  const error = assertThrows(() => open("/nowhere/at all", O_RDONLY), SysError);
  assertEquals([error.errno, error.message], [ENOENT, 'Cannot open "/nowhere/at all": ENOENT']);
});
