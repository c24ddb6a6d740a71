import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { ApiError } from "../api/client.ts";
import type { SnapshotCreate, SnapshotTree, Task } from "../api/schemas.ts";
import { serveFakeAgent } from "../testing/fake_agent.ts";
import { TestHost } from "../testing/test_host.ts";

async function refused(promise: Promise<unknown>, code: string): Promise<string> {
  const error = await assertRejects(() => promise, ApiError);
  assertEquals(error.problem.code, code, error.message);
  return error.message;
}

function take(host: TestHost, id: string, body: SnapshotCreate): Promise<Task> {
  return host.local.client.call("createSnapshot", { params: { id }, body });
}

function tree(host: TestHost, id: string): Promise<SnapshotTree> {
  return host.local.client.call("listSnapshots", { params: { id } });
}

const filesOf = (id: string, snapshot: string) => `data/guests/${id}/snapshots/${snapshot}`;

Deno.test("a running guest's snapshot has its memory, its disks and what it is, and it goes on", async () => {
  await using host = await TestHost.start();
  const guest = await host.guest({ disks: [{ sizeMiB: 1 }, { sizeMiB: 2, name: "data" }] });
  const { id } = guest;
  Deno.writeTextFileSync(host.diskFile(guest, 1), "before");
  Deno.truncateSync(host.diskFile(guest, 1), 2 * 1024 * 1024);
  await host.start(id);
  const trees: SnapshotTree[] = [];
  host.supervisor.events.subscribe(({ name, data }) => {
    if (name === "snapshots") trees.push(data);
  });
  const task = await host.done(take(host, id, { name: "first", description: "the first" }));
  assertEquals([task.kind, task.detail, task.pauseMs, task.unit], [
    "snapshot",
    "first",
    12,
    "bytes",
  ]);
  assertEquals([task.doneAmount, task.totalAmount].map((it) => it / 2 ** 20), [100, 100]);
  assertEquals((await host.get(id)).state, "running");
  await host.until(id, ({ pausedFor }) => pausedFor === null);
  const one = await tree(host, id);
  assertEquals(trees, [one]);
  const [{ createdAt: _, id: first, ...snapshot }] = one.snapshots;
  assertEquals(one.current, first);
  assertEquals(snapshot, {
    ...{ name: "first", description: "the first", parent: null, memory: true, template: false },
    ...{ memoryBytes: snapshot.memoryBytes, diskBytes: snapshot.diskBytes, pauseMs: 12 },
    ...{ frozen: false, ownBytes: snapshot.ownBytes },
  });
  assert(snapshot.ownBytes! >= 8192, `${snapshot.ownBytes}`);
  assert(snapshot.memoryBytes >= 8192);
  assertEquals(host.names(filesOf(id, first)), ["data.img", "disk.img", "memory"]);
  const copy = Deno.readTextFileSync(host.path(filesOf(id, first), "data.img"));
  assertEquals([copy.slice(0, 6), copy.length], ["before", 2 * 1024 * 1024]);

  await host.done(take(host, id, { name: "second" }));
  const two = await tree(host, id);
  assertEquals(two.snapshots.map(({ parent }) => parent), [null, first]);
  assertEquals(two.current, two.snapshots[1].id);
});

Deno.test("a guest that is stopped, or whose memory is not wanted, is copied with its disks alone", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest({ disks: [{ sizeMiB: 1 }] });
  const stopped = await host.snapshot(id, { name: "stopped" });
  assertEquals(host.names(filesOf(id, stopped)), ["disk.img"]);
  await host.start(id);
  const pauses: (string | null)[] = [];
  host.supervisor.events.subscribe((change) => {
    if (change.name === "guest") pauses.push(change.data.pausedFor);
  });
  const disks = await host.snapshot(id, { name: "disks", memory: false, freeze: false });
  assertEquals(host.names(filesOf(id, disks)), ["disk.img"]);
  await host.until(id, ({ pausedFor }) => pausedFor === null);
  assert(pauses.includes("It was told to pause"), "it stood still meanwhile");
  const { snapshots } = await tree(host, id);
  assertEquals(snapshots.map(({ memory }) => memory), [false, false]);
  assertEquals(snapshots[0].pauseMs, null);
  assert(snapshots[1].pauseMs! > 0);
});

Deno.test("a paused guest stays so", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest();
  await host.start(id);
  await host.local.client.call("pauseGuest", { params: { id } });
  await host.until(id, ({ pausedFor }) => pausedFor !== null);
  await host.snapshot(id, { name: "with" });
  await host.snapshot(id, { name: "without", memory: false });
  assert((await host.get(id)).pausedFor !== null);
  const { snapshots } = await tree(host, id);
  assertEquals(snapshots.map(({ pauseMs }) => pauseMs), [null, null]);
});

