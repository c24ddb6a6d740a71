import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { ApiError } from "../api/client.ts";
import type { DiskCreate, DiskUpdate, Guest } from "../api/schemas.ts";
import { TestHost } from "../testing/test_host.ts";

const MIB = 1024 * 1024;

async function refused(promise: Promise<unknown>, code: string): Promise<ApiError> {
  const error = await assertRejects(() => promise, ApiError);
  assertEquals(error.problem.code, code, error.message);
  return error;
}

/** A guest's disks through the API. */
function disksOf(host: TestHost, guest: Guest) {
  const { client } = host.local;
  const { id } = guest;
  const params = (disk: string) => ({ params: { id, disk } });
  return {
    add: (body: DiskCreate) => client.call("addDisk", { params: { id }, body }),
    change: (disk: string, body: DiskUpdate) =>
      client.call("updateDisk", { ...params(disk), body }),
    delete: (disk: string) => client.call("deleteDisk", params(disk)),
    plug: (disk: string) => client.call("plugDisk", params(disk)),
    unplug: (disk: string, force = false) =>
      client.call("unplugDisk", { ...params(disk), body: { force } }),
  };
}

/** What the VMM tells of its devices. */
function reports(host: TestHost, guest: Guest) {
  return host.processFor(guest.id).devices();
}

Deno.test("a guest has several disks, in their order and with their settings", async () => {
  await using host = await TestHost.start();
  await host.image("disk", "debian.raw", 1000);
  const guest = await host.guest({
    disks: [
      { image: "debian.raw" },
      { sizeMiB: 2, name: "data", cache: "direct", rateLimit: { operationsPerSecond: 100 } },
      { sizeMiB: 3, readonly: true, writeCache: false },
    ],
  });
  assertEquals(guest.disks.map(({ name, sizeMiB }) => [name, sizeMiB]), [
    ["disk", 1],
    ["data", 2],
    ["disk-2", 3],
  ]);
  await host.start(guest.id);
  const config = JSON.parse(
    Deno.readTextFileSync(host.path("run/guests", guest.id, "config.json")),
  );
  const at = (i: number) => ({
    path: host.diskFile(guest, i),
    serial: guest.disks[i].id.slice(-20),
  });
  assertEquals(config.disks, [
    at(0),
    { ...at(1), cache: "direct", rateLimit: { operationsPerSecond: 100 } },
    { ...at(2), readonly: true, writeCache: false },
  ]);
  assertEquals(config.hotplugPorts, 3);
});

Deno.test("names of disks are a guest's own, and each is there once", async () => {
  await using host = await TestHost.start();
  const guest = await host.guest({ disks: [{ sizeMiB: 1 }, { sizeMiB: 1, name: "disk-2" }] });
  const disks = disksOf(host, guest);
  assertEquals((await disks.add({ sizeMiB: 1 })).disks.map(({ name }) => name), [
    "disk",
    "disk-2",
    "disk-3",
  ]);
  await refused(disks.add({ sizeMiB: 1, name: "disk" }), "name_taken");
  await refused(disks.change(guest.disks[0].id, { name: "disk-2" }), "name_taken");
  await refused(
    host.guest({ name: "b", disks: [{ sizeMiB: 1, name: "x" }, { sizeMiB: 1, name: "x" }] }),
    "invalid_body",
  );
  const other = await host.guest({ name: "other", disks: [{ sizeMiB: 1 }] });
  assertEquals(other.disks[0].name, "disk");
  // What is named before is left to whoever asks for it.
  const named = await host.guest({
    name: "named",
    disks: [{ sizeMiB: 1 }, { sizeMiB: 1, name: "disk" }],
  });
  assertEquals(named.disks.map(({ name }) => name), ["disk-2", "disk"]);
});

Deno.test("a disk that cannot be added leaves nothing", async () => {
  await using host = await TestHost.start();
  await host.image("disk", "big.raw", 3 * MIB);
  const guest = await host.guest();
  const disks = disksOf(host, guest);
  const small = await refused(disks.add({ image: "big.raw", sizeMiB: 2 }), "disk_too_small");
  assertEquals(small.problem.fields, [{ path: "sizeMiB", message: "must be at least 3" }]);
  await refused(disks.add({ image: "none" }), "no_such_image");
  await refused(disks.add({}), "invalid_body");
  await refused(disks.add({ sizeMiB: 1, rateLimit: { bytesBurst: 5 } }), "invalid_body");
  assertEquals(host.names("data/guests"), [guest.id]);
  assertEquals(host.names(`data/guests/${guest.id}`), []);
  for (let i = 0; i < 16; i++) await disks.add({ sizeMiB: 1 });
  await refused(disks.add({ sizeMiB: 1 }), "too_many_devices");
  assertEquals(host.names(`data/guests/${guest.id}`).length, 16);
});

