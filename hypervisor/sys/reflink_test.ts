import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "@std/path";
import { close, O_RDWR, open } from "./files.ts";
import { isLocked, tryLock } from "./flock.ts";
import { readPseudoFile } from "./pseudo_files.ts";
import { cloneFile } from "./reflink.ts";

function withDirectory<T>(use: (directory: string) => T, dir?: string): T {
  const directory = Deno.makeTempDirSync({ dir });
  const done = () => Deno.removeSync(directory, { recursive: true });
  const result = use(directory);
  if (result instanceof Promise) return result.finally(done) as T;
  done();
  return result;
}

Deno.test("a copy has the same bytes and the same holes", () =>
  withDirectory(async (directory) => {
    const [from, to] = [join(directory, "a"), join(directory, "b")];
    {
      using file = Deno.openSync(from, { write: true, create: true });
      file.writeSync(new Uint8Array(5000).fill(1));
      file.seekSync(20 * 1024 * 1024, Deno.SeekMode.Start);
      file.writeSync(new Uint8Array(5_000_000).fill(2));
      file.truncateSync(30 * 1024 * 1024 + 1);
    }
    await cloneFile(from, to);
    assertEquals(Deno.statSync(to).size, Deno.statSync(from).size);
    assert(Deno.statSync(to).blocks! * 512 < 8 * 1024 * 1024, "the holes are kept");
    const [a, b] = [Deno.readFileSync(from), Deno.readFileSync(to)];
    assert(a.every((byte, i) => byte === b[i]));
  }));

Deno.test("a copy on a file system of another kind has them, too", () =>
  withDirectory((from) =>
    withDirectory(async (to) => {
      const bytes = crypto.getRandomValues(new Uint8Array(50_000));
      Deno.writeFileSync(join(from, "a"), bytes);
      Deno.truncateSync(join(from, "a"), 30 * 1024 * 1024);
      assertEquals(await cloneFile(join(from, "a"), join(to, "b")), "copy");
      const copy = Deno.readFileSync(join(to, "b"));
      assertEquals(copy.subarray(0, bytes.length), bytes);
      assertEquals(copy.length, 30 * 1024 * 1024);
      assert(Deno.statSync(join(to, "b")).blocks! * 512 < 8 * 1024 * 1024, "the holes are kept");
    }, "/dev/shm")
  ));

Deno.test("an empty file and one that is all hole are copied", () =>
  withDirectory(async (directory) => {
    for (const size of [0, 10 * 1024 * 1024]) {
      const [from, to] = [join(directory, `a${size}`), join(directory, `b${size}`)];
      Deno.writeFileSync(from, new Uint8Array());
      Deno.truncateSync(from, size);
      await cloneFile(from, to);
      assertEquals(Deno.statSync(to).size, size);
    }
  }));

Deno.test("nothing is copied over", () =>
  withDirectory(async (directory) => {
    const [from, to] = [join(directory, "a"), join(directory, "b")];
    Deno.writeTextFileSync(from, "new");
    Deno.writeTextFileSync(to, "old");
    await assertRejects(() => cloneFile(from, to), Error, "EEXIST");
    assertEquals(Deno.readTextFileSync(to), "old");
  }));

Deno.test("a lock keeps others out until it is let go, and shared ones go together", () =>
  withDirectory((directory) => {
    const path = join(directory, "a");
    Deno.writeTextFileSync(path, "");
    const [one, two] = [open(path, O_RDWR), open(path, O_RDWR)];
    assertEquals(isLocked(path), false);
    assert(tryLock(one));
    assert(isLocked(path));
    assertEquals(tryLock(two), false);
    assertEquals(tryLock(two, { shared: true }), false);
    close(one);
    assertEquals(isLocked(path), false);
    const three = open(path, O_RDWR);
    assert(tryLock(two, { shared: true }) && tryLock(three, { shared: true }));
    close(two);
    close(three);
  }));

Deno.test("a file of /proc is read whole", () => {
  const cpuinfo = readPseudoFile("/proc/cpuinfo");
  assert(cpuinfo.includes("processor"));
  assert(readPseudoFile("/proc/self/stat").startsWith(`${Deno.pid} (`));
});
