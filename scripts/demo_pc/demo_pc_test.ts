import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { encodeTable, parseTable, SECTOR_BYTES } from "../../bootimg/disk/gpt.ts";
import { emulation } from "./acceleration.ts";
import { flash } from "./flash.ts";
import { pcArguments } from "./pc.ts";
import { SerialScreen, withoutControls } from "./serial_screen.ts";

function screenOf(...chunks: string[]): SerialScreen {
  const stream = (parts: string[]) =>
    ReadableStream.from(parts.map((it) => new TextEncoder().encode(it)));
  return new SerialScreen(stream(chunks), stream([]), performance.now());
}

Deno.test("a line is found however it came in, also one of before", async () => {
  const screen = screenOf("Denovi", "sor 1.2.3\r\nSet-up code   AB", "CD\r\n");
  assertEquals((await screen.waitFor(/^Set-up code +(\S+)$/, 10)).match[1], "ABCD");
  assertEquals((await screen.waitFor(/^Denovisor (\S+)/, 10)).match[1], "1.2.3");
});

Deno.test("a line that cannot come any more is an error with the last words", async () => {
  const screen = screenOf("Kernel panic\r\n");
  const error = await assertRejects(() => screen.waitFor(/^Denovisor/, 10), Error, "the PC is off");
  assertStringIncludes(error.message, "Kernel panic");
});

Deno.test("what moves the cursor is no text", () => {
  assertEquals(
    withoutControls("\x1b[2J\x1b[01;01H\x1b[=3hBdsDxe: \x1b[0;37mloading\r"),
    "BdsDxe: loading",
  );
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom("\x1b", "[", "(", "2", "H", "\r", "\x07", "a") }),
      (text) => {
        assert(!/\p{Cc}/u.test(withoutControls(text)));
      },
    ),
  );
});

Deno.test("the PC listens on loopback alone, and keeps off when it is told to restart", () => {
  const args = pcArguments({
    disk: "/x/disk",
    acceleration: emulation("of a test"),
    forwards: [{ from: 8443, to: 443 }],
  }, "/x");
  assert(args.includes("user,id=net,hostfwd=tcp:127.0.0.1:8443-:443"));
  assert(args.includes("-no-reboot"));
  assert(!args.includes("-smbios"));
});

Deno.test("a disk whose writes are logged goes on with a log that is there", async () => {
  const writeLog = await Deno.makeTempFile();
  const acceleration = emulation("of a test");
  const node = () => {
    const args = pcArguments({ disk: "/x/disk", writeLog, acceleration, forwards: [] }, "/x");
    return JSON.parse(args[args.indexOf("-blockdev") + 1]);
  };
  assertEquals([node().log.filename, node()["log-append"]], [writeLog, undefined]);
  await Deno.writeFile(writeLog, new Uint8Array(512));
  assertEquals([node()["log-append"], node()["log-sector-size"]], [true, undefined]);
  await Deno.remove(writeLog);
});

Deno.test("a flashed disk is the image, and as large as it was asked for", async () => {
  const folder = await Deno.makeTempDir();
  const { head, tail } = encodeTable({ diskId: crypto.randomUUID(), partitions: [] }, 4096);
  const image = new Uint8Array(4096 * SECTOR_BYTES);
  image.set(head);
  image.set(tail, image.length - tail.length);
  await Deno.writeFile(`${folder}/image`, image);
  await flash(`${folder}/image`, `${folder}/disk`, 64 * 1024 * 1024);
  const disk = await Deno.readFile(`${folder}/disk`);
  assertEquals(disk.length, 64 * 1024 * 1024);
  const table = parseTable(disk.subarray(0, head.length), new Uint8Array(512), disk.length / 512);
  assertEquals(table?.partitions, []);
  await Deno.remove(folder, { recursive: true });
});
