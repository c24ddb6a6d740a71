import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { ApiError } from "../api/client.ts";
import type { SnapshotCreate, Task } from "../api/schemas.ts";
import { ANSWERS, type FakeAgent, serveFakeAgent } from "../testing/fake_agent.ts";
import { TestHost, type TestOptions } from "../testing/test_host.ts";

const MIB = 2 ** 20;
const WHOLE = 100 * MIB;
const CHANGED = MIB;

function take(host: TestHost, id: string, body: SnapshotCreate): Promise<Task> {
  return host.local.client.call("createSnapshot", { params: { id }, body });
}

/** Takes one, and returns what was written of memory. */
async function written(host: TestHost, id: string, body: SnapshotCreate): Promise<number> {
  return (await host.done(take(host, id, body))).doneAmount;
}

const treeOf = (host: TestHost, id: string) =>
  host.local.client.call("listSnapshots", { params: { id } });

async function idOf(host: TestHost, id: string, wanted: string): Promise<string> {
  return (await treeOf(host, id)).snapshots.find(({ name }) => name === wanted)!.id;
}

Deno.test("a snapshot on top of the one before writes what has changed, for as long as that is wanted", async () => {
  await using host = await TestHost.start({ canShare: true });
  const { id } = await host.guest();
  await host.start(id);
  assertEquals(await written(host, id, { name: "a", incremental: true }), WHOLE);
  assertEquals((await treeOf(host, id)).base, await idOf(host, id, "a"));
  assertEquals(await written(host, id, { name: "b", incremental: true }), CHANGED);
  // One without memory is not in the way of that, and another supervisor knows of it.
  await host.done(take(host, id, { name: "disks", memory: false }));
  await host.down();
  await host.up();
  await host.reaches(id, "running");
  assertEquals((await treeOf(host, id)).base, await idOf(host, id, "b"));
  assertEquals(await written(host, id, { name: "c" }), CHANGED);
  assertEquals((await treeOf(host, id)).base, null);
  assertEquals(await written(host, id, { name: "d" }), WHOLE);
  assertEquals(host.log.filter(({ message }) => message.includes("saved whole")), []);
});

Deno.test("a snapshot whose base is gone, or is of another run, is a whole one in the same task", async () => {
  await using host = await TestHost.start({ canShare: true });
  const { id } = await host.guest();
  await host.start(id);
  await written(host, id, { name: "a", incremental: true });
  const gone = { id, snapshot: await idOf(host, id, "a") };
  await host.local.client.call("deleteSnapshot", { params: gone });
  assertEquals(await written(host, id, { name: "b", incremental: true }), WHOLE);

  // Another VMM goes on with it, which has not tracked anything.
  await host.done(host.local.client.call("upgradeGuest", { params: { id } }));
  assertEquals(await written(host, id, { name: "c", incremental: true }), WHOLE);
  const told = host.log.filter(({ message }) => message === "a guest's memory is saved whole");
  assertEquals(told.map(({ error }) => error), [
    "Cannot save what has changed: the base is of another run",
  ]);

  // Another run begins without one, also where it goes on from there.
  await host.done(host.local.client.call("revertGuest", {
    params: { id, snapshot: await idOf(host, id, "c") },
  }));
  assertEquals((await treeOf(host, id)).base, null);
  assertEquals(await written(host, id, { name: "d", incremental: true }), WHOLE);
});

Deno.test("where files share nothing, nothing is tracked", async () => {
  await using host = await TestHost.start({ canShare: false });
  const { id } = await host.guest();
  await host.start(id);
  for (const name of ["a", "b"]) {
    assertEquals(await written(host, id, { name, incremental: true }), WHOLE);
    assertEquals((await treeOf(host, id)).base, null);
  }
});

const SOON: TestOptions["agents"] = { soonMs: 20, laterMs: 40, limitMs: 2000 };

/** A guest that runs, and an agent of which is known what it was told. */
async function withAgent(
  use: (it: { host: TestHost; id: string; agent: FakeAgent }) => Promise<void>,
  answers = { ...ANSWERS },
) {
  await using host = await TestHost.start({ agents: { soonMs: 60_000 } });
  const { id } = await host.guest({ disks: [{ sizeMiB: 1 }] });
  await host.start(id);
  const agent = serveFakeAgent(host.path("run/guests", id, "agent.sock"), answers);
  try {
    await use({ host, id, agent });
  } finally {
    agent.close();
  }
}

const freezes = ({ commands }: FakeAgent) =>
  commands.filter((it) => /fsfreeze-(freeze|thaw)$/.test(it)).map((it) => it.split("-").at(-1));

const frozenIn = (host: TestHost, id: string) =>
  JSON.parse(Deno.readTextFileSync(host.path("run/guests", id, "run.json"))).frozen;

