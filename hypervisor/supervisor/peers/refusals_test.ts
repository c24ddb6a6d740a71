import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { ApiError } from "../api/client.ts";
import { TestHost, type TestOptions } from "../testing/test_host.ts";
import { TwoHosts, whereabouts } from "../testing/two_hosts.ts";

const RUNS = { state: "running", hasDisks: true, hasRun: true };

/** The other host refuses, before a byte of any disk has gone, and neither has anything of it. */
async function refuses(
  prepare: (hosts: TwoHosts) => Promise<unknown>,
  why: string,
  options: TestOptions = {},
): Promise<void> {
  await using hosts = await TwoHosts.start({ b: options });
  await prepare(hosts);
  const guest = await hosts.guest();
  const before = hosts.b.names("data/guests");
  const task = await hosts.end(await hosts.move(guest.id));
  assertEquals(task.state, "failed");
  assertStringIncludes(task.error!, why);
  assertEquals(task.doneAmount, 0);
  assertEquals(whereabouts(hosts.a, guest.id), RUNS);
  assertEquals(hosts.b.names("data/guests"), before);
  assertEquals(hosts.b.names("run/guests").includes(guest.id), false);
}

Deno.test("a name that is taken there", () =>
  refuses(({ b }) => b.guest({ name: "web" }), 'Cannot name a guest "web": another guest'));

Deno.test("too little memory there", () =>
  refuses(() => Promise.resolve(), "the host has 100 MiB", { memoryMiB: () => 100 }));

Deno.test("memory that is promised there", () =>
  refuses(
    async ({ b }) => b.start((await b.guest({ name: "big", memoryMiB: 900 })).id),
    "900 MiB are promised to guests that run",
    { memoryMiB: () => 1000 },
  ));

Deno.test("a processor of another vendor there", () =>
  refuses(() => Promise.resolve(), "its processor is of ", {
    moves: { processor: { vendor: "CentaurHauls", features: [] } },
  }));

Deno.test("an image of the same name there gets another name; the same image is not sent", async () => {
  await using hosts = await TwoHosts.start();
  const { a, b } = hosts;
  await b.image("kernel", "k", 8192);
  const guest = await hosts.guest();
  assertEquals((await hosts.end(await hosts.move(guest.id))).state, "done");
  const there = await b.reaches(guest.id, "running");
  assertEquals(/^k-[0-9a-f]{12}$/.test(there.kernel), true, there.kernel);
  assertEquals(there.pending, []);
  const second = await a.guest({ name: "second", disks: [] });
  await a.start(second.id);
  assertEquals((await hosts.end(await hosts.move(second.id))).state, "done");
  assertEquals((await b.reaches(second.id, "running")).kernel, there.kernel);
  assertEquals(b.names("data/images/kernel"), ["k", there.kernel]);
});

Deno.test("a guest that is off is refused here", async () => {
  await using hosts = await TwoHosts.start();
  const guest = await hosts.guest();
  await hosts.a.stop(guest.id);
  const { problem } = await assertRejects(() => hosts.move(guest.id), ApiError);
  assertEquals(problem.code, "wrong_state");
});

Deno.test("while a guest moves, it is not changed, and nothing else begins with it", async () => {
  await using hosts = await TwoHosts.start();
  const { a } = hosts;
  const guest = await hosts.guest();
  const task = await hosts.move(guest.id, { bytesPerSecond: 1000 });
  const { client } = a.local;
  const params = { id: guest.id };
  for (
    const change of [
      () => client.call("updateGuest", { params, body: { cpus: 2 } }),
      () => client.call("addDisk", { params, body: { sizeMiB: 1 } }),
      () => hosts.move(guest.id),
    ]
  ) {
    assertEquals((await assertRejects(change, ApiError)).problem.code, "busy");
  }
  a.supervisor.tasks.cancel(task.id);
  await hosts.end(task);
  await client.call("updateGuest", { params, body: { cpus: 2 } });
});

Deno.test("a host that keeps to itself does not pair, and lists nobody", async () => {
  await using host = await TestHost.start();
  const { client } = host.local;
  assertEquals(await client.call("listPeers", {}), []);
  const offer = await assertRejects(() => client.call("offerPairing", {}), ApiError);
  assertStringIncludes(offer.problem.message, "--peers");
});
