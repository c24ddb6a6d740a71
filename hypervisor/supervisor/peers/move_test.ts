import { assertEquals, assertStringIncludes } from "@std/assert";
import { textsIn } from "../testing/iso_reader.ts";
import { until } from "../testing/move_cuts.ts";
import { TwoHosts, whereabouts } from "../testing/two_hosts.ts";

Deno.test("a running guest moves with its disks, and nothing of it is left", async () => {
  await using hosts = await TwoHosts.start();
  const { a, b } = hosts;
  const guest = await hosts.guest("writes");
  await a.type(guest.id, "write 0 512 early\n");
  const before = Deno.readFileSync(a.diskFile(guest));
  const task = await hosts.end(await hosts.move(guest.id));
  assertEquals([task.state, task.error], ["done", null]);
  assertEquals(task.pauseMs, 13);
  // What pretends to be a VMM makes half of it.
  assertEquals(task.sent, { memoryBytes: 2 ** 20, wireBytes: 2 ** 19 });
  assertEquals(whereabouts(a, guest.id), { state: "none", hasDisks: false, hasRun: false });
  const there = await b.reaches(guest.id, "running");
  assertEquals(there.name, guest.name);
  const disk = Deno.readFileSync(b.diskFile(there));
  before.set(new TextEncoder().encode("the last of it"), 4096);
  assertEquals(disk, before);
  a.assertNothingLeft();
  assertEquals(b.supervisor.images.get("kernel", "k") !== null, true);
  await b.stop(guest.id);
  b.assertNothingLeft();
});

Deno.test("a guest's memory is compressed on its way unless that is not wanted", async () => {
  await using hosts = await TwoHosts.start();
  const { id } = await hosts.guest("");
  const { sent } = await hosts.end(await hosts.move(id, { compress: "none" }));
  assertEquals(sent, { memoryBytes: 2 ** 20, wireBytes: 2 ** 20 });
});

Deno.test("a guest's cloud-init disk is at another host what it was, whatever it is to be later", async () => {
  await using hosts = await TwoHosts.start();
  const { a, b } = hosts;
  const made = await a.guest({ cloudInit: { userData: "#!/bin/sh\n" } });
  const { id, cloudInit } = made;
  await a.start(id);
  const snapshot = await a.snapshot(id, { name: "then" });
  const body = { name: "renamed", cloudInit: { userData: null } };
  await a.local.client.call("updateGuest", { params: { id }, body });
  const seed = (host: typeof a) => Deno.readFileSync(host.path("run/guests", id, "cidata.iso"));
  const before = seed(a);
  const task = await hosts.end(await hosts.move(id));
  assertEquals([task.state, task.error], ["done", null]);
  const there = await b.reaches(id, "running");
  assertEquals(seed(b), before);
  assertEquals([there.cloudInit!.instanceId, there.pending], [
    cloudInit!.instanceId,
    ["cloudInit.userData", "cloudInit.hostname"],
  ]);
  const params = { id, snapshot };
  await b.done(b.local.client.call("revertGuest", { params, body: {} }));
  assertEquals(seed(b), before);
  await b.stop(id);
  await b.start(id);
  const { instanceId } = cloudInit!;
  assertEquals(textsIn(seed(b)), {
    "meta-data": `instance-id: "${instanceId}"\nlocal-hostname: "renamed"\n`,
    "user-data": "#!/bin/sh\n",
  });
});

Deno.test("a guest that changes its memory too fast moves where that may follow it", async () => {
  await using hosts = await TwoHosts.start();
  const { a, b } = hosts;
  const { id } = await hosts.guest("writes-fast");
  const task = await hosts.end(await hosts.move(id));
  assertStringIncludes(task.error!, "faster than that can be sent");
  assertEquals(whereabouts(a, id), { state: "running", hasDisks: true, hasRun: true });
  await until(() => b.names("data/guests").length === 0, "the other host lets go of it");
  assertEquals((await hosts.end(await hosts.move(id, { postCopy: true }))).state, "done");
  await b.reaches(id, "running");
});

Deno.test("a guest whose memory did not all follow it is off there, and here is nothing of it", async () => {
  await using hosts = await TwoHosts.start();
  const { a, b } = hosts;
  const { id } = await hosts.guest("dies-at-word");
  const began = Date.now();
  const task = await hosts.end(await hosts.move(id, { postCopy: true }));
  assertEquals([task.state, task.phase], [
    "done",
    "It has moved, but does not run: start it there",
  ]);
  // Its VMM here is not waited for.
  assertEquals(Date.now() - began < 30_000, true);
  assertEquals(whereabouts(a, id), { state: "none", hasDisks: false, hasRun: false });
  assertStringIncludes((await b.get(id)).error!, "It was lost while it changed hosts");
  assertEquals((await b.start(id)).state, "running");
});
