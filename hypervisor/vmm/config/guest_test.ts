import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ConfigError } from "./fields.ts";
import { checkHostMemory, parseConfig } from "./guest.ts";
import { netFromFlag } from "./net.ts";
import { rateLimit } from "./rate_limit.ts";

const VALID = {
  name: "demo",
  kernel: "/boot/vmlinuz",
  kernelCache: "/var/cache/kernels",
  initrd: "/boot/initrd.img",
  cmdline: "console=ttyS0",
  memoryMiB: 512,
  cpus: 2,
  disks: [{ path: "/disk.img", readonly: true, serial: "D1" }],
  nets: [{ tap: "tap0", mac: "52:54:00:00:00:01" }],
};

function refused(change: Record<string, unknown>, says: string): void {
  const error = assertThrows(() => parseConfig({ ...VALID, ...change }), ConfigError);
  assertStringIncludes(error.message, says);
}

Deno.test("a whole configuration comes back as it is", () => {
  assertEquals(parseConfig(VALID), VALID);
  const { initrd: _, kernelCache: __, ...bare } = { ...VALID, disks: [], nets: [], cmdline: "" };
  assertEquals(parseConfig(bare), { ...bare, initrd: undefined, kernelCache: undefined });
});

Deno.test("what is outside its range is refused with the range", () => {
  for (const cpus of [0, 9, 255, -1, 1.5, NaN, "2", null]) refused({ cpus }, "from 1 to 8");
  refused({ cpus: NaN }, "the number of CPUs NaN");
  for (const memoryMiB of [0, 1, 63, 2 ** 20 + 1, Infinity]) {
    refused({ memoryMiB }, "from 64 to 1048576");
  }
  for (const cpus of [1, 8]) assertEquals(parseConfig({ ...VALID, cpus }).cpus, cpus);
});

Deno.test("fields that are missing, unknown or of another kind are refused by their names", () => {
  refused({ kernel: undefined }, "the kernel undefined");
  refused({ kernel: "" }, "the kernel");
  refused({ kernel: "a\0b" }, "the kernel");
  refused({ cmdline: null }, "the command line null");
  refused({ colour: "red" }, 'the configuration "colour": known fields are name,');
  refused({ disks: {} }, "the disks");
  refused({ disks: new Array(18).fill({ path: "/d" }) }, "there may be at most 17");
  refused({ nets: new Array(9).fill(VALID.nets[0]) }, "there may be at most 8");
  refused({ disks: [{}] }, "a disk's path");
  refused({ disks: [{ path: "/d", readonly: 1 }] }, "a disk's readonly 1");
  refused({ disks: [{ path: "/d", serial: "123456789012345678901" }] }, "at most 20 ASCII");
  refused({ disks: [{ path: "/d", serial: "ä" }] }, "at most 20 ASCII");
  for (const value of [null, [], "x", 1, true]) {
    assertThrows(() => parseConfig(value), ConfigError, "it must be an object");
  }
});

Deno.test("a card needs a tap's name and a unicast address", () => {
  for (
    const mac of ["", "52:54:00", "01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "52-54-00-00-00-01"]
  ) {
    refused({ nets: [{ tap: "tap0", mac }] }, "the MAC address");
  }
  for (const tap of ["", "a name", "a/b", "sixteen-letters-"]) {
    refused({ nets: [{ tap, mac: "52:54:00:00:00:01" }] }, "the tap");
  }
  const upper = parseConfig({ ...VALID, nets: [{ tap: "tap0", mac: "52:54:00:AB:CD:EF" }] });
  assertEquals(upper.nets[0].mac, "52:54:00:ab:cd:ef");
});

Deno.test("a card's queues, size and limits are checked, and written as flags too", () => {
  const card = { tap: "tap0", mac: "52:54:00:00:00:01" };
  const full = {
    ...card,
    queues: 4,
    queueSize: 1024,
    mtu: 9000,
    linkUp: false,
    receiveLimit: { operationsPerSecond: 1000 },
    sendLimit: { operationsPerSecond: 5, bytesPerSecond: 7000 },
  };
  assertEquals(parseConfig({ ...VALID, nets: [full] }).nets, [full]);
  const flag = "tap0,queues=4,queue-size=1024,mtu=9000,link=down,receive-frames=1000," +
    "send-frames=5,send-bytes=7000";
  assertEquals(netFromFlag(flag, 0), full);
  assertEquals(netFromFlag("tap0,mac=52:54:00:00:00:07", 0).mac, "52:54:00:00:00:07");
  refused({ nets: [{ ...card, queues: 9 }] }, "a network card's queues 9: it must be a whole");
  refused({ nets: [{ ...card, queueSize: 96 }] }, "a network card's queueSize 96");
  refused({ nets: [{ ...card, mtu: 67 }] }, "from 68 to 65521");
  refused({ nets: [{ ...card, linkUp: 1 }] }, "a network card's linkUp 1");
  refused({ nets: [{ ...card, sendLimit: { bytesPerSecond: 0 } }] }, "a network card's sendLimit");
  refused({ nets: [netFromFlag("tap0,queues=x", 0)] }, "a network card's queues NaN");
  for (const option of ["queues", "constructor=1", "link=up", "colour=red"]) {
    assertThrows(() => netFromFlag(`tap0,${option}`, 0), ConfigError, `"${option}"`);
  }
});

Deno.test("any JSON gives a configuration that parses to itself, or a ConfigError", () => {
  const disk = fc.record(
    { path: fc.string(), readonly: fc.boolean(), serial: fc.string() },
    { requiredKeys: ["path"] },
  );
  const near = fc.record({
    name: fc.string(),
    kernel: fc.string(),
    initrd: fc.option(fc.string()),
    cmdline: fc.string(),
    memoryMiB: fc.oneof(fc.integer({ min: 0, max: 2 ** 21 }), fc.double()),
    cpus: fc.integer({ min: 0, max: 10 }),
    disks: fc.array(disk, { maxLength: 3 }),
    nets: fc.array(fc.record({ tap: fc.string(), mac: fc.string() }), { maxLength: 2 }),
  });
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), near), (value) => {
      let config;
      try {
        config = parseConfig(value);
      } catch (error) {
        assert(error instanceof ConfigError, String(error));
        assert(error.message.startsWith("Cannot use "));
        return;
      }
      assertEquals(parseConfig(config), config);
      assert(config.cpus >= 1 && config.memoryMiB >= 64 && config.kernel !== "");
    }),
    { numRuns: 300 },
  );
});

Deno.test("a guest that is larger than its host is refused, one of its size is not", () => {
  const meminfo = "MemTotal:        1048576 kB\nMemFree:  1 kB\n";
  checkHostMemory({ ...VALID, memoryMiB: 1024 }, meminfo);
  assertThrows(
    () => checkHostMemory({ ...VALID, memoryMiB: 1025 }, meminfo),
    ConfigError,
    'Cannot give "demo" 1025 MiB of memory: the host has 1024 MiB',
  );
});

Deno.test("a rate limit comes back as it is, or is refused as part of the configuration", () => {
  const limit = { operationsPerSecond: 100, bytesPerSecond: 1e6, bytesBurst: 4096 };
  assertEquals(rateLimit(limit, "the limit"), limit);
  assertEquals(rateLimit(null, "the limit"), undefined);
  assertThrows(
    () => rateLimit({ bytesBurst: 1 }, "the limit"),
    ConfigError,
    "the limit bytesBurst",
  );
});
