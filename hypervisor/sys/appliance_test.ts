import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { hasKey, INPUT_EVENT_BYTES, KEY_POWER, parseInputEvents } from "./input_events.ts";
import { addBridge, setMac } from "./links.ts";
import { loadModule } from "./modules.ts";
import { mount, unmount } from "./mounts.ts";
import { SysError } from "./errno.ts";
import { deadChildren, parseStat, reap } from "./orphans.ts";
import { parseUevent } from "./uevents.ts";
import { assertRejects } from "@std/assert";

Deno.test("a process's status is read whatever its name is", () => {
  fc.assert(fc.property(fc.string().filter((it) => !it.includes(")")), (name) => {
    assertEquals(parseStat(`42 (${name}) ) Z) Z 7 42 42 0 -1`), { state: "Z", parent: 7 });
  }));
  assertThrows(() => parseStat("42"), SyntaxError);
});

Deno.test("a dead child is seen and reaped once", async () => {
  // The shell's child is handed over when the shell execs, and the new program never waits for it.
  const child = new Deno.Command("/bin/sh", {
    args: ["-c", "true & exec sleep 1000"],
    stdout: "null",
  }).spawn();
  while (deadChildren(child.pid).length === 0) await new Promise((go) => setTimeout(go, 5));
  const [dead] = deadChildren(child.pid);
  assertEquals(reap(dead), false, "it is another's child");
  child.kill("SIGKILL");
  await child.status;
});

Deno.test("a device event is read from its strings, other messages are passed over", () => {
  const bytes = new TextEncoder().encode("add@/devices/x\0ACTION=add\0MODALIAS=pci:v=1\0");
  assertEquals(parseUevent(bytes), {
    action: "add",
    path: "/devices/x",
    env: { ACTION: "add", MODALIAS: "pci:v=1" },
  });
  assertEquals(parseUevent(new TextEncoder().encode("libudev\0...")), null);
  fc.assert(fc.property(fc.uint8Array(), (it) => {
    parseUevent(it);
  }));
});

Deno.test("keys are read from events of 24 bytes, a part of one is left", () => {
  const bytes = new Uint8Array(INPUT_EVENT_BYTES + 5);
  const view = new DataView(bytes.buffer);
  view.setUint16(16, 1, true);
  view.setUint16(18, KEY_POWER, true);
  view.setInt32(20, 1, true);
  assertEquals(parseInputEvents(bytes), [{ type: 1, code: KEY_POWER, value: 1 }]);
});

Deno.test("a device's keys are bits in words, the highest word first", () => {
  assertEquals(hasKey("10000000000000 0", KEY_POWER), true);
  assertEquals(hasKey("0 10000000000000", KEY_POWER), false);
  assertEquals(hasKey("", KEY_POWER), false);
  assertEquals(hasKey("zz 0", KEY_POWER), false);
});

Deno.test("what the kernel refuses is an error with its reason", async () => {
  const folder = await Deno.makeTempDir();
  assertThrows(() => mount("nosuchfs", folder), SysError, `mount nosuchfs "nosuchfs"`);
  assertThrows(() => unmount(folder), SysError, "EINVAL");
  const module = `${folder}/empty.ko`;
  await Deno.writeFile(module, new Uint8Array());
  await assertRejects(() => loadModule(module), SysError, "load the kernel module");
  await Deno.remove(folder, { recursive: true });
});

Deno.test("names and addresses that the kernel would cut short are refused", () => {
  assertThrows(() => addBridge("a-name-of-16-byte"), RangeError, "1 to 15 bytes");
  assertThrows(() => setMac("lo", "52:54:00"), TypeError, "not a MAC address");
});
