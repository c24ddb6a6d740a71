import { assertEquals, assertThrows } from "@std/assert";
import { Guest } from "../../hypervisor/supervisor/api/schemas.ts";
import { attached, newGuest } from "./fake_data.ts";
import { changeDevices, FakeRefusal } from "./fake_devices.ts";

Deno.test("a made-up guest's devices come, change, are plugged and go as the API's do", () => {
  const off = newGuest({ name: "web", kernel: "k", disks: [{ sizeMiB: 8 }] });
  let guest = attached({ ...off, state: "running" });
  const change = (what: string, device?: string, body: unknown = {}) => {
    guest = Guest.parse(changeDevices(guest, { kind: "disks", device, what, body }));
  };
  assertThrows(() => change("unplug", guest.disks[0].id), FakeRefusal, "until it stops");
  change("POST", undefined, { sizeMiB: 4 });
  const { id, name } = guest.disks[1];
  assertEquals(name, "disk-2");
  change("plug", id);
  assertEquals([guest.disks[1].attached, guest.freePorts], ["port", 1]);
  assertThrows(() => change("DELETE", id), FakeRefusal, "Unplug it first");
  change("PATCH", id, { sizeMiB: 5 });
  change("unplug", id);
  assertEquals([guest.disks[1].sizeMiB, guest.freePorts], [5, 2]);
  change("DELETE", id);
  assertEquals(guest.disks.length, 1);
  assertThrows(() => change("DELETE", id), FakeRefusal, "Cannot find");
});
