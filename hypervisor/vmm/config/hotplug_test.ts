import { assertEquals, assertThrows } from "@std/assert";
import { ConfigError } from "./fields.ts";
import { hotplugPorts, plugged } from "./hotplug.ts";

Deno.test("a guest has 0 to 8 hot-plug ports", () => {
  assertEquals(hotplugPorts(undefined), {});
  for (const ports of [0, 8]) assertEquals(hotplugPorts(ports), { hotplugPorts: ports });
  for (const ports of [-1, 9, 1.5, "2", null]) {
    assertThrows(() => hotplugPorts(ports), ConfigError, "from 0 to 8");
  }
});

Deno.test("what is plugged in is one disk or one network card, checked as at the start", () => {
  const disk = { path: "/disk.raw", readonly: true, serial: "A" };
  assertEquals(plugged({ disk }), { disk });
  const net = { tap: "tap0", mac: "52:54:00:00:00:01" };
  assertEquals(plugged({ net }), { net });
  for (const wrong of [{}, { disk, net }]) {
    assertThrows(() => plugged(wrong), ConfigError, "either a disk or a net");
  }
  assertThrows(() => plugged({ disk: {} }), ConfigError, "a disk's path");
  assertThrows(() => plugged({ rng: {} }), ConfigError, "known fields are disk, net");
  assertThrows(() => plugged(undefined), ConfigError, "it must be an object");
});
