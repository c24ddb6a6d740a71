import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { packCpio, type Tree, withFolders } from "./cpio.ts";
import { bootPartitionMib, imageSectors } from "./disk_image.ts";
import { bundle } from "./app_root.ts";
import { COMMAND_LINE } from "./boot_file.ts";

const text = (value: string) => new TextEncoder().encode(value);

async function unpack(tree: Tree): Promise<string> {
  const folder = await Deno.makeTempDir();
  const child = new Deno.Command("cpio", {
    args: ["--extract", "--quiet", "--no-preserve-owner", "--make-directories"],
    cwd: folder,
    stdin: "piped",
    stderr: "piped",
  }).spawn();
  await ReadableStream.from(packCpio(tree)).pipeTo(child.stdin);
  const { success, stderr } = await child.output();
  assert(success, new TextDecoder().decode(stderr));
  return folder;
}

const hasCpio = await new Deno.Command("sh", { args: ["-c", "command -v cpio"] }).output()
  .then(({ success }) => success);

Deno.test({
  name: "a packed tree unpacks to the same files, folders and links",
  ignore: !hasCpio,
  async fn() {
    const folder = await unpack(
      new Map([
        ["usr/bin/tool", { kind: "file", mode: 0o755, bytes: text("#!/bin/sh\n") }],
        ["etc/empty", { kind: "file", bytes: text("") }],
        ["bin", { kind: "link", target: "usr/bin" }],
        ["data", { kind: "folder" }],
      ]),
    );
    assertEquals(await Deno.readTextFile(`${folder}/bin/tool`), "#!/bin/sh\n");
    assertEquals((await Deno.stat(`${folder}/bin/tool`)).mode! & 0o777, 0o755);
    assertEquals((await Deno.stat(`${folder}/etc/empty`)).size, 0);
    assert((await Deno.stat(`${folder}/data`)).isDirectory);
    await Deno.remove(folder, { recursive: true });
  },
});

Deno.test("each folder is packed once and before what is in it", () => {
  const name = fc.stringMatching(/^[a-c]{1,2}$/);
  const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((it) => it.join("/"));
  fc.assert(fc.property(fc.array(path), (paths) => {
    const tree: Tree = new Map(paths.map((it) => [it, { kind: "folder" }]));
    const order = [...withFolders(tree).keys()];
    assertEquals(new Set(order).size, order.length);
    for (const [at, it] of order.entries()) {
      const above = it.slice(0, Math.max(it.lastIndexOf("/"), 0));
      assert(above === "" || order.indexOf(above) < at && order.includes(above));
    }
  }));
});

Deno.test("the same tree in another order gives the same bytes", () => {
  const entries: [string, { kind: "file"; bytes: Uint8Array }][] = [
    ["b/c", { kind: "file", bytes: text("1") }],
    ["a", { kind: "file", bytes: text("22") }],
  ];
  assertEquals(packCpio(new Map(entries)), packCpio(new Map(entries.toReversed())));
});

Deno.test("paths that leave the root are refused", () => {
  for (const path of ["/etc/x", "../x", "a/../../x", ""]) {
    assertThrows(() => packCpio(new Map([[path, { kind: "folder" }]])), RangeError);
  }
});

Deno.test("the boot partition has room for the file and for FAT's own tables", () => {
  fc.assert(fc.property(fc.nat(400 * 1024 * 1024), (bytes) => {
    const sectors = bootPartitionMib(bytes) * 2048;
    // One sector a cluster: two tables of four bytes a cluster, and 32 reserved sectors.
    const usable = sectors - 32 - 2 * Math.ceil((sectors + 2) * 4 / 512);
    assert(usable >= 65525, "FAT32 needs that many clusters");
    assert((usable - 8) * 512 >= bytes);
    assertEquals(imageSectors(bootPartitionMib(bytes)) % 2048, 0);
  }));
});

Deno.test("the kernel starts Deno, and what follows the dashes is Deno's", () => {
  const [kernel, deno] = COMMAND_LINE.split(" -- ");
  assert(kernel.split(" ").includes("rdinit=/bin/deno"));
  assert(deno.startsWith("run ") && deno.endsWith(" /app/boot.js"));
  assert(COMMAND_LINE.length < 2048);
});

Deno.test({
  name: "what reads the settings can be loaded as it is bundled, without any packages beside it",
  // The bundler's process is its own to end.
  ...{ sanitizeOps: false, sanitizeResources: false },
  async fn() {
    const folder = await Deno.makeTempDir();
    const [[name, bytes]] = await bundle({ parse: "bootimg/settings/parse.ts" });
    await Deno.writeFile(`${folder}/${name}`, bytes);
    const { parseSettings } = await import(`file://${folder}/${name}`);
    assertEquals(parseSettings("hostname: lab\n").settings, { hostname: "lab" });
    await Deno.remove(folder, { recursive: true });
  },
});
