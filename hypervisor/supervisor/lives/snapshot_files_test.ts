import { assertEquals } from "@std/assert";
import { sharedFiles } from "../testing/shared_files.ts";
import { SnapshotFiles } from "./snapshot_files.ts";

Deno.test("where it cannot be tried whether copies share their blocks, they are taken not to, for now", () => {
  const directory = Deno.makeTempDirSync();
  const guests = `${directory}/guests`;
  const files = new SnapshotFiles(guests, { shared: sharedFiles() });
  // As where there is no room: whoever asks goes on without.
  assertEquals(files.canShare, false);
  Deno.mkdirSync(guests);
  assertEquals(typeof files.canShare, "boolean");
  assertEquals([...Deno.readDirSync(guests)], []);
  Deno.removeSync(directory, { recursive: true });
});