Deno.test("with memory, file systems are frozen where that is asked for, and only for the instant", () =>
  withAgent(async ({ host, id, agent }) => {
    await host.snapshot(id, { name: "not asked" });
    assertEquals(freezes(agent), []);
    const phases: [string, boolean][] = [];
    host.supervisor.events.subscribe(({ name, data }) => {
      if (name === "task") phases.push([data.phase, agent.isFrozen]);
    });
    await host.snapshot(id, { name: "asked", freeze: true });
    assertEquals(freezes(agent), ["freeze", "thaw"]);
    const isFrozenIn = (phase: string) => phases.find(([it]) => it === phase)?.[1];
    assertEquals(
      ["Copying memory", "Freezing file systems", "Copying disks"].map(isFrozenIn),
      [false, false, true],
    );
    assertEquals([agent.isFrozen, frozenIn(host, id)], [false, false]);
    const { snapshots } = await treeOf(host, id);
    assertEquals(snapshots.map(({ frozen }) => frozen), [false, true]);
  }));

Deno.test("a snapshot for which they must be frozen is not taken where they are not", () =>
  withAgent(async ({ host, id, agent }) => {
    for (const memory of [true, false]) {
      const task = await host.ended(await take(host, id, { name: "a", memory, freeze: true }));
      assertEquals(task.state, "failed");
      assertStringIncludes(task.error!, 'Cannot freeze the file systems of "web": Cannot have');
    }
    // Where nobody insists, it is taken as it is.
    await host.snapshot(id, { name: "disks", memory: false });
    const { snapshots } = await treeOf(host, id);
    assertEquals(snapshots.map(({ name, frozen }) => [name, frozen]), [["disks", false]]);
    assertEquals([agent.isFrozen, frozenIn(host, id)], [false, false]);
    const closed = await host.guest({ name: "closed", agent: false });
    await host.start(closed.id);
    const told = await assertRejects(
      () => take(host, closed.id, { name: "a", freeze: true }),
      ApiError,
    );
    assertStringIncludes(told.message, "it has no channel to an agent");
    assertEquals((await host.get(id)).pausedFor, null);
  }, { "guest-get-osinfo": {} }));

Deno.test("one that is given up while they are frozen has them thawed", () =>
  withAgent(async ({ host, id, agent }) => {
    const wasFrozen = new Map<string, boolean>();
    host.supervisor.events.subscribe(({ name, data }) => {
      if (name !== "task" || data.phase !== "Copying disks" || wasFrozen.has(data.id)) return;
      wasFrozen.set(data.id, agent.isFrozen);
      host.supervisor.tasks.cancel(data.id);
    });
    for (const memory of [true, false]) {
      agent.commands.splice(0);
      const task = await host.ended(await take(host, id, { name: "a", memory, freeze: true }));
      assertEquals([task.state, wasFrozen.get(task.id)], ["cancelled", true]);
      assertEquals(freezes(agent), ["freeze", "thaw"]);
      assertEquals([agent.isFrozen, frozenIn(host, id)], [false, false]);
      await host.until(id, ({ pausedFor }) => pausedFor === null);
    }
    assertEquals((await treeOf(host, id)).snapshots, []);
  }));

Deno.test("a VMM that cannot be told when to stop the guest is found out, and no snapshot taken", async () => {
  await using host = await TestHost.start({ agents: SOON });
  const { id } = await host.guest({ cmdline: "agent never-asks" });
  await host.start(id);
  const task = await host.ended(await take(host, id, { name: "a", freeze: true }));
  assertEquals(task.state, "failed");
  assertStringIncludes(task.error!, "Upgrade the guest first");
  await host.until(id, ({ pausedFor }) => pausedFor === null);
  await host.snapshot(id, { name: "b" });
  assertEquals((await treeOf(host, id)).snapshots.map(({ name }) => name), ["b"]);
});

Deno.test("what goes on with frozen file systems has them thawed, by a revert and by a fork", async () => {
  await using host = await TestHost.start({ agents: SOON });
  const { id } = await host.guest({ cmdline: "agent", disks: [{ sizeMiB: 1 }] });
  await host.start(id);
  const readiness = { agent: true };
  const snapshot = await host.snapshot(id, { name: "a", freeze: true, readiness });
  const phases = new Set<string>();
  host.supervisor.events.subscribe(({ name, data }) => {
    if (name === "task") phases.add(data.phase);
  });
  await host.done(host.local.client.call("revertGuest", { params: { id, snapshot } }));
  assert(phases.has("Thawing file systems"), [...phases].join(", "));
  // One whose file systems are frozen does not say what it is.
  assertEquals(frozenIn(host, id), false);
  await host.until(id, ({ agentFacts }) => agentFacts?.os != null);

  const fork = await host.done(host.local.client.call("forkGuest", {
    params: { id },
    body: { snapshot, count: 2 },
  }));
  for (const child of fork.made) {
    assertEquals(frozenIn(host, child), false);
    await host.until(child, ({ agentFacts }) => agentFacts?.os != null);
  }
});

Deno.test("a supervisor that ends while they are frozen leaves that to the next", async () => {
  await using host = await TestHost.start({ agents: SOON });
  const { id } = await host.guest({ cmdline: "agent" });
  await host.start(id);
  await host.until(id, ({ agentFacts }) => agentFacts?.os != null);
  await host.down();
  const path = host.path("run/guests", id, "run.json");
  Deno.writeTextFileSync(
    path,
    Deno.readTextFileSync(path).replace('"frozen":false', '"frozen":true'),
  );
  await host.up();
  await host.reaches(id, "running");
  while (frozenIn(host, id)) await new Promise((resolve) => setTimeout(resolve, 20));
});
