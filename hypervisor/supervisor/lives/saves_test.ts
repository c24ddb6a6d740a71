import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { killProcess, type ProcessId, reapChild } from "../../sys/processes.ts";
import { askVmm } from "./control_client.ts";
import type { HostShutdownProgress, Task } from "../api/schemas.ts";
import { openDatabase } from "../store/database.ts";
import { SaveStore } from "../store/saves.ts";
import { TestHost } from "../testing/test_host.ts";

const BOTH = { limitSeconds: 60, saveSeconds: 60 };

async function shutDown(host: TestHost, body = BOTH): Promise<HostShutdownProgress[]> {
  const steps = [];
  for await (const step of host.local.client.lines("shutdownHost", { body })) steps.push(step);
  return steps;
}

/** The host goes, and comes back; what was in memory alone is gone. */
async function restart(host: TestHost) {
  await host.down();
  Deno.removeSync(host.path("run"), { recursive: true });
  await host.up();
  await host.supervisor.guests.autostart();
}

async function gone(process: ProcessId) {
  while (reapChild(process.pid) === null) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const saved = (host: TestHost, id: string) => host.names(`data/guests/${id}/saved`);

const tasks = (host: TestHost, kind: Task["kind"]) =>
  host.supervisor.tasks.list().filter((task) => task.kind === kind);

Deno.test("a guest that starts with the host is saved as it ends, and goes on from there, once", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest({ autostart: true, disks: [{ sizeMiB: 1 }], cmdline: "" });
  const other = await host.guest({ name: "other" });
  await host.start(id);
  await host.start(other.id);
  const steps = await shutDown(host);
  assert(steps.some(({ saving }) => saving[0]?.name === "web"), JSON.stringify(steps));
  assertEquals(steps.at(-1), { done: true, running: [], saving: [], forced: [] });
  host.assertNothingLeft();
  const stopped = await host.get(id);
  assertEquals([stopped.state, stopped.error, stopped.resumesFrom], ["stopped", null, null]);
  assert(Math.abs(Date.parse(stopped.savedAt!) - Date.now()) < 600_000);

  await restart(host);
  const back = await host.get(id);
  assertEquals([back.state, back.pausedFor, back.savedAt], ["running", null, null]);
  assertStringIncludes(await host.said(id), "once web");
  assertEquals((await host.get(other.id)).state, "stopped", "as ever");
  assertEquals(saved(host, id), []);
  assertEquals(tasks(host, "restore").map(({ state }) => state), ["done"]);

  await host.stop(id);
  await host.down();
  await host.up();
  await host.start(id);
  assert(!(await host.said(id)).includes("once"), "its disks have moved on since");
});

Deno.test("what becomes of a guest is its own choice, or the host's, or what was said for once", async () => {
  await using host = await TestHost.start();
  const client = () => host.local.client;
  const a = await host.guest({ name: "a", autostart: true, atShutdown: "shutdown" });
  const b = await host.guest({ name: "b", atShutdown: "save" });
  const c = await host.guest({ name: "c", autostart: true });
  assertEquals((await client().call("getHost", {})).atShutdown, "save");
  await client().call("changeHost", { body: { atShutdown: "shutdown" } });
  const run = async () => {
    for (const { id } of [a, b, c]) await host.start(id).catch(() => {});
    await shutDown(host);
    const all = await client().call("listGuests", {});
    return all.filter(({ savedAt }) => savedAt !== null).map(({ name }) => name);
  };
  assertEquals(await run(), ["b"]);
  await restart(host);
  assertEquals((await client().call("getHost", {})).atShutdown, "shutdown", "it is kept");
  for (const id of [a.id, b.id, c.id]) assertEquals((await host.get(id)).state, "running");
  host.supervisor.atShutdown.once = "save";
  assertEquals(await run(), ["a", "b", "c"]);
  await restart(host);
  host.supervisor.atShutdown.once = "shutdown";
  assertEquals(await run(), []);
});

Deno.test("a guest that cannot be saved, or not in time, is shut down", async () => {
  await using host = await TestHost.start();
  const fails = await host.guest({ name: "fails", autostart: true, cmdline: "save-fails" });
  const slow = await host.guest({ name: "slow", autostart: true, cmdline: "saves-slowly" });
  await host.start(fails.id);
  await host.start(slow.id);
  const steps = await shutDown(host, { limitSeconds: 60, saveSeconds: 2 });
  assertEquals(steps.at(-1), { done: true, running: [], saving: [], forced: [] });
  for (const { id } of [fails, slow]) {
    const guest = await host.get(id);
    assertEquals([guest.state, guest.savedAt, saved(host, id)], ["stopped", null, []]);
  }
  assertEquals(tasks(host, "save").map(({ state }) => state).sort(), ["cancelled", "failed"]);
});

Deno.test("who does not want to wait for a save has the guest ended, and nothing of it left", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest({ autostart: true, cmdline: "saves-slowly" });
  await host.start(id);
  const first = shutDown(host);
  while (tasks(host, "save").length === 0) await new Promise((r) => setTimeout(r, 5));
  const steps = await shutDown(host, { limitSeconds: 0, saveSeconds: 60 });
  assertEquals(steps.at(-1)!.forced, ["web"]);
  await first;
  assertEquals([(await host.get(id)).savedAt, saved(host, id)], [null, []]);
});

