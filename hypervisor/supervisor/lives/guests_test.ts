import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { ApiError } from "../api/client.ts";
import { isAlive, killProcess } from "../../sys/processes.ts";
import { TestHost } from "../testing/test_host.ts";

async function refused(promise: Promise<unknown>, code: string): Promise<ApiError> {
  const error = await assertRejects(() => promise, ApiError);
  assertEquals(error.problem.code, code, error.message);
  return error;
}

Deno.test("a guest is created with its disk, read, changed and deleted with it", async () => {
  await using host = await TestHost.start();
  await host.image("disk", "debian.raw", 3 * 1024 * 1024 + 512);
  const guest = await host.guest({ disks: [{ image: "debian.raw", sizeMiB: 8 }], cpus: 2 });
  assertEquals(guest.state, "stopped");
  assertEquals(
    guest.disks.map(({ name, sizeMiB, image, attached }) => ({ name, sizeMiB, image, attached })),
    [{ name: "disk", sizeMiB: 8, image: "debian.raw", attached: null }],
  );
  const disk = host.diskFile(guest);
  assertEquals(Deno.statSync(disk).size, 8 * 1024 * 1024);
  assertEquals(Deno.readFileSync(disk)[3 * 1024 * 1024 + 511], 7);
  assertEquals(Deno.readFileSync(disk)[3 * 1024 * 1024 + 512], 0);

  const { client } = host.local;
  const params = { id: guest.id };
  const changed = await client.call("updateGuest", { params, body: { name: "db", cpus: 4 } });
  assertEquals(changed, { ...guest, name: "db", cpus: 4 });
  assertEquals(await client.call("listGuests", {}), [changed]);

  await client.call("deleteGuest", { params });
  assertEquals(host.names("data/guests"), []);
  await refused(host.get(guest.id), "not_found");
});

Deno.test("a disk image that is no multiple of 512 bytes is padded to one", async () => {
  await using host = await TestHost.start();
  await host.image("disk", "odd.raw", 1000);
  const guest = await host.guest({ disks: [{ image: "odd.raw" }] });
  assertEquals(Deno.statSync(host.diskFile(guest)).size, 1024);
});

Deno.test("a guest that cannot be created leaves nothing", async () => {
  await using host = await TestHost.start();
  await host.guest({ name: "web" });
  await host.image("disk", "big.raw", 3 * 1024 * 1024);
  const before = host.names("data/guests");
  await refused(host.guest({ name: "web" }), "name_taken");
  await refused(host.guest({ name: "a", kernel: "none" }), "no_such_image");
  await refused(host.guest({ name: "a", initrd: "none" }), "no_such_image");
  await refused(host.guest({ name: "a", disks: [{ image: "none" }] }), "no_such_image");
  const small = await refused(
    host.guest({ name: "a", disks: [{ sizeMiB: 1 }, { image: "big.raw", sizeMiB: 2 }] }),
    "disk_too_small",
  );
  assertEquals(small.problem.fields, [{ path: "disks.1.sizeMiB", message: "must be at least 3" }]);
  const memory = await refused(host.guest({ name: "a", memoryMiB: 5000 }), "not_enough_memory");
  assertStringIncludes(memory.message, "5000 MiB of memory: the host has 4096 MiB");
  await refused(host.guest({ name: "a", cpus: 0 }), "invalid_body");
  await refused(host.guest({ name: "a", cpus: 255 }), "invalid_body");
  await refused(host.guest({ name: "a", memoryMiB: 1 }), "invalid_body");
  assertEquals(host.names("data/guests"), before);
  assertEquals((await host.local.client.call("listGuests", {})).length, 1);
});

