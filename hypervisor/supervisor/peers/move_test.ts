import { assertEquals, assertStringIncludes } from "@std/assert";
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

Deno.test("a guest that changes its memory too fast moves where that may follow it", async () => {
  await using hosts = await TwoHosts.start();
  const { a, b } = hosts;
  const { id } = await hosts.guest("writes-fast");
  const task = await hosts.end(await hosts.move(id));
  assertStringIncludes(task.error!, "faster than that can be sent");
  assertEquals(whereabouts(a, id), { state: "running", hasDisks: true, hasRun: true });
  assertEquals((await hosts.end(await hosts.move(id, { postCopy: true }))).state, "done");
  await b.reaches(id, "running");
});
