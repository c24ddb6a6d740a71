import { assertEquals } from "@std/assert";
import { prepareFile, writeDurably } from "./durable_file.ts";
import { Folder } from "./testing/vmm_process.ts";

Deno.test("a file that is prepared is the old one until it appears, and nothing where it is discarded", () => {
  using folder = new Folder();
  const path = `${folder.path}/word`;
  prepareFile(path, "never").discard();
  assertEquals(folder.names(), []);
  writeDurably(path, "old");
  const prepared = prepareFile(path, "new");
  assertEquals(Deno.readTextFileSync(path), "old");
  prepared.appear();
  assertEquals(Deno.readTextFileSync(path), "new");
  assertEquals(folder.names(), ["word"]);
});
