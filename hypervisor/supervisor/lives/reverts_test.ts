import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { isAlive, killProcess } from "../../sys/processes.ts";
import { ApiError } from "../api/client.ts";
import type { Guest, Task } from "../api/schemas.ts";
import { openDatabase } from "../store/database.ts";
import { SnapshotStore } from "../store/snapshots.ts";
import { TestHost } from "../testing/test_host.ts";
import { askVmm, statusOf } from "./control_client.ts";

async function refused(promise: Promise<unknown>, code: string): Promise<string> {
  const error = await assertRejects(() => promise, ApiError);
  assertEquals(error.problem.code, code, error.message);
  return error.message;
}

function revert(host: TestHost, id: string, snapshot: string, start?: boolean): Promise<Task> {
  return host.local.client.call("revertGuest", { params: { id, snapshot }, body: { start } });
}

/** Writes to the beginning of a disk. */
function write(path: string, text: string) {
  using file = Deno.openSync(path, { write: true });
  file.writeSync(new TextEncoder().encode(text));
}

const begins = (path: string, length: number) =>
  new TextDecoder().decode(Deno.readFileSync(path).subarray(0, length));

/** A running guest with a disk that says "then", in a snapshot with memory; now it says "next". */
async function reverted(
  host: TestHost,
  cmdline = "",
): Promise<{ guest: Guest; id: string; snapshot: string }> {
  const guest = await host.guest({ disks: [{ sizeMiB: 1 }], cmdline });
  const { id } = guest;
  write(host.diskFile(guest), "then");
  await host.start(id);
  const snapshot = await host.snapshot(id, { name: "then" });
  write(host.diskFile(guest), "next");
  return { guest, id, snapshot };
}

Deno.test("a running guest goes back to a snapshot: disks, settings and memory, but not its name", async () => {
  await using host = await TestHost.start();
  const { id, snapshot, guest } = await reverted(host);
  const { client } = host.local;
  const body = { name: "renamed", autostart: true, cmdline: "later", cpus: 4 };
  await client.call("updateGuest", { params: { id }, body });
  const before = host.processOf(id).pid;
  await host.done(revert(host, id, snapshot));
  const now = await host.get(id);
  assertEquals([now.name, now.autostart, now.cmdline, now.cpus], ["renamed", true, "", 1]);
  assertEquals([now.state, now.resumesFrom, now.pausedFor], ["running", null, null]);
  assertEquals([now.disks[0].id, now.nets[0].mac], [guest.disks[0].id, guest.nets[0].mac]);
  assert(host.processOf(id).pid !== before);
  // On a file of its own, and the old one is gone.
  const used = host.usedDisk(id);
  assert(used !== host.diskFile(guest));
  assertEquals(begins(used, 4), "then");
  assertEquals(host.names(`data/guests/${id}`).length, 2);
  assertStringIncludes(await host.said(id), "once web");
  const config = JSON.parse(Deno.readTextFileSync(host.path("run/guests", id, "config.json")));
  assertEquals(config.disks[0].serial, guest.disks[0].id.slice(-20));
  // And as often as one likes.
  write(used, "more");
  await host.done(revert(host, id, snapshot));
  assertEquals(begins(host.usedDisk(id), 4), "then");
  const tree = await client.call("listSnapshots", { params: { id } });
  assertEquals(tree.current, snapshot);
});

Deno.test("a stopped guest goes back, and is started where it is wanted", async () => {
  await using host = await TestHost.start();
  const guest = await host.guest({ disks: [{ sizeMiB: 1 }], cmdline: "" });
  const { id } = guest;
  const snapshot = await host.snapshot(id, { name: "a" });
  const task = await host.done(revert(host, id, snapshot));
  assertEquals([task.kind, task.unit, task.pauseMs], ["revert", "steps", null]);
  assertEquals((await host.get(id)).state, "stopped");
  await host.done(revert(host, id, snapshot, true));
  assertEquals((await host.get(id)).state, "running");
  assert(!(await host.said(id)).includes("once"));
  await host.done(revert(host, id, snapshot));
  assertEquals((await host.get(id)).state, "running", "it ran before");
  await host.done(revert(host, id, snapshot, false));
  assertEquals((await host.get(id)).state, "stopped");
});

Deno.test("a reverted guest that is not started keeps what it is of the memory's machine", async () => {
  await using host = await TestHost.start();
  const { id, snapshot, guest } = await reverted(host);
  const { client } = host.local;
  const params = { id };
  await refused(client.call("discardMemory", { params }), "wrong_state");
  await host.done(revert(host, id, snapshot, false));
  const stopped = await host.get(id);
  assertEquals([stopped.state, stopped.resumesFrom], ["stopped", snapshot]);
  const told = await refused(
    client.call("updateGuest", { params, body: { cpus: 2 } }),
    "wrong_state",
  );
  assertStringIncludes(told, "Cannot change cpus");
  const disk = { id, disk: guest.disks[0].id };
  await refused(client.call("addDisk", { params, body: { sizeMiB: 1 } }), "wrong_state");
  await refused(client.call("deleteDisk", { params: disk }), "wrong_state");
  await refused(
    client.call("deleteSnapshot", { params: { id, snapshot } }),
    "wrong_state",
  );
  await client.call("updateGuest", {
    params,
    body: { name: "free", cmdline: "", autostart: true },
  });

  await host.down();
  await host.up();
  assertEquals((await host.get(id)).resumesFrom, snapshot, "also for the next supervisor");
  await host.start(id);
  assertStringIncludes(await host.said(id), "once web");
  assertEquals((await host.get(id)).resumesFrom, null);
  await host.stop(id);
  await host.start(id);
  assert(!(await host.said(id)).includes("once"), "once only");

  await host.done(revert(host, id, snapshot, false));
  assertEquals((await host.local.client.call("discardMemory", { params })).resumesFrom, null);
  await host.local.client.call("updateGuest", { params, body: { cpus: 2 } });
  await host.start(id);
  assert(!(await host.said(id)).includes("once"));
});

