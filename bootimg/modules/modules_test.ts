import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { parseModinfo, parseModule } from "./modinfo.ts";
import { chooseModules, globToRegExp, ModuleIndex } from "./module_index.ts";

const INFO: Record<string, string> = {
  "kernel/fs/xfs/xfs.ko.xz": "name=xfs\0depends=libcrc32c\0alias=fs-xfs\0",
  "kernel/lib/libcrc32c.ko.xz": "name=libcrc32c\0depends=\0softdep=pre: crc32c\0",
  "kernel/crypto/crc32c_generic.ko.xz": "name=crc32c_generic\0depends=\0alias=crc32c\0",
  "kernel/net/e1000e.ko.xz": "name=e1000e\0alias=pci:v00008086d000010D3sv*sd*bc*sc*i*\0depends=\0",
  "kernel/net/never.ko.xz": "name=never\0depends=\0",
};

function choose(...wanted: string[]) {
  return chooseModules(
    wanted,
    Object.keys(INFO),
    (file) => Promise.resolve(parseModinfo(INFO[file])),
  );
}

Deno.test("a module brings what it needs, loaded before it, and nothing else", async () => {
  const data = await choose("xfs", "crc32c-generic");
  assertEquals(Object.keys(data.modules).sort(), ["crc32c_generic", "libcrc32c", "xfs"]);
  assertEquals(new ModuleIndex(data).filesFor("xfs"), [
    "kernel/crypto/crc32c_generic.ko.xz",
    "kernel/lib/libcrc32c.ko.xz",
    "kernel/fs/xfs/xfs.ko.xz",
  ]);
});

Deno.test("a device finds its driver by its modalias", async () => {
  const index = new ModuleIndex(await choose("e1000e"));
  assertEquals(index.forDevice("pci:v00008086d000010D3sv00001AF4sd00001100bc02sc00i00"), [
    "e1000e",
  ]);
  assertEquals(index.forDevice("pci:v00008086d000010D4sv00001AF4sd00001100bc02sc00i00"), []);
});

Deno.test("a wanted module that the kernel lacks is an error with its name", async () => {
  await assertRejects(() => choose("nosuch"), Error, '"nosuch"');
});

Deno.test("modules that need each other in a ring are each loaded once", async () => {
  const ring: Record<string, string> = {
    "a.ko": "name=a\0depends=b\0",
    "b.ko": "name=b\0depends=a\0",
  };
  const data = await chooseModules(
    ["a"],
    Object.keys(ring),
    (file) => Promise.resolve(parseModinfo(ring[file])),
  );
  assertEquals(new ModuleIndex(data).filesFor("a"), ["b.ko", "a.ko"]);
});

Deno.test("only what is to be loaded before counts of a soft dependency", () => {
  const info = parseModinfo("name=x\0softdep=pre: a b-c post: d\0");
  assertEquals(info.softdeps, ["a", "b_c"]);
});

Deno.test("patterns match as the shell's do", () => {
  assertEquals(globToRegExp("usb:v*p[0-9A]d?").test("usb:v1p5dx"), true);
  assertEquals(globToRegExp("usb:v*p[0-9A]d?").test("usb:v1pBdx"), false);
  assertEquals(globToRegExp("a.b").test("axb"), false);
});

Deno.test("a pattern without wildcards matches itself alone", () => {
  fc.assert(fc.property(fc.string(), (text) => {
    const plain = text.replace(/[*?[]/g, "");
    assertEquals(globToRegExp(plain).test(plain), true);
    assertEquals(globToRegExp(plain).test(plain + "x"), false);
  }));
});

Deno.test("bytes that are no module are refused", () => {
  assertThrows(() => parseModule(new Uint8Array(3)), SyntaxError, "Cannot read a kernel module");
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
    const elf = new Uint8Array(bytes.length + 6);
    elf.set([0x7f, 0x45, 0x4c, 0x46, 2, 1]);
    elf.set(bytes, 6);
    assertThrows(() => parseModule(elf), SyntaxError);
  }));
});