Deno.test("a save that is damaged has the guest boot, and a task tells why", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest({ autostart: true });
  await host.start(id);
  await shutDown(host);
  const [name] = saved(host, id);
  Deno.removeSync(host.path("data/guests", id, "saved", name, "memory/state"));
  await restart(host);
  assertEquals((await host.get(id)).state, "running");
  assert(!(await host.said(id)).includes("once"));
  const [task] = tasks(host, "restore");
  assertEquals(task.state, "failed");
  assertStringIncludes(task.error!, "Cannot use the snapshot");
  assertStringIncludes(task.error!, "It boots instead");
  assertEquals(saved(host, id), []);
});

Deno.test("a VMM that cannot let a saved guest go on has it boot", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest({ autostart: true, cmdline: "no-going-on" });
  await host.start(id);
  await shutDown(host);
  await restart(host);
  assertEquals((await host.get(id)).state, "running");
  assert(!(await host.said(id)).includes("once"));
});

Deno.test("what keeps a guest from any start keeps its save", async () => {
  let memoryMiB = 4096;
  await using host = await TestHost.start({ memoryMiB: () => memoryMiB });
  const { id } = await host.guest({ autostart: true });
  await host.start(id);
  await shutDown(host);
  memoryMiB = 64;
  await restart(host);
  const kept = await host.get(id);
  assertEquals([kept.state, kept.savedAt === null], ["stopped", false]);
  memoryMiB = 4096;
  await host.start(id);
  assertStringIncludes(await host.said(id), "once web");
});

Deno.test("a power cut before the save is written down leaves the guest as after a crash", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest({ autostart: true });
  await host.start(id);
  const process = host.processOf(id);
  // All of the files are there, and nothing says so.
  const folder = host.path("data/guests", id, "saved", "saved-01ARZ3NDEKTSV4RRFFQ69G5FAV");
  Deno.mkdirSync(`${folder}/memory`, { recursive: true });
  await host.down();
  killProcess(process);
  await gone(process);
  await restart(host);
  assertEquals(saved(host, id), []);
  assert(!(await host.said(id)).includes("once"));
});

/** A guest that was saved, and whose VMM is still there: as where the supervisor ends in that moment. */
async function cutOff(host: TestHost): Promise<{ id: string; process: ProcessId }> {
  const { id } = await host.guest({ autostart: true });
  await host.start(id);
  const process = host.processOf(id);
  const [vmm, run] = [host.processFor(id), host.processFor(id).run.file()];
  await host.down();
  await vmm.leftStanding(() => Promise.resolve());
  const name = "saved-01ARZ3NDEKTSV4RRFFQ69G5FAV";
  const memory = host.path("data/guests", id, "saved", name, "memory");
  Deno.mkdirSync(memory, { recursive: true });
  Deno.writeTextFileSync(`${memory}/state`, "web");
  const database = openDatabase(host.path("data/denovisor.db"));
  new SaveStore(database).put({ guest: id, id: name, run });
  database.close();
  return { id, process };
}

Deno.test("a supervisor that finds a saved guest whose VMM runs takes the save back, then lets it go on", async () => {
  await using host = await TestHost.start();
  const { id, process } = await cutOff(host);
  await host.up();
  const found = await host.until(
    id,
    ({ state, pausedFor }) => state === "running" && pausedFor === null,
  );
  assertEquals(found.savedAt, null);
  assertEquals(host.processOf(id), process);
  await host.supervisor.guests.autostart();
  assertEquals([host.processOf(id), saved(host, id)], [process, []]);
  assertEquals(host.names(`run/guests/${id}`).includes("stands_still"), false);
});

Deno.test("a supervisor that finds a saved guest whose VMM has ended has it go on from the save", async () => {
  await using host = await TestHost.start();
  const { id, process } = await cutOff(host);
  await askVmm(host.path("run/guests", id, "control.sock"), { op: "kill" });
  await gone(process);
  await host.up();
  assertEquals((await host.get(id)).savedAt === null, false);
  await host.supervisor.guests.autostart();
  assertStringIncludes(await host.said(id), "once web");
});

Deno.test("a guest that is reverted, or told to boot, does not go on from its save", async () => {
  await using host = await TestHost.start();
  const client = () => host.local.client;
  const { id } = await host.guest({ autostart: true });
  await host.start(id);
  const snapshot = await host.snapshot(id, { name: "then" });
  await shutDown(host);
  await host.down();
  await host.up();
  await host.done(
    client().call("revertGuest", { params: { id, snapshot }, body: { start: false } }),
  );
  const reverted = await host.get(id);
  assertEquals([reverted.savedAt, reverted.resumesFrom], [null, snapshot]);
  await host.start(id);
  await shutDown(host);
  await host.down();
  await host.up();
  assert((await host.get(id)).savedAt !== null);
  assertEquals((await client().call("discardMemory", { params: { id } })).savedAt, null);
  await host.down();
  await host.up();
  await host.supervisor.guests.autostart();
  assert(!(await host.said(id)).includes("once"));
});

Deno.test("guests are back once all that are to be have started, or cannot", async () => {
  await using host = await TestHost.start();
  const { client } = host.local;
  await host.guest({ name: "good", autostart: true, cmdline: "slow" });
  await host.guest({ name: "bad", autostart: true, cmdline: "refuse" });
  const back = async () => (await client.call("getHealth", {})).guestsBack;
  const starting = host.supervisor.guests.autostart();
  assertEquals(await back(), false);
  await starting;
  assertEquals(await back(), true);
});
