import { assert, assertEquals, assertThrows } from "@std/assert";
import type { VirtioDevice } from "../devices/virtio/device.ts";
import { CHANGE_BYTES, DiskChanges } from "../devices/virtio/disk_changes.ts";
import { MAX_LINE_BYTES } from "./control.ts";
import { parseRequest } from "./control_requests.ts";
import { DiskTracking } from "./disk_tracking.ts";

function fakeDisk(name: string, sizeBytes: number): VirtioDevice {
  const disk = { path: `/${name}`, readonly: false, sizeBytes, changes: new DiskChanges() };
  return { name, disk } as unknown as VirtioDevice;
}

Deno.test("disks are tracked that there are, and those that come", () => {
  const devices = [fakeDisk("block0", 2 ** 20), { name: "rng0" } as VirtioDevice];
  const tracking = new DiskTracking(() => devices);
  assertThrows(() => tracking.take("block0"), Error, "its changes are not tracked");
  tracking.plugged(fakeDisk("block9", 2 ** 20));
  assertEquals(tracking.start(), {
    block0: { path: "/block0", readonly: false, sizeBytes: 2 ** 20 },
  });
  const late = fakeDisk("block1", 2 ** 20);
  devices.push(late);
  tracking.plugged(late);
  late.disk!.changes.add(0, 1);
  const sizeBytes = 2 ** 20;
  assertEquals(tracking.take("block1"), { ranges: [[0, CHANGE_BYTES]], leftBytes: 0, sizeBytes });
  assertEquals(tracking.take("block1"), { ranges: [], leftBytes: 0, sizeBytes });
  tracking.giveBack("block1", [[CHANGE_BYTES + 1, 5]]);
  assertEquals(tracking.take("block1").ranges, [[CHANGE_BYTES, CHANGE_BYTES]]);
  assertThrows(() => tracking.giveBack("block1", [[2 ** 20, 1]]), RangeError, "past its end");
  for (const name of ["rng0", "block7"]) {
    assertThrows(() => tracking.take(name), RangeError, "the guest has no such disk");
  }
  tracking.stop();
  assertThrows(() => tracking.take("block1"), Error, "its changes are not tracked");
});

Deno.test("an answer fits a line, however much has changed and wherever", () => {
  const sizeBytes = 2 ** 52;
  const disk = fakeDisk("block0", sizeBytes);
  const tracking = new DiskTracking(() => [disk]);
  tracking.start();
  const step = sizeBytes / 2 ** 12;
  for (let i = 0; i < 2 ** 12; i++) disk.disk!.changes.add(i * step, 512);
  let told = 0;
  for (;;) {
    const changes = tracking.take("block0");
    told += changes.ranges.length;
    const line = JSON.stringify({ ok: true, changes });
    assert(line.length < MAX_LINE_BYTES, `${line.length}`);
    const back = { op: "return_disk_changes", device: "block0", ranges: changes.ranges };
    assert(JSON.stringify(back).length < MAX_LINE_BYTES);
    assertEquals(parseRequest(JSON.stringify(back)), back as ReturnType<typeof parseRequest>);
    if (changes.leftBytes === 0) break;
  }
  assertEquals(told, 2 ** 12);
});

Deno.test("requests about disks that cannot be meant are none", () => {
  const ops = [
    { op: "track_disks" },
    { op: "track_disks", on: 1 },
    { op: "disk_changes" },
    { op: "return_disk_changes", device: "block0" },
    ...[[1], [[0]], [[0, 1, 2]], [[-1, 1]], [[0.5, 1]], [[0, 2 ** 53]], [["0", 1]], "0"].map(
      (ranges) => ({ op: "return_disk_changes", device: "block0", ranges }),
    ),
  ];
  for (const op of ops) assertEquals(parseRequest(JSON.stringify(op)), undefined);
});
