import { assert, assertEquals, assertRejects } from "@std/assert";
import { isAlive } from "../../sys/processes.ts";
import { ApiError } from "../api/client.ts";
import type { Task } from "../api/schemas.ts";
import { fakeVmm, TestHost } from "../testing/test_host.ts";
import { VERSION } from "../version.ts";
import { openControl } from "./control_client.ts";
import { Heir } from "./heir.ts";
import type { VmmPool } from "./vmm_pool.ts";

async function running(cmdline = "", options = {}): Promise<{ host: TestHost; id: string }> {
  const host = await TestHost.start(options);
  const { id } = await host.guest({ cmdline });
  await host.start(id);
  return { host, id };
}

function begin(host: TestHost, id: string): Promise<Task> {
  return host.local.client.call("upgradeGuest", { params: { id } });
}

/** The task, once it has ended. */
async function ended(host: TestHost, { id }: Task): Promise<Task> {
  while (host.supervisor.tasks.get(id).state === "running") {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return host.supervisor.tasks.get(id);
}

async function phase(host: TestHost, { id }: Task, text: string) {
  while (host.supervisor.tasks.get(id).phase !== text) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

Deno.test("a guest goes on in another VMM, and nobody takes that for its end", async () => {
  const { host, id } = await running();
  await using _ = host;
  const before = await host.get(id);
  const [old, states] = [host.processOf(id), new Set<string>()];
  const unsubscribe = host.supervisor.events.subscribe(({ name, data }) => {
    if (name === "guest") states.add((data as { state: string }).state);
  });
  await host.type(id, "typed before");
  const task = await begin(host, id);
  assertEquals([task.kind, task.guest, task.detail], ["upgrade", id, VERSION]);
  const { state, error, pauseMs } = await ended(host, task);
  assertEquals([state, error, pauseMs], ["done", null, 1.5]);
  assert(host.processOf(id).pid !== old.pid);
  assertEquals(isAlive(old), false);
  assertEquals(host.names(`run/guests/${id}`).includes("next"), false);
  // All that is told of it is as it was.
  assertEquals(await host.until(id, ({ vmmVersion }) => vmmVersion !== null), before);
  states.delete("running");
  assertEquals([...states], []);
  unsubscribe();
  // Its console has what was sent before, and it is looked after as any other.
  await host.type(id, "typed after");
  await host.down();
  await host.up();
  assertEquals(await host.reaches(id, "running"), before);
  await host.stop(id);
  host.assertNothingLeft();
});

Deno.test("a VMM that waits is taken for it", async () => {
  const { host, id } = await running("", { poolSize: 1, poolRefillMs: 10 });
  await using _ = host;
  while (!host.names("run/pool").some((name) => host.names(`run/pool/${name}`).length > 2)) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const [waits] = host.names("run/pool");
  const { pid } = JSON.parse(Deno.readTextFileSync(host.path("run/pool", waits, "process.json")));
  assertEquals((await ended(host, await begin(host, id))).state, "done");
  assertEquals(host.processOf(id).pid, pid);
  await host.stop(id);
});

Deno.test("where it cannot be, the guest goes on as before, and nothing else is left", async () => {
  const { host, id } = await running("no-upgrade");
  await using _ = host;
  const before = await host.get(id);
  const old = host.processOf(id);
  const { state, error } = await ended(host, await begin(host, id));
  assertEquals([state, error], ["failed", "Cannot upgrade the guest: it was told not to"]);
  assertEquals([await host.get(id), host.processOf(id)], [before, old]);
  assertEquals(host.names(`run/guests/${id}`).includes("next"), false);
  await host.stop(id);
  host.assertNothingLeft();
});

Deno.test("it can be given up, and with the supervisor it is", async () => {
  const { host, id } = await running("stuck-upgrade");
  await using _ = host;
  const old = host.processOf(id);
  const task = await begin(host, id);
  const busy = await assertRejects(() => begin(host, id), ApiError);
  assertEquals(busy.problem.code, "busy");
  await phase(host, task, "Starting a new VMM");
  while (!host.names(`run/guests/${id}/next`).includes("upgrade.sock")) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await new Promise((resolve) => setTimeout(resolve, 100));
  host.supervisor.tasks.cancel(task.id);
  assertEquals((await ended(host, task)).state, "cancelled");
  assertEquals(host.names(`run/guests/${id}`).includes("next"), false);

  await begin(host, id);
  while (!host.names(`run/guests/${id}`).includes("next")) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await host.down();
  await host.supervisor.tasks.settled();
  await host.up();
  await host.reaches(id, "running");
  assertEquals(host.processOf(id), old);
  assertEquals(host.names(`run/guests/${id}`).includes("next"), false);
  await host.stop(id);
});

/** The VMM that is to go on with a guest, of a supervisor that was killed in the middle. */
async function orphanedHeir(host: TestHost, id: string): Promise<Heir> {
  await host.down();
  const pool = { take: () => null } as unknown as VmmPool;
  const heir = Heir.start(host.path("run/guests", id), {
    ...{ command: fakeVmm, pool, cgroup: "denovisor" },
  });
  await heir.expect(new AbortController().signal);
  return heir;
}

Deno.test("a supervisor that comes later finds the VMM that the guest went on in", async () => {
  const { host, id } = await running();
  await using _ = host;
  const [before, old] = [await host.get(id), host.processOf(id)];
  const heir = await orphanedHeir(host, id);
  const control = host.path("run/guests", id, "control.sock");
  {
    using told = await openControl(control, { op: "upgrade", socket: heir.socket });
    while (await told.lines.next() !== null);
  }
  assertEquals(host.processOf(id), old);
  await host.up();
  assertEquals(await host.reaches(id, "running"), before);
  assertEquals(host.processOf(id), heir.id);
  assertEquals(host.names(`run/guests/${id}`).includes("next"), false);
  await host.stop(id);
  host.assertNothingLeft();
});

Deno.test("and the one before, where it had not been told", async () => {
  const { host, id } = await running();
  await using _ = host;
  const [before, old] = [await host.get(id), host.processOf(id)];
  const heir = await orphanedHeir(host, id);
  await host.up();
  assertEquals(await host.reaches(id, "running"), before);
  assertEquals([host.processOf(id), heir.isAlive], [old, false]);
  assertEquals(host.names(`run/guests/${id}`).includes("next"), false);
  await host.stop(id);
});

Deno.test("a guest that is forced off meanwhile is off", async () => {
  const { host, id } = await running("stuck-upgrade");
  await using _ = host;
  const task = await begin(host, id);
  await phase(host, task, "Starting a new VMM");
  const stopped = host.reaches(id, "stopped");
  await host.local.client.call("stopGuest", { params: { id }, body: { force: true } });
  await stopped;
  assert((await ended(host, task)).state !== "done");
  host.assertNothingLeft();
});

Deno.test("a guest that does not run is refused", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest();
  const error = await assertRejects(() => begin(host, id), ApiError);
  assertEquals(error.problem.code, "wrong_state");
});