Deno.test("a disk is plugged into a running guest, unplugged and deleted", async () => {
  await using host = await TestHost.start();
  const guest = await host.guest({ disks: [{ sizeMiB: 1 }] });
  const disks = disksOf(host, guest);
  assertEquals((await host.start(guest.id)).freePorts, 2);
  const added = await disks.add({ sizeMiB: 4, name: "data" });
  const { id, attached } = added.disks[1];
  assertEquals(attached, null);
  const plugged = await disks.plug(id);
  assertEquals([plugged.disks[1].attached, plugged.freePorts], ["port", 1]);
  assertEquals((await reports(host, guest)).block1.path, host.diskFile(added, 1));
  await refused(disks.plug(id), "wrong_state");
  const used = await refused(disks.delete(id), "disk_in_use");
  assertStringIncludes(used.message, "Unplug it first");

  const leaving = await disks.unplug(id);
  assertEquals(leaving.disks[1].attached, "leaving");
  const gone = await host.until(guest.id, ({ disks }) => disks[1].attached === null);
  assertEquals(gone.freePorts, 2);
  assertEquals((await disks.delete(id)).disks.length, 1);
  assertEquals(host.names(`data/guests/${guest.id}`), [`${guest.disks[0].id}.img`]);
});

Deno.test("a disk from a guest's start stays until it stops, and then can be deleted", async () => {
  await using host = await TestHost.start();
  const guest = await host.guest({ disks: [{ sizeMiB: 1 }] });
  const [{ id }] = guest.disks;
  const disks = disksOf(host, guest);
  await host.start(guest.id);
  assertStringIncludes((await refused(disks.unplug(id), "wrong_state")).message, "until it stops");
  await refused(disks.delete(id), "disk_in_use");
  await host.stop(guest.id);
  await refused(disks.plug(id), "wrong_state");
  await disks.delete(id);
  assertEquals(host.names(`data/guests/${guest.id}`), []);
});

Deno.test("ports are as many as a guest was started with", async () => {
  await using host = await TestHost.start();
  const guest = await host.guest({ hotplugPorts: 2 });
  const disks = disksOf(host, guest);
  // Its card is in one.
  assertEquals((await host.start(guest.id)).freePorts, 1);
  const first = (await disks.add({ sizeMiB: 1 })).disks[0];
  await disks.plug(first.id);
  const second = (await disks.add({ sizeMiB: 1 })).disks[1];
  const full = await refused(disks.plug(second.id), "wrong_state");
  assertStringIncludes(full.message, "no hot-plug port of the guest is free");
  await host.local.client.call("updateGuest", {
    params: { id: guest.id },
    body: { hotplugPorts: 8 },
  });
  const { freePorts, pending } = await host.get(guest.id);
  assertEquals([freePorts, pending], [0, ["hotplugPorts"]]);
});

Deno.test("a guest that clings to a disk loses it by force, to a name that is used again", async () => {
  await using host = await TestHost.start();
  const guest = await host.guest({ cmdline: "clings" });
  const disks = disksOf(host, guest);
  await host.start(guest.id);
  const { id } = (await disks.add({ sizeMiB: 1 })).disks[0];
  await disks.plug(id);
  await disks.unplug(id);
  assertEquals((await host.get(guest.id)).disks[0].attached, "leaving");
  await disks.unplug(id, true);
  await host.until(guest.id, ({ disks }) => disks[0].attached === null);
  assertEquals((await disks.plug(id)).disks[0].attached, "port");
});

Deno.test("a disk grows while its guest runs or not, and does not shrink", async () => {
  await using host = await TestHost.start();
  const guest = await host.guest({ disks: [{ sizeMiB: 2 }, { sizeMiB: 2, readonly: true }] });
  const disks = disksOf(host, guest);
  const [{ id }, fixed] = guest.disks;
  const size = () => Deno.statSync(host.diskFile(guest)).size;
  assertEquals((await disks.change(id, { sizeMiB: 3 })).disks[0].sizeMiB, 3);
  assertEquals(size(), 3 * MIB);
  const small = await refused(disks.change(id, { sizeMiB: 1 }), "disk_too_small");
  assertEquals(small.problem.fields, [{ path: "sizeMiB", message: "must be at least 3" }]);
  await host.start(guest.id);
  assertEquals((await disks.change(id, { sizeMiB: 5 })).disks[0].sizeMiB, 5);
  assertEquals(size(), 5 * MIB);
  assertEquals((await reports(host, guest)).block0.sizeBytes, 5 * MIB);
  await refused(disks.change(fixed.id, { sizeMiB: 5 }), "wrong_state");
});

