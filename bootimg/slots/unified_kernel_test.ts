import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { tinySystem, unifiedKernel } from "../testing/unified_kernel.ts";
import { biosConfig, configOf, parseSections } from "./unified_kernel.ts";

async function configOfBytes(bytes: Uint8Array): Promise<string> {
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeFile(path, bytes);
    return await biosConfig(path);
  } finally {
    await Deno.remove(path);
  }
}

Deno.test("the loader is told where kernel and root lie, in sectors, and the command line", async () => {
  const file = tinySystem("console=ttyS0 a=$b -- run -A");
  const sections = parseSections(file, file.length);
  const at = (name: string) => sections.find((it) => it.name === name)!.offset / 512;
  assertEquals(
    await configOfBytes(file),
    `set kernel=${at(".linux")}+10\nset initrd=${
      at(".initrd")
    }+6\nset words='console=ttyS0 a=$b -- run -A'\n`,
  );
});

Deno.test("what cannot be started under a BIOS is refused with the reason", async () => {
  const bytes = new Uint8Array(10);
  await assertRejects(() => configOfBytes(unifiedKernel({ ".linux": bytes })), Error, "empty");
  const noRoot = { ".linux": bytes, ".cmdline": new TextEncoder().encode("quiet") };
  await assertRejects(() => configOfBytes(unifiedKernel(noRoot)), RangeError, '".initrd"');
  await assertRejects(() => configOfBytes(tinySystem("x' ; halt ; '")), SyntaxError, "plain text");
  await assertRejects(() => configOfBytes(tinySystem("a\nhalt")), SyntaxError, "plain text");
  const sections = [{ name: ".linux", offset: 1000, bytes: 10 }];
  assertThrows(() => configOf(sections, "quiet"), RangeError, "within a sector");
});

Deno.test("bytes that are no program are refused", async () => {
  await assertRejects(() => configOfBytes(new Uint8Array()), SyntaxError, "no program for UEFI");
  fc.assert(fc.property(fc.array(fc.tuple(fc.nat(300), fc.nat(255))), (edits) => {
    const file = tinySystem();
    for (const [at, byte] of edits) file[at] = byte;
    try {
      for (const it of parseSections(file, file.length)) {
        assertEquals(it.offset + it.bytes <= file.length, true);
      }
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
  }));
  fc.assert(fc.property(fc.uint8Array(), (bytes) => {
    assertThrows(() => parseSections(bytes, bytes.length), SyntaxError);
  }));
});
