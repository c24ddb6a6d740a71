import { assert, assertEquals } from "@std/assert";
import { isAlive, killProcess } from "../../sys/processes.ts";
import { TestHost } from "../testing/test_host.ts";

/** Resolves once the process is gone; its parent, which is this process, sees it as a zombie. */
async function gone(process: { pid: number; startTime: number }) {
  while (isAlive(process)) await new Promise((resolve) => setTimeout(resolve, 5));
}

Deno.test("guests run on while the supervisor is away, and are found again", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest();
  const before = await host.start(id);
  const process = host.processOf(id);
  await host.down();
  assert(isAlive(process));

  await host.up();
  assertEquals(await host.reaches(id, "running"), before);
  const stopped = host.reaches(id, "stopped");
  await host.local.client.call("stopGuest", { params: { id } });
  await stopped;
  host.assertNothingLeft();
});

Deno.test("a guest that powered off meanwhile is stopped", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest();
  await host.start(id);
  const process = host.processOf(id);
  await host.down();
  await host.type(id, "poweroff\n");
  await gone(process);
  await host.up();
  await host.reaches(id, "stopped");
  host.assertNothingLeft();
});

Deno.test("a guest that crashed meanwhile is failed, with what it wrote", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest();
  await host.start(id);
  const process = host.processOf(id);
  await host.down();
  await host.type(id, "crash\n");
  await gone(process);
  await host.up();
  assertEquals((await host.reaches(id, "failed")).error, "typed crash");
  host.assertNothingLeft();
});

Deno.test("a guest that asked for a reboot meanwhile is started again", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest();
  await host.start(id);
  const process = host.processOf(id);
  await host.down();
  await host.type(id, "reboot\n");
  await gone(process);
  await host.up();
  await host.reaches(id, "running");
  assert(host.processOf(id).pid !== process.pid);
});

Deno.test("a guest whose VMM was killed meanwhile is failed", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest();
  await host.start(id);
  const process = host.processOf(id);
  await host.down();
  killProcess(process);
  await gone(process);
  await host.up();
  assert((await host.reaches(id, "failed")).error !== null);
  host.assertNothingLeft();
});

Deno.test("a VMM whose process was not written down yet is found by its socket", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest();
  await host.start(id);
  const process = host.processOf(id);
  await host.down();
  Deno.removeSync(host.path("run/guests", id, "process.json"));
  await host.up();
  await host.reaches(id, "running");
  const stopped = host.reaches(id, "stopped");
  await host.local.client.call("stopGuest", { params: { id } });
  await stopped;
  assertEquals(isAlive(process), false);
  host.assertNothingLeft();
});

Deno.test("what a power cut left half done is swept away", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest({ disks: [{ sizeMiB: 1 }] });
  await host.down();
  Deno.mkdirSync(host.path("data/guests/.new-01ARZ3NDEKTSV4RRFFQ69G5FAV"));
  Deno.mkdirSync(host.path("data/guests/01ARZ3NDEKTSV4RRFFQ69G5FAV"));
  Deno.mkdirSync(host.path("data/guests/.old-01ARZ3NDEKTSV4RRFFQ69G5FAV"));
  Deno.writeTextFileSync(host.path("data/images/disk/.upload-1"), "half");
  Deno.mkdirSync(host.path("run/guests/01ARZ3NDEKTSV4RRFFQ69G5FAV"));
  Deno.writeTextFileSync(host.path("run/guests/01ARZ3NDEKTSV4RRFFQ69G5FAV/process.json"), "{");
  await host.up();
  assertEquals(host.names("data/guests"), [id]);
  assertEquals(host.names("data/images/disk"), []);
  host.assertNothingLeft();
});

Deno.test("two supervisors on the same data are refused", async () => {
  await using host = await TestHost.start();
  const second = new TestHost();
  Deno.removeSync(second.directory);
  Deno.symlinkSync(host.directory, second.directory);
  const error = await second.up().catch((error) => error);
  Deno.removeSync(second.directory);
  assert(error instanceof Error);
  assert(error.message.endsWith("another supervisor runs on it"), error.message);
});

Deno.test("guests that start with the host do, each on its own", async () => {
  await using host = await TestHost.start();
  const good = await host.guest({ name: "good", autostart: true });
  const bad = await host.guest({ name: "bad", autostart: true, cmdline: "refuse" });
  const manual = await host.guest({ name: "manual" });
  await host.supervisor.guests.autostart();
  assertEquals((await host.get(good.id)).state, "running");
  assertEquals((await host.get(bad.id)).state, "failed");
  assertEquals((await host.get(manual.id)).state, "stopped");
});

Deno.test("the host's shutdown presses buttons, ends those that ignore them, and tells so", async () => {
  await using host = await TestHost.start();
  const good = await host.guest({ name: "good" });
  const deaf = await host.guest({ name: "deaf", cmdline: "deaf" });
  await host.start(good.id);
  await host.start(deaf.id);
  const steps = [];
  for await (const step of host.local.client.lines("shutdownHost", { body: { limitSeconds: 1 } })) {
    steps.push(step);
  }
  assertEquals(steps[0], { done: false, running: ["deaf", "good"], saving: [], forced: [] });
  assertEquals(steps.at(-1), { done: true, running: [], saving: [], forced: ["deaf"] });
  host.assertNothingLeft();
  const error = await host.start(good.id).catch((error) => error);
  assertEquals(error.problem.code, "shutting_down");
});
