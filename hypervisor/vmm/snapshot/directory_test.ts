import { assertEquals, assertThrows } from "@std/assert";
import { close } from "../../sys/files.ts";
import { writeAt } from "../../sys/positioned_io.ts";
import { Folder } from "../testing/vmm_process.ts";
import { NewSnapshot, openSnapshot, verifySnapshot } from "./directory.ts";
import { SnapshotError } from "./format.ts";
import { digestBytes, MemoryDigest } from "./memory_file.ts";
import { encodeGuest } from "./saved_guest.ts";
import { savedGuest } from "./testing/saved_guest.ts";

const LENGTH = 128 << 20;

/** Writes a snapshot up to its name. */
function write(path: string): NewSnapshot {
  const snapshot = new NewSnapshot(path, LENGTH);
  writeAt(snapshot.memoryFd, Uint8Array.of(1, 2, 3), 5 << 20);
  const digests = new Uint8Array(digestBytes(LENGTH));
  const digest = new MemoryDigest(snapshot.memoryFd, { length: LENGTH, digests });
  while (!digest.step());
  const memory = { length: LENGTH, digests };
  snapshot.writeState(encodeGuest({ ...savedGuest(), memory }));
  return snapshot;
}

Deno.test("a snapshot has its name when it is whole, and is what was written", () => {
  using folder = new Folder();
  const path = `${folder.path}/one`;
  const snapshot = write(`${path}/`);
  assertEquals(folder.names(), ["one.new"]);
  close(snapshot.appear());
  assertEquals(folder.names(), ["one"]);
  assertEquals(Deno.statSync(path).mode! & 0o777, 0o700);
  assertEquals(Deno.statSync(`${path}/memory`).mode! & 0o777, 0o600);
  const { saved, memoryFd } = openSnapshot(path);
  close(memoryFd);
  assertEquals(saved.config.name, "saved");
  assertEquals(verifySnapshot(path).memory, saved.memory);
  // It is over: there is nothing that could be taken back.
  snapshot.abandon();
  assertEquals(folder.names(), ["one"]);
});

Deno.test("what is given up leaves nothing, and what was cut off is swept", () => {
  using folder = new Folder();
  const path = `${folder.path}/one`;
  write(path).abandon();
  assertEquals(folder.names(), []);
  write(path);
  const again = write(path);
  assertEquals(folder.names(), ["one.new"]);
  again.abandon();
  assertEquals(folder.names(), []);
});

Deno.test("what is there already is left alone", () => {
  using folder = new Folder();
  const path = folder.file("one", "mine");
  assertThrows(() => new NewSnapshot(path, LENGTH), Error, `Cannot save to "${path}": it exists`);
  const other = `${folder.path}/other`;
  const late = write(other);
  Deno.mkdirSync(other);
  assertThrows(() => late.appear(), Error, "it exists");
  late.abandon();
  Deno.mkdirSync(`${other}2.new`);
  Deno.writeTextFileSync(`${other}2.new/mine`, "");
  // Somebody else's file in the way is not removed.
  assertThrows(() => new NewSnapshot(`${other}2`, LENGTH), Error);
  assertEquals(folder.names(), ["one", "other", "other2.new"]);
});

Deno.test("a snapshot that is not whole is refused, with what is wrong", () => {
  using folder = new Folder();
  const path = `${folder.path}/one`;
  close(write(path).appear());
  const refused = (action: () => unknown, why: string) => assertThrows(action, SnapshotError, why);
  refused(() => openSnapshot(`${folder.path}/none`), "none/state");
  Deno.truncateSync(`${path}/memory`, LENGTH - 4096);
  refused(() => openSnapshot(path), `it has ${LENGTH - 4096} bytes, and should have ${LENGTH}`);
  Deno.truncateSync(`${path}/memory`, LENGTH);
  close(openSnapshot(path).memoryFd);
  {
    using file = Deno.openSync(`${path}/memory`, { write: true });
    file.seekSync(77 << 20, Deno.SeekMode.Start);
    file.writeSync(Uint8Array.of(1));
  }
  close(openSnapshot(path).memoryFd);
  refused(() => verifySnapshot(path), "its content is not what was saved");
  const state = Deno.readFileSync(`${path}/state`);
  Deno.writeFileSync(`${path}/state`, state.subarray(0, 5000));
  refused(() => openSnapshot(path), `Cannot use the snapshot "${path}/state"`);
  Deno.truncateSync(`${path}/state`, 65 << 20);
  refused(() => openSnapshot(path), "are the most");
  Deno.removeSync(`${path}/memory`);
  Deno.writeFileSync(`${path}/state`, state);
  refused(() => openSnapshot(path), `Cannot open "${path}/memory": ENOENT`);
});