Deno.test("what fails, or is given up, leaves nothing, and the guest as it was", async () => {
  await using host = await TestHost.start();
  const fails = await host.guest({ name: "fails", cmdline: "save-fails" });
  await host.start(fails.id);
  const failed = await host.ended(await take(host, fails.id, { name: "a" }));
  assertEquals([failed.state, failed.error], [
    "failed",
    "Cannot save: its memory cannot be read",
  ]);
  const slow = await host.guest({ name: "slow", cmdline: "saves-slowly", disks: [{ sizeMiB: 1 }] });
  await host.start(slow.id);
  const task = await take(host, slow.id, { name: "a" });
  assertEquals(task.state, "running");
  for (const busy of ["startGuest", "resetGuest", "deleteGuest", "pauseGuest"] as const) {
    const told = await refused(
      host.local.client.call(busy, { params: { id: slow.id } }),
      busy === "deleteGuest" ? "wrong_state" : "busy",
    );
    if (busy !== "deleteGuest") assertStringIncludes(told, "a snapshot is under way");
  }
  await refused(
    host.local.client.call("addDisk", { params: { id: slow.id }, body: { sizeMiB: 1 } }),
    "busy",
  );
  await refused(take(host, slow.id, { name: "b" }), "busy");
  await host.local.client.call("cancelTask", { params: { id: task.id } });
  assertEquals((await host.ended(task)).state, "cancelled");
  for (const { id } of [fails, slow]) {
    assertEquals((await tree(host, id)).snapshots, []);
    assertEquals(host.names(`data/guests/${id}/snapshots`), []);
    assertEquals((await host.get(id)).state, "running");
  }
});

Deno.test("a guest that ends while it is saved has no snapshot", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest({ cmdline: "saves-slowly" });
  await host.start(id);
  const task = await take(host, id, { name: "a" });
  await host.stop(id);
  const { state, error } = await host.ended(task);
  assertEquals([state, error], ["failed", "Its VMM hung up"]);
  assertEquals(host.names(`data/guests/${id}/snapshots`), []);
});

Deno.test("snapshots are renamed, and deleted from between others", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest({ disks: [{ sizeMiB: 1 }] });
  const [a, b, c] = [
    await host.snapshot(id, { name: "a" }),
    await host.snapshot(id, { name: "b", template: true }),
    await host.snapshot(id, { name: "c" }),
  ];
  await refused(take(host, id, { name: "a" }), "name_taken");
  const change = (snapshot: string, body: { name?: string; template?: boolean }) =>
    host.local.client.call("updateSnapshot", { params: { id, snapshot }, body });
  await refused(change(a, { name: "b" }), "name_taken");
  assertEquals((await change(b, { name: "better", template: false })).name, "better");
  const remove = (snapshot: string) =>
    host.local.client.call("deleteSnapshot", { params: { id, snapshot } });
  await remove(b);
  assertEquals((await tree(host, id)).snapshots.map(({ name, parent }) => [name, parent]), [
    ["a", null],
    ["c", a],
  ]);
  await remove(c);
  assertEquals((await tree(host, id)).current, a);
  assertEquals(host.names(`data/guests/${id}/snapshots`), [a]);
  await refused(remove(c), "not_found");
  const other = await host.guest({ name: "other" });
  await refused(
    host.local.client.call("deleteSnapshot", { params: { id: other.id, snapshot: a } }),
    "not_found",
  );
  await host.local.client.call("deleteGuest", { params: { id } });
  assertEquals(host.names("data/guests"), [other.id]);
});

Deno.test("templates of all guests are listed, by name", async () => {
  await using host = await TestHost.start();
  const [web, db] = [await host.guest({ name: "web" }), await host.guest({ name: "db" })];
  const list = () => host.local.client.call("listTemplates", {});
  assertEquals(await list(), []);
  await host.snapshot(web.id, { name: "z", template: true });
  await host.snapshot(web.id, { name: "no template" });
  await host.snapshot(db.id, { name: "a", template: true });
  const templates = await list();
  assertEquals(templates.map(({ guest, snapshot }) => [guest.name, snapshot.name]), [
    ["db", "a"],
    ["web", "z"],
  ]);
  assertEquals([templates[0].guest.id, templates[0].snapshot], [
    db.id,
    (await tree(host, db.id)).snapshots[0],
  ]);
  await host.local.client.call("deleteGuest", { params: { id: db.id } });
  assertEquals((await list()).length, 1);
});

Deno.test("an image that a snapshot boots from is used", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest({ name: "web" });
  await host.snapshot(id, { name: "a" });
  await host.image("kernel", "k2");
  await host.local.client.call("updateGuest", { params: { id }, body: { kernel: "k2" } });
  const told = await refused(
    host.local.client.call("deleteImage", { params: { kind: "kernel", name: "k" } }),
    "image_in_use",
  );
  assertStringIncludes(told, "web");
});