Deno.test("a start that is refused keeps the memory, and says why", async () => {
  await using host = await TestHost.start();
  const { id, snapshot } = await reverted(host);
  await host.done(revert(host, id, snapshot, false));
  const memory = host.path(`data/guests/${id}/snapshots/${snapshot}/memory`);
  Deno.renameSync(memory, `${memory}.away`);
  const told = await refused(host.start(id), "start_failed");
  assertStringIncludes(told, "Cannot use the snapshot");
  const failed = await host.get(id);
  assertEquals([failed.state, failed.resumesFrom], ["failed", snapshot]);
  Deno.renameSync(`${memory}.away`, memory);
  await host.start(id);
  assertEquals((await host.get(id)).error, null);
});

Deno.test("a VMM that will not let the guest go on leaves it its memory", async () => {
  await using host = await TestHost.start();
  const { id, snapshot } = await reverted(host, "no-going-on");
  const task = await host.ended(await revert(host, id, snapshot));
  assertEquals(task.state, "failed");
  assertStringIncludes(task.error!, 'Cannot let "web" go on: Cannot go on: not here');
  const failed = await host.get(id);
  assertEquals([failed.state, failed.resumesFrom], ["failed", snapshot]);
  host.assertNothingLeft();
});

Deno.test("a guest that has gone on never does so again, whatever becomes of it", async () => {
  await using host = await TestHost.start();
  const { id, snapshot } = await reverted(host);
  await host.done(revert(host, id, snapshot));
  killProcess(host.processOf(id));
  await host.reaches(id, "failed");
  await host.down();
  await host.up();
  assertEquals((await host.get(id)).resumesFrom, null);
  await host.start(id);
  assert(!(await host.said(id)).includes("once"));
});

/** Resolves once a guest's VMM has it ready, and holds it. */
async function held(host: TestHost, id: string) {
  const socket = host.path("run/guests", id, "control.sock");
  while (true) {
    const answer = await askVmm(socket, { op: "status" }).catch(() => null);
    if (answer !== null && statusOf(answer).held) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

for (const isWrittenDown of [false, true]) {
  const when = isWrittenDown ? "after it was written down" : "before that was written down";
  Deno.test(`a guest that is held when its supervisor ends goes on with the next: ${when}`, async () => {
    await using host = await TestHost.start();
    const { id, snapshot } = await reverted(host);
    await host.done(revert(host, id, snapshot, false));
    // From here on nobody looks after its VMM.
    host.supervisor.guests.close();
    await host.start(id);
    await held(host, id);
    assertEquals((await host.get(id)).resumesFrom, snapshot, "nothing of it has run");
    await host.down();
    if (isWrittenDown) {
      const database = openDatabase(host.path("data/denovisor.db"));
      new SnapshotStore(database).setResumesFrom(id, null);
      database.close();
    }
    await host.up();
    await host.reaches(id, "running");
    const { resumesFrom, pausedFor } = await host.get(id);
    assertEquals([resumesFrom, pausedFor], [null, null]);
    assertStringIncludes(await host.said(id), "once web");
  });
}

Deno.test("a guest whose VMM ends while it is held keeps its memory", async () => {
  await using host = await TestHost.start();
  const { id, snapshot } = await reverted(host);
  await host.done(revert(host, id, snapshot, false));
  host.supervisor.guests.close();
  await host.start(id);
  await held(host, id);
  const process = host.processOf(id);
  await host.down();
  killProcess(process);
  while (isAlive(process)) await new Promise((resolve) => setTimeout(resolve, 5));
  await host.up();
  await host.reaches(id, "failed");
  assertEquals((await host.get(id)).resumesFrom, snapshot);
  await host.start(id);
  assertStringIncludes(await host.said(id), "once web");
});

Deno.test("a revert that cannot be is refused before anything is done", async () => {
  await using host = await TestHost.start();
  const guest = await host.guest({ memoryMiB: 3000 });
  const { id } = guest;
  const { client } = host.local;
  const snapshot = await host.snapshot(id, { name: "a" });
  const [{ mac, id: net }] = guest.nets;
  await client.call("deleteNet", { params: { id, net } });
  const other = await host.guest({ name: "other", memoryMiB: 2000, nets: [{ mac }] });
  await refused(revert(host, id, snapshot), "mac_taken");
  await client.call("deleteGuest", { params: { id: other.id } });
  const large = await host.guest({ name: "large", memoryMiB: 2000 });
  await host.start(large.id);
  await refused(revert(host, id, snapshot, true), "not_enough_memory");
  await host.done(revert(host, id, snapshot));
  assertEquals((await host.get(id)).nets[0].mac, mac);
});

Deno.test("files that a revert has made or left behind are swept", async () => {
  await using host = await TestHost.start();
  const guest = await host.guest({ disks: [{ sizeMiB: 1 }] });
  const { id } = guest;
  await host.snapshot(id, { name: "a" });
  await host.down();
  // Cut off before the change of the database; after it, the old file is as foreign.
  Deno.writeTextFileSync(host.path(`data/guests/${id}/01ARZ3NDEKTSV4RRFFQ69G5FAV.img`), "new");
  await host.up();
  assertEquals(host.names(`data/guests/${id}`), [`${guest.disks[0].id}.img`, "snapshots"]);
  assertEquals((await host.get(id)).resumesFrom, null);
});
