import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ConfigError } from "./fields.ts";
import { hotplugPorts, plugged, pluggedAtStart } from "./hotplug.ts";

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

const disk = { path: "/disk.raw" };
const net = { tap: "tap0", mac: "52:54:00:00:00:01" };
const parsed = (it: unknown) => plugged(it);

Deno.test("what is in ports from the start has names of its own, in the ports' order", () => {
  const guest = { disks: [disk], nets: [net], hotplugPorts: 2 };
  assertEquals(pluggedAtStart(undefined, guest), []);
  assertEquals(pluggedAtStart({ net1: { net }, block7: { disk } }, guest), [
    { name: "net1", slot: 0, device: parsed({ net }) },
    { name: "block7", slot: 1, device: parsed({ disk }) },
  ]);
  const refused = (value: unknown, says: string) =>
    assertThrows(() => pluggedAtStart(value, guest), ConfigError, says);
  for (const name of ["net0", "net01", "net100", "block1", "card", "net1\n"]) {
    refused({ [name]: { net } }, 'it must be "net" and a number that is free');
  }
  refused({ block0: { disk } }, 'it must be "block"');
  refused({ net1: { net }, net2: { net }, net3: { net } }, "3: the guest has 2 ports");
  refused({ net1: { net: { tap: "tap0" } } }, "the MAC address");
  for (const value of [null, [], [{ net }], "net1", 1]) refused(value, "it must be an object");
  assertThrows(
    () => pluggedAtStart({ net1: { net } }, { disks: [], nets: [] }),
    ConfigError,
    "the guest has 0 ports",
  );
});

Deno.test("any JSON that is said to be in ports is devices in their order, or a ConfigError", () => {
  const name = fc.oneof(fc.constantFrom("net0", "net1", "block0", "block3", "net"), fc.string());
  const device = fc.oneof(fc.constantFrom({ net }, { disk }), fc.jsonValue());
  const value = fc.oneof(fc.jsonValue(), fc.dictionary(name, device, { maxKeys: 4 }));
  fc.assert(fc.property(value, fc.nat(3), (value, hotplugPorts) => {
    let devices;
    try {
      devices = pluggedAtStart(value, { disks: [disk], nets: [], hotplugPorts });
    } catch (error) {
      assert(error instanceof ConfigError, String(error));
      return;
    }
    assert(devices.length <= hotplugPorts);
    devices.forEach(({ name, slot, device }, i) => {
      assertEquals([slot, name.startsWith("net")], [i, "net" in device]);
    });
  }));
});
