import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { bzImage } from "../testing/bzimage.ts";
import { BZIMAGE_HEADER_BYTES, type E820Entry, parseBzImage, zeroPage } from "./bzimage.ts";

const parse = (file: Uint8Array) =>
  parseBzImage(file.subarray(0, BZIMAGE_HEADER_BYTES), file.length);

Deno.test("an image says where its kernel lies, where it starts and how far it unpacks", () => {
  const file = bzImage({ code: new Uint8Array(100), setupSects: 3 });
  assertEquals({ ...parse(file), setupHeader: 0 }, {
    payload: { offset: 2048, length: file.length - 2048 },
    packed: { offset: 2048, length: 0 },
    alignment: 2 ** 21,
    setupHeader: 0,
    entry: 0x10_0200,
    end: 0x110_0000,
    initrdAddressMax: 0x7FFF_FFFF,
    cmdlineSize: 2047,
  });
  // A count of 0 means 4, for images older than the field.
  assertEquals(parse(bzImage({ setupSects: 0 })).payload.offset, 5 * 512);
});

Deno.test("a kernel that is longer than what it unpacks to ends where it does", () => {
  const file = bzImage({ code: new Uint8Array(0x30_0000), prefAddress: 0n, initSize: 4096 });
  assertEquals(parse(file).end, 0x10_0000 + file.length - 1024);
});

Deno.test("what is no kernel is refused with what is wrong about it", () => {
  const refused = (file: Uint8Array, why: string) =>
    assertThrows(() => parse(file), SyntaxError, why);
  refused(new Uint8Array(0), "0 bytes are too few");
  refused(new Uint8Array(0x3FF), "1023 bytes are too few");
  refused(new Uint8Array(4096), "no boot flag");
  refused(new TextEncoder().encode("\x7fELF".padEnd(4096)), "no boot flag");
  const noMagic = bzImage();
  noMagic[0x202] = 0;
  refused(noMagic, 'no "HdrS"');
  refused(bzImage({ version: 0x20B }), "boot protocol 2.11 is older than 2.12");
  refused(bzImage({ xloadflags: 0 }), "no 64-bit entry point");
  refused(bzImage({ declared: 2 ** 20 }), "it is truncated: 528 bytes of kernel are there");
  refused(bzImage({ setupSects: 1 }).subarray(0, 0x400), "it is truncated");
});

Deno.test("a signature behind the kernel does no harm", () => {
  const file = new Uint8Array([...bzImage(), ...new Uint8Array(1000)]);
  assertEquals(parse(file).payload.length, file.length - 1024);
});

Deno.test("any bytes give an image whose parts lie in the file, or a SyntaxError", () => {
  const flipped = fc.array(fc.record({
    at: fc.oneof(fc.integer({ min: 0x1F1, max: 0x268 }), fc.integer({ min: 0, max: 2047 })),
    byte: fc.integer({ min: 0, max: 255 }),
  })).map((flips) => {
    const file = bzImage({ code: new Uint8Array(3000) });
    for (const { at, byte } of flips) file[at] = byte;
    return file;
  });
  const cut = fc.tuple(flipped, fc.nat(5000)).map(([file, length]) => file.subarray(0, length));
  fc.assert(
    fc.property(fc.oneof(flipped, cut, fc.uint8Array({ maxLength: 3000 })), (file) => {
      let image;
      try {
        image = parse(file);
      } catch (error) {
        assert(error instanceof SyntaxError, String(error));
        return;
      }
      assert(image.payload.offset + image.payload.length === file.length);
      assert(image.payload.length > 0x200);
      assert(image.end >= 0x10_0000 + image.payload.length);
      assert(image.setupHeader.length <= 0x290 - 0x1F1);
    }),
    { numRuns: 500 },
  );
});

Deno.test("the zero page has the image's header and what the boot adds to it", () => {
  const file = bzImage();
  const e820: E820Entry[] = [
    { address: 0, length: 0x9_FC00, type: "ram" },
    { address: 0xE000_0000, length: 0x10_0000, type: "reserved" },
  ];
  const initrd = { address: 0x700_0000, length: 12_345 };
  const page = zeroPage(parse(file), { cmdline: 0x2_0000, initrd, rsdp: 0xE_0000, e820 });
  const view = new DataView(page.buffer);
  assertEquals(page.length, 4096);
  assertEquals(page.subarray(0x1F1, 0x210), file.subarray(0x1F1, 0x210));
  assertEquals(page[0x210], 0xFF);
  assertEquals(view.getUint32(0x218, true), initrd.address);
  assertEquals(view.getUint32(0x21C, true), initrd.length);
  assertEquals(view.getUint32(0x228, true), 0x2_0000);
  assertEquals(view.getBigUint64(0x70, true), 0xE_0000n);
  assertEquals(page[0x1E8], 2);
  assertEquals(view.getBigUint64(0x2D0 + 20, true), 0xE000_0000n);
  assertEquals([view.getUint32(0x2D0 + 16, true), view.getUint32(0x2D0 + 36, true)], [1, 2]);
});
