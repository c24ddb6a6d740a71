import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { SysError } from "./errno.ts";
import {
  identify,
  isAlive,
  killProcess,
  parseStat,
  type ProcessId,
  reapChild,
  spawnDetached,
} from "./processes.ts";

async function end(process: ProcessId) {
  while (true) {
    const end = reapChild(process.pid);
    if (end !== null) return end;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

function shell(script: string, env: Record<string, string> = {}) {
  const log = Deno.makeTempFileSync();
  const process = spawnDetached("/bin/sh", ["-c", script], { env, log });
  return { process, log };
}

Deno.test("a process gets its arguments and environment, and prints to its log", async () => {
  const { process, log } = shell('echo "$GREETING $0 ä"; echo oops >&2; exit 7', {
    GREETING: "hello",
  });
  assertEquals(await end(process), { code: 7 });
  assertEquals(Deno.readTextFileSync(log), "hello /bin/sh ä\noops\n");
  Deno.removeSync(log);
});

Deno.test("a process leads a session of its own, without this one's signals blocked or ignored", async () => {
  const { process, log } = shell(
    // In the shell's own place: a shell blocks all signals for as long as it starts another process.
    "cat /proc/$$/stat; exec grep -E '^Sig(Blk|Ign)' /proc/self/status",
  );
  await end(process);
  const text = Deno.readTextFileSync(log);
  const session = text.slice(text.lastIndexOf(")", text.indexOf("\n")) + 2).split(" ")[3];
  assertEquals(Number(session), process.pid);
  assertEquals(text.match(/Sig(Blk|Ign):\t0{16}/g)?.length, 2, text);
  Deno.removeSync(log);
});

Deno.test("a process is alive until it ends, and is not another one of its number", async () => {
  const { process, log } = shell("read never < /dev/zero; sleep 100");
  assert(isAlive(process));
  assertEquals(identify(process.pid), process);
  assertEquals(isAlive({ ...process, startTime: process.startTime - 1 }), false);
  killProcess({ ...process, startTime: process.startTime - 1 });
  assert(isAlive(process), "another process's number kills nothing");
  killProcess(process);
  assertEquals(await end(process), { signal: 9 });
  assertEquals(isAlive(process), false);
  assertEquals(identify(process.pid), null);
  killProcess(process);
  Deno.removeSync(log);
});

Deno.test("a process gets no descriptors but its own three", async () => {
  const log = Deno.makeTempFileSync();
  await end(spawnDetached("/bin/ls", ["/proc/self/fd"], { env: {}, log }));
  // The fourth is the directory that it lists.
  assertEquals(Deno.readTextFileSync(log), "0\n1\n2\n3\n");
  Deno.removeSync(log);
});

Deno.test("what is no child cannot be waited for", () => {
  assertEquals(reapChild(1), undefined);
});

Deno.test("a program that does not exist is told", () => {
  const error = assertThrows(
    () => spawnDetached("/nonexistent", [], { env: {}, log: "/dev/null" }),
    SysError,
  );
  assertEquals(error.message, 'Cannot start "/nonexistent": ENOENT');
  assertThrows(
    () => spawnDetached("/bin/true", ["a\0b"], { env: {}, log: "/dev/null" }),
    TypeError,
    "it contains a NUL",
  );
});

Deno.test("a command's name in /proc/PID/stat may be anything", () => {
  const rest = Array.from({ length: 50 }, (_, i) => String(i)).join(" ");
  fc.assert(fc.property(fc.string(), (name) => {
    assertEquals(parseStat(`12 (${name}) S ${rest}\n`), { state: "S", startTime: 18 });
  }));
  fc.assert(fc.property(fc.string(), (text) => {
    const parsed = parseStat(text);
    assert(parsed === null || Number.isSafeInteger(parsed.startTime));
  }));
});