Deno.test("a snapshot waits for the serial port to say something, or gives up", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest();
  const readiness = { serial: "login:", withinSeconds: 60 };
  await refused(take(host, id, { name: "a", readiness }), "wrong_state");
  await host.start(id);
  const task = await take(host, id, { name: "a", readiness });
  assertEquals(host.supervisor.tasks.get(task.id).phase, "Waiting until the guest is ready");
  await host.type(id, "log");
  await host.type(id, "in: ");
  assertEquals((await host.ended(task)).state, "done");
  const late = await take(host, id, {
    name: "b",
    readiness: { serial: "never", withinSeconds: 1 },
  });
  const { state, error } = await host.ended(late);
  assertEquals(state, "failed");
  assertStringIncludes(error!, "its serial port or its agent says nothing");
  const given = await take(host, id, { name: "b", readiness: { serial: "never" } });
  await host.local.client.call("cancelTask", { params: { id: given.id } });
  assertEquals((await host.ended(given)).state, "cancelled");
});

Deno.test("a snapshot waits for the agent; disks alone are copied from frozen file systems", async () => {
  await using host = await TestHost.start({ agents: { soonMs: 60_000 } });
  const { id } = await host.guest({ disks: [{ sizeMiB: 1 }] });
  await host.start(id);
  const readiness = { agent: true, withinSeconds: 60 };
  const task = await take(host, id, { name: "a", memory: false, readiness });
  await new Promise((resolve) => setTimeout(resolve, 50));
  assertEquals(host.supervisor.tasks.get(task.id).state, "running");
  const agent = serveFakeAgent(host.path("run/guests", id, "agent.sock"));
  try {
    assertEquals((await host.ended(task)).state, "done");
    assertEquals(agent.commands.filter((it) => it.includes("fsfreeze")), [
      "guest-fsfreeze-freeze",
      "guest-fsfreeze-thaw",
    ]);
    // With memory they would be frozen in it.
    await host.snapshot(id, { name: "b" });
    assertEquals(agent.commands.filter((it) => it.includes("fsfreeze")).length, 2);
  } finally {
    agent.close();
  }
});

Deno.test("what a power cut left of snapshots is swept away, and no more", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest({ disks: [{ sizeMiB: 1 }] });
  const kept = await host.snapshot(id, { name: "kept" });
  await host.down();
  const directory = `data/guests/${id}/snapshots`;
  for (const name of [".new-01ARZ3NDEKTSV4RRFFQ69G5FAV", "01ARZ3NDEKTSV4RRFFQ69G5FAV", `.old-x`]) {
    Deno.mkdirSync(host.path(directory, name));
    Deno.writeTextFileSync(host.path(directory, name, "disk.img"), "half");
  }
  await host.up();
  assertEquals(host.names(directory), [kept]);
  assertEquals(host.names(filesOf(id, kept)), ["disk.img"]);
});

Deno.test("a guest that a supervisor had stand still goes on with the next", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest();
  await host.start(id);
  // As it is in the middle of a copy of disks alone.
  Deno.writeTextFileSync(host.path("run/guests", id, "stands_still"), "");
  await host.processFor(id).pause();
  await host.down();
  await host.up();
  await host.until(id, ({ state, pausedFor }) => state === "running" && pausedFor === null);
  await host.local.client.call("pauseGuest", { params: { id } });
  await host.down();
  await host.up();
  await host.until(id, ({ pausedFor }) => pausedFor !== null);
});

Deno.test("a supervisor that ends gives a snapshot up, and the next finds nothing of it", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest({ cmdline: "saves-slowly", disks: [{ sizeMiB: 1 }] });
  await host.start(id);
  const task = await take(host, id, { name: "a" });
  await host.down();
  assertEquals(host.supervisor.tasks.get(task.id).state, "cancelled");
  await host.up();
  assertEquals(await tree(host, id), {
    ...{ guest: id, snapshots: [], current: null, base: null },
  });
  assertEquals(host.names(`data/guests/${id}/snapshots`), []);
  await host.reaches(id, "running");
});

Deno.test("the host's shutdown gives up what is under way", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest({ cmdline: "saves-slowly" });
  await host.start(id);
  const task = await take(host, id, { name: "a" });
  for await (const _ of host.local.client.lines("shutdownHost", { body: { limitSeconds: 5 } }));
  assertEquals((await host.ended(task)).state, "cancelled");
  await refused(
    host.local.client.call("forkGuest", { params: { id }, body: {} }),
    "shutting_down",
  );
  host.assertNothingLeft();
});

Deno.test("the event stream begins with the tasks, and tells of each", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest({ cmdline: "saves-slowly" });
  await host.start(id);
  const task = await take(host, id, { name: "a" });
  const names = new Set<string>();
  for await (const { name, data } of host.local.client.events()) {
    if (name === "snapshot") {
      assertEquals((data as { tasks: Task[] }).tasks.map((it) => it.id), [task.id]);
    }
    // A second one may come before the end does.
    if (name === "task_point" && !names.has(name)) host.supervisor.tasks.cancel(task.id);
    names.add(name);
    if (name === "task" && (data as Task).state !== "running") break;
  }
  assertEquals(["snapshot", "task", "task_point"].filter((name) => !names.has(name)), []);
  const points = await host.local.client.call("getTaskPoints", { params: { id: task.id } });
  assert(points.length > 0);
  assertEquals((await host.local.client.call("listTasks", {}))[0].state, "cancelled");
});