Deno.test("a guest starts, and stops at its power button with nothing left", async () => {
  await using host = await TestHost.start();
  const guest = await host.guest({ disks: [{ sizeMiB: 1 }] });
  const { id } = guest;
  const started = await host.start(id);
  assertEquals(started.state, "running");
  assert(started.startedAt !== null);
  const process = host.processOf(id);
  assert(isAlive(process));
  assertEquals(host.network.taps.size, 1);
  const config = JSON.parse(Deno.readTextFileSync(host.path("run/guests", id, "config.json")));
  assertEquals(config.disks, [{
    path: host.diskFile(guest),
    serial: guest.disks[0].id.slice(-20),
  }]);
  const net = { tap: [...host.network.taps][0], mac: started.nets[0].mac };
  assertEquals([config.nets, config.plugged], [[], { net0: { net } }]);

  const stopped = host.reaches(id, "stopped");
  await host.local.client.call("stopGuest", { params: { id } });
  await stopped;
  assertEquals(isAlive(process), false);
  host.assertNothingLeft();
});

Deno.test("what runs is not started or deleted", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest();
  const params = { id };
  const { client } = host.local;
  await refused(client.call("stopGuest", { params }), "wrong_state");
  await refused(client.call("resetGuest", { params }), "wrong_state");
  await host.start(id);
  const error = await refused(host.start(id), "wrong_state");
  assertEquals(error.status, 409);
  assertEquals(
    error.message,
    "Cannot start a guest that is running: it must be stopped or failed",
  );
  await refused(client.call("deleteGuest", { params }), "wrong_state");
  assertEquals((await host.get(id)).state, "running");
});

Deno.test("two starts at once start one VMM", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest();
  const results = await Promise.allSettled([host.start(id), host.start(id)]);
  assertEquals(results.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
});

Deno.test("a second stop ends a guest that ignores its power button", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest({ cmdline: "deaf" });
  await host.start(id);
  const process = host.processOf(id);
  const { client } = host.local;
  const first = await client.call("stopGuest", { params: { id } });
  assertEquals(first.state, "stopping");
  const stopped = host.reaches(id, "stopped");
  await client.call("stopGuest", { params: { id } });
  assertEquals((await stopped).error, null);
  assertEquals(isAlive(process), false);
  host.assertNothingLeft();
});

Deno.test("force ends a guest at once", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest({ cmdline: "deaf" });
  await host.start(id);
  const stopped = host.reaches(id, "stopped");
  await host.local.client.call("stopGuest", { params: { id }, body: { force: true } });
  await stopped;
  host.assertNothingLeft();
});

Deno.test("reset puts another VMM in the guest's place", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest();
  await host.start(id);
  const before = host.processOf(id);
  const starting = host.reaches(id, "starting");
  await host.local.client.call("resetGuest", { params: { id } });
  await starting;
  await host.reaches(id, "running");
  assert(host.processOf(id).pid !== before.pid);
  assertEquals(isAlive(before), false);
  assertEquals(host.network.taps.size, 1);
});

Deno.test("a reboot asked for after the power button ends in stopped", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest({ cmdline: "reboot-on-button" });
  await host.start(id);
  const stopped = host.reaches(id, "stopped");
  await host.local.client.call("stopGuest", { params: { id } });
  await stopped;
  host.assertNothingLeft();
});

Deno.test("a VMM that refuses makes the start fail with its reason, and leaves nothing", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest({ cmdline: "refuse" });
  const error = await refused(host.start(id), "start_failed");
  assertStringIncludes(error.message, 'Cannot start "web": Cannot load the kernel');
  assertStringIncludes(error.message, "bad magic");
  const guest = await host.get(id);
  assertEquals(guest.state, "failed");
  assertStringIncludes(guest.error!, "bad magic");
  host.assertNothingLeft();
});

Deno.test("a failed guest starts again, and its error is forgotten", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest({ cmdline: "refuse" });
  await refused(host.start(id), "start_failed");
  const params = { id };
  await host.local.client.call("updateGuest", { params, body: { cmdline: "" } });
  const guest = await host.start(id);
  assertEquals([guest.state, guest.error], ["running", null]);
});

