import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { pinning, topology, UsageError } from "./arguments.ts";
import { diskChange, diskSpec, netChange, netSpec } from "./specs.ts";

Deno.test("a disk is a size, or what options say", () => {
  assertEquals(diskSpec("20G"), { sizeMiB: 20480 });
  assertEquals(diskSpec("1M,name=data,readonly,cache=direct,no-write-cache"), {
    sizeMiB: 1,
    name: "data",
    readonly: true,
    cache: "direct" as const,
    writeCache: false,
  });
  assertEquals(diskSpec("1G,store=nas"), { sizeMiB: 1024, store: "nas" });
  assertEquals(diskSpec("image=d.raw,operations=100,bytes=2M,bytes-burst=4M"), {
    image: "d.raw",
    rateLimit: { operationsPerSecond: 100, bytesPerSecond: 2 ** 21, bytesBurst: 2 ** 22 },
  });
  assertEquals(diskChange("unlimited,size=3G"), { rateLimit: null, sizeMiB: 3072 });
  for (const wrong of ["colour=red", "size", "readonly=yes", "size=lots", "__proto__=1", ""]) {
    if (wrong === "") assertEquals(diskSpec(wrong), {});
    else assertThrows(() => diskSpec(wrong), UsageError, undefined, wrong);
  }
  for (const fixed of ["image=x", "store=nas"]) {
    assertThrows(() => diskChange(fixed), UsageError, "does not change");
  }
});

Deno.test("a card has limits for both ways", () => {
  assertEquals(netSpec("mac=52:54:00:AA:00:01,bridge=br1,link=down,mtu=9000,queues=2,no-port"), {
    mac: "52:54:00:aa:00:01",
    bridge: "br1",
    linkUp: false,
    mtu: 9000,
    queues: 2,
    inPort: false,
  });
  assertEquals(netChange("port"), { inPort: true });
  assertEquals(netChange("receive-bytes=1M,send-frames=10,bridge=-"), {
    receiveLimit: { bytesPerSecond: 2 ** 20 },
    sendLimit: { operationsPerSecond: 10 },
    bridge: null,
  });
  assertThrows(() => netSpec("link=sideways"), UsageError, "up or down");
});

Deno.test("any text is taken apart or refused", () => {
  const near = fc.array(
    fc.oneof(fc.string(), fc.constantFrom("size=1G", "readonly", "bytes=5", "mac=x", "link=up")),
  ).map((parts) => parts.join(","));
  for (const parse of [diskSpec, diskChange, netSpec, netChange, topology, pinning]) {
    fc.assert(fc.property(fc.oneof(near, fc.string()), (text) => {
      try {
        const value = parse(text);
        assert(value === null || typeof value === "object");
      } catch (error) {
        assert(error instanceof UsageError, String(error));
      }
    }));
  }
});

Deno.test("topology and pinning are written as one word", () => {
  assertEquals(topology("1x4x2"), { sockets: 1, cores: 4, threads: 2 });
  assertEquals(topology("default"), null);
  assertEquals(pinning("0,2+3,"), [[0], [2, 3], []]);
  assertEquals(pinning("free"), []);
});