Deno.test("a limit changes at once, the cache at the next start", async () => {
  await using host = await TestHost.start();
  const guest = await host.guest({ disks: [{ sizeMiB: 1 }] });
  const disks = disksOf(host, guest);
  const [{ id }] = guest.disks;
  await host.start(guest.id);
  const rateLimit = { bytesPerSecond: 1_000_000, bytesBurst: 2_000_000 };
  const limited = await disks.change(id, { rateLimit });
  assertEquals(limited.disks[0].rateLimit, rateLimit);
  assertEquals(limited.disks[0].restartNeeded, false);
  assertEquals((await reports(host, guest)).block0.rateLimit, rateLimit);
  const cached = await disks.change(id, { cache: "direct", rateLimit: null });
  assertEquals([cached.disks[0].cache, cached.disks[0].restartNeeded], ["direct", true]);
  assertEquals((await reports(host, guest)).block0.rateLimit, null);
  await host.stop(guest.id);
  assertEquals((await host.start(guest.id)).disks[0].restartNeeded, false);
});

Deno.test("what a guest has is known to a supervisor that was started later", async () => {
  await using host = await TestHost.start();
  const guest = await host.guest({ disks: [{ sizeMiB: 1 }] });
  const disks = disksOf(host, guest);
  await host.start(guest.id);
  const { id } = (await disks.add({ sizeMiB: 1 })).disks[1];
  await disks.plug(id);
  const before = await disks.change(id, { rateLimit: { operationsPerSecond: 7 } });
  await host.down();
  await host.up();
  assertEquals(await host.reaches(guest.id, "running"), before);
  await disksOf(host, guest).unplug(id);
  await host.until(guest.id, ({ disks }) => disks[1].attached === null);
});

Deno.test("a disk that was let go of while no supervisor was there is free", async () => {
  await using host = await TestHost.start();
  const guest = await host.guest();
  const disks = disksOf(host, guest);
  await host.start(guest.id);
  const { id } = (await disks.add({ sizeMiB: 1 })).disks[0];
  await disks.plug(id);
  const vmm = host.processFor(guest.id);
  await host.down();
  await vmm.unplug("block0", { force: true });
  await host.up();
  await host.reaches(guest.id, "running");
  await host.until(guest.id, ({ disks }) => disks[0].attached === null);
});

Deno.test("a power cut leaves a disk that was being made, grown or deleted old or new", async () => {
  await using host = await TestHost.start();
  const guest = await host.guest({ disks: [{ sizeMiB: 1 }] });
  await host.down();
  Deno.writeTextFileSync(host.path("data/guests/.new-01ARZ3NDEKTSV4RRFFQ69G5FAV.img"), "half");
  // Its row is gone, or was never written.
  Deno.writeTextFileSync(host.path("data/guests", guest.id, "orphan.img"), "whole");
  Deno.truncateSync(host.diskFile(guest), 3 * MIB);
  await host.up();
  assertEquals(host.names("data/guests"), [guest.id]);
  assertEquals(host.names(`data/guests/${guest.id}`), [`${guest.disks[0].id}.img`]);
  assertEquals((await host.get(guest.id)).disks[0].sizeMiB, 3);
});

Deno.test("what a VMM refuses is told, and changes nothing", async () => {
  await using host = await TestHost.start();
  const guest = await host.guest({ cmdline: "no-plugging" });
  const disks = disksOf(host, guest);
  await host.start(guest.id);
  const { id } = (await disks.add({ sizeMiB: 1 })).disks[0];
  const error = await refused(disks.plug(id), "device_refused");
  assertStringIncludes(error.message, "Cannot plug a device in");
  assertEquals((await host.get(guest.id)).disks[0].attached, null);
  assertEquals((await host.get(guest.id)).freePorts, 2);
  await host.stop(guest.id);
  assert((await host.start(guest.id)).disks[0].attached === "boot");
});

Deno.test("changes of one guest wait for each other, and none is lost", async () => {
  await using host = await TestHost.start();
  const guest = await host.guest();
  const disks = disksOf(host, guest);
  await Promise.all(Array.from({ length: 6 }, () => disks.add({ sizeMiB: 1 })));
  const now = await host.get(guest.id);
  assertEquals(now.disks.map(({ name }) => name).sort(), [
    "disk",
    "disk-2",
    "disk-3",
    "disk-4",
    "disk-5",
    "disk-6",
  ]);
  await Promise.all(now.disks.map(({ id }, i) => disks.change(id, { sizeMiB: 2 + i })));
  assertEquals((await host.get(guest.id)).disks.map(({ sizeMiB }) => sizeMiB), [2, 3, 4, 5, 6, 7]);
});

Deno.test("a guest that is deleted while its disk is copied leaves nothing", async () => {
  await using host = await TestHost.start();
  await host.image("disk", "d", 40 * MIB);
  const guest = await host.guest();
  const adding = disksOf(host, guest).add({ image: "d" }).then(() => null, (error) => error);
  await host.local.client.call("deleteGuest", { params: { id: guest.id } });
  const error = await adding;
  if (error !== null) assertEquals(error.problem.code, "not_found");
  assertEquals(host.names("data/guests"), []);
});