Deno.test("an error outlives a restart of the supervisor", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest({ cmdline: "refuse" });
  await refused(host.start(id), "start_failed");
  const before = await host.get(id);
  await host.down();
  await host.up();
  assertEquals(await host.get(id), before);
});

Deno.test("a crash makes a guest failed, with what crashed", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest({ cmdline: "crash" });
  await host.start(id).catch(() => {});
  const guest = await host.reaches(id, "failed");
  assertEquals(guest.error, "triple fault at 0xfff0");
  host.assertNothingLeft();
});

Deno.test("a VMM that is killed from outside makes its guest failed, with nothing left", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest();
  await host.start(id);
  const failed = host.reaches(id, "failed");
  killProcess(host.processOf(id));
  assertEquals((await failed).error, "Its VMM was ended by signal 9");
  host.assertNothingLeft();
});

Deno.test("a program that is no VMM makes the start fail", async () => {
  await using host = await TestHost.start({
    command: { program: "/bin/sh", args: ["-c", "echo something odd; exit 77"], env: {} },
  });
  const { id } = await host.guest();
  const error = await refused(host.start(id), "start_failed");
  assertStringIncludes(error.message, "unknown code 77");
  host.assertNothingLeft();
});

Deno.test("a program that does not exist leaves the guest as it was", async () => {
  await using host = await TestHost.start({
    command: { program: "/nonexistent", args: [], env: {} },
  });
  const { id } = await host.guest();
  await refused(host.start(id), "start_failed");
  assertEquals((await host.get(id)).state, "stopped");
  host.assertNothingLeft();
});

Deno.test("a tap that cannot be made leaves the guest as it was", async () => {
  await using host = await TestHost.start();
  host.network.attachError = new Error('the host has no bridge "br0" for its NIC');
  const { id } = await host.guest();
  const error = await refused(host.start(id), "start_failed");
  assertEquals(error.message, 'Cannot start "web": the host has no bridge "br0" for its NIC');
  assertEquals((await host.get(id)).state, "stopped");
  host.assertNothingLeft();
});

Deno.test("a disk that is missing, empty, odd or in use is refused before anything is started", async () => {
  await using host = await TestHost.start();
  const guest = await host.guest({ disks: [{ sizeMiB: 1 }] });
  const { id } = guest;
  const disk = host.diskFile(guest);
  {
    using file = Deno.openSync(disk, { read: true, write: true });
    file.lockSync(true);
    const error = await refused(host.start(id), "disk_in_use");
    assertStringIncludes(error.message, disk);
  }
  Deno.truncateSync(disk, 1000);
  assertStringIncludes((await refused(host.start(id), "bad_disk")).message, "1000 bytes");
  Deno.truncateSync(disk, 0);
  assertStringIncludes((await refused(host.start(id), "bad_disk")).message, "is empty");
  Deno.removeSync(disk);
  assertStringIncludes((await refused(host.start(id), "bad_disk")).message, "is missing");
  assertEquals((await host.get(id)).state, "stopped");
  host.assertNothingLeft();
});

Deno.test("memory that is promised to running guests is not promised again", async () => {
  await using host = await TestHost.start();
  const first = await host.guest({ name: "first", memoryMiB: 3000 });
  const second = await host.guest({ name: "second", memoryMiB: 2000 });
  await host.start(first.id);
  const error = await refused(host.start(second.id), "not_enough_memory");
  assertStringIncludes(error.message, "it has 2000 MiB of memory");
  assertStringIncludes(error.message, "4096 MiB, 3000 MiB are promised");
  assertEquals((await host.get(second.id)).state, "stopped");
});

Deno.test("an image that was deleted behind its guest's back is missed at the start", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest();
  Deno.removeSync(host.path("data/images/kernel/k"));
  await refused(host.start(id), "no_such_image");
  host.assertNothingLeft();
});
