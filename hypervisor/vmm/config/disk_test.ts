import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import { disk, diskFromFlag } from "./disk.ts";
import { ConfigError } from "./fields.ts";

function refused(value: unknown, says: string): void {
  assertStringIncludes(assertThrows(() => disk(value), ConfigError).message, says);
}

Deno.test("all that a disk can be comes back as it is, and no more", () => {
  const all = {
    path: "/disk.img",
    readonly: false,
    serial: "D1",
    cache: "direct" as const,
    writeCache: false,
    discard: false,
    queues: 4,
    blockSizeBytes: 4096,
    rateLimit: { operationsPerSecond: 100, bytesPerSecond: 1e6, bytesBurst: 1e6 },
    pinMemory: true,
  };
  assertEquals(disk(all), all);
  assertEquals(disk({ path: "/d" }), { path: "/d" });
});

Deno.test("what a disk cannot be is refused by its name", () => {
  refused(
    { path: "/d", cache: "none" },
    'a disk\'s cache "none": it must be one of cached, direct',
  );
  refused({ path: "/d", writeCache: 1 }, "a disk's writeCache 1");
  refused({ path: "/d", queues: 0 }, "a disk's queues 0: it must be a whole number from 1 to 16");
  refused({ path: "/d", queues: 17 }, "from 1 to 16");
  refused({ path: "/d", blockSizeBytes: 1024 }, "it must be 512 or 4096");
  refused({ path: "/d", rateLimit: { bytesPerSecond: 0 } }, "a disk's rate limit bytesPerSecond 0");
  refused({ path: "/d", pinMemory: "yes" }, "a disk's pinMemory");
});

Deno.test("the command line says the same", () => {
  const text = "/d,readonly,serial=S=1,cache=direct,no-write-cache,no-discard,queues=2," +
    "block-size=4096,operations=10,operations-burst=20,bytes=30,bytes-burst=40,pin-memory";
  assertEquals(disk(diskFromFlag(text)), {
    path: "/d",
    readonly: true,
    serial: "S=1",
    cache: "direct",
    writeCache: false,
    discard: false,
    queues: 2,
    blockSizeBytes: 4096,
    rateLimit: {
      operationsPerSecond: 10,
      operationsBurst: 20,
      bytesPerSecond: 30,
      bytesBurst: 40,
    },
    pinMemory: true,
  });
  for (const wrong of ["colour=red", "constructor", "readonly=no", ""]) {
    const error = assertThrows(() => diskFromFlag(`/d,${wrong}`), ConfigError);
    assertStringIncludes(error.message, `--disk option "${wrong}"`);
  }
  for (const wrong of ["queues", "queues=", "queues=x", "bytes=", "cache"]) {
    assertThrows(() => disk(diskFromFlag(`/d,${wrong}`)), ConfigError);
  }
});

Deno.test("whatever is typed is a disk or an error that says why", () => {
  fc.assert(fc.property(fc.string(), (text) => {
    try {
      disk(diskFromFlag(text));
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
    }
  }));
});
