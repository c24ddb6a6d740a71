import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { ApiError } from "../api/client.ts";
import type { CloudInitUpdate, ForkCreate, Guest } from "../api/schemas.ts";
import { textsIn } from "../testing/iso_reader.ts";
import { TestHost } from "../testing/test_host.ts";

const SCRIPT = "#!/bin/sh\necho hello\n";

const seedPath = (host: TestHost, id: string) => host.path("run/guests", id, "cidata.iso");

/** What the system of a guest that runs finds. */
function told(host: TestHost, id: string): Record<string, string> {
  return textsIn(Deno.readFileSync(seedPath(host, id)));
}

function metaData({ instanceId, hostname }: NonNullable<Guest["cloudInit"]>): string {
  return `instance-id: "${instanceId}"\nlocal-hostname: "${hostname}"\n`;
}

/** The disks that a guest's VMM was told of. */
function disksOf(host: TestHost, id: string): { path: string; [field: string]: unknown }[] {
  return JSON.parse(Deno.readTextFileSync(host.path("run/guests", id, "config.json"))).disks;
}

function change(host: TestHost, id: string, cloudInit: CloudInitUpdate | null): Promise<Guest> {
  return host.local.client.call("updateGuest", { params: { id }, body: { cloudInit } });
}

async function forked(host: TestHost, id: string, body: ForkCreate = {}): Promise<Guest> {
  const task = await host.done(host.local.client.call("forkGuest", { params: { id }, body }));
  return await host.get(task.made[0]);
}

Deno.test("a guest's last disk tells its system who it is", async () => {
  await using host = await TestHost.start();
  const { id, cloudInit } = await host.guest({
    disks: [{ sizeMiB: 1 }],
    cloudInit: { userData: SCRIPT, networkConfig: "version: 2\n" },
  });
  assert(cloudInit !== null);
  const { instanceId, ...facts } = cloudInit;
  assert(instanceId.length > 20);
  assertEquals(facts, {
    ...{ hostname: "web", userDataBytes: SCRIPT.length, networkConfigBytes: 11, sshKeys: 0 },
  });
  const all = await host.local.client.call("getCloudInit", { params: { id } });
  assertEquals([all.instanceId, all.hostname, all.userData], [instanceId, null, SCRIPT]);
  await host.start(id);
  const [, last, ...more] = disksOf(host, id);
  assertEquals([last, more], [
    { path: seedPath(host, id), serial: "cidata", readonly: true },
    [],
  ]);
  assertEquals(told(host, id), {
    "meta-data": metaData(cloudInit),
    "network-config": "version: 2\n",
    "user-data": SCRIPT,
  });
  assertEquals(Deno.statSync(seedPath(host, id)).mode! & 0o777, 0o600);
  // What is plugged in has another name than that disk, which the guest does not have among its own.
  assertEquals(host.processFor(id).run.nextName("disk"), "block2");
  const { disks } = await host.local.client.call("addDisk", {
    params: { id },
    body: { sizeMiB: 1 },
  });
  const params = { id, disk: disks[1].id };
  await host.local.client.call("plugDisk", { params });
  assertEquals(host.processFor(id).run.find(params.disk)?.name, "block2");
  await host.stop(id);
  host.assertNothingLeft();
});

Deno.test("a guest without one has no such disk, and tells so", async () => {
  await using host = await TestHost.start();
  const { id, cloudInit } = await host.guest();
  assertEquals(cloudInit, null);
  await host.start(id);
  assertEquals([disksOf(host, id), host.names(`run/guests/${id}`).includes("cidata.iso")], [
    [],
    false,
  ]);
  const asked = host.local.client.call("getCloudInit", { params: { id } });
  const { problem } = await assertRejects(() => asked, ApiError);
  assertEquals(problem.code, "not_found");
});

Deno.test("what is changed is told at the next start, to the same instance or a new one", async () => {
  await using host = await TestHost.start();
  const before = await host.guest({ cloudInit: { userData: SCRIPT } });
  const { id } = before;
  await host.start(id);
  const running = told(host, id);
  const changed = await change(host, id, { hostname: "db", sshKeys: [] });
  assertEquals(changed.pending, ["cloudInit.hostname"]);
  assertEquals(changed.cloudInit, { ...before.cloudInit!, hostname: "db" });
  assertEquals(told(host, id), running);
  await change(host, id, { hostname: null });
  const renamed = await host.local.client.call("updateGuest", {
    params: { id },
    body: { name: "other" },
  });
  assertEquals([renamed.pending, renamed.cloudInit!.hostname], [["cloudInit.hostname"], "other"]);
  await host.stop(id);
  await host.start(id);
  const again = await host.get(id);
  assertEquals([again.pending, told(host, id)["meta-data"]], [[], metaData(again.cloudInit!)]);
  assertEquals(again.cloudInit!.instanceId, before.cloudInit!.instanceId);

  const renewed = await change(host, id, { newInstance: true });
  assert(renewed.cloudInit!.instanceId !== before.cloudInit!.instanceId);
  assertEquals([renewed.pending, renewed.cloudInit!.userDataBytes], [
    ["cloudInit.instanceId"],
    SCRIPT.length,
  ]);
  const without = await change(host, id, null);
  assertEquals([without.cloudInit, without.pending], [null, ["cloudInit"]]);
  await host.stop(id);
  await host.start(id);
  assertEquals([disksOf(host, id), (await host.get(id)).pending], [[], []]);
  // One that it gets later is pending as a whole.
  assertEquals((await change(host, id, {})).pending, ["cloudInit"]);
});

Deno.test("a network configuration that cannot be one is refused, and changes nothing", async () => {
  await using host = await TestHost.start();
  const networkConfig = "version: 2\nethernets: [eth0]\n";
  const refusal = await assertRejects(() => host.guest({ cloudInit: { networkConfig } }), ApiError);
  assertEquals(refusal.problem.code, "invalid_body");
  const [{ path, message }] = refusal.problem.fields!;
  assertEquals(path, "cloudInit.networkConfig");
  assertStringIncludes(message, "line 2: ethernets must have names");
  assertEquals(host.names("data/guests"), []);
  const { id } = await host.guest({ cloudInit: {} });
  await assertRejects(() => change(host, id, { networkConfig }), ApiError, "line 2");
  assertEquals((await host.get(id)).cloudInit!.networkConfigBytes, null);
});

Deno.test("a reboot makes the disk anew, and another supervisor knows what is on it", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest({ cloudInit: {}, cmdline: "reboot-on-button" });
  await host.start(id);
  await host.down();
  await host.up();
  await host.reaches(id, "running");
  await change(host, id, { hostname: "db" });
  assertEquals((await host.get(id)).pending, ["cloudInit.hostname"]);
  await host.type(id, "reboot\n");
  await host.until(id, ({ pending, state }) => state === "running" && pending.length === 0);
  assertStringIncludes(told(host, id)["meta-data"], '"db"');
});

Deno.test("a revert keeps the instance, and what the memory it goes on from knew", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest({ cloudInit: { userData: SCRIPT } });
  await host.start(id);
  const before = Deno.readFileSync(seedPath(host, id));
  const { cloudInit } = await host.get(id);
  const snapshot = await host.snapshot(id, { name: "then" });
  await change(host, id, { userData: null, newInstance: true });
  const body = { name: "renamed" };
  await host.local.client.call("updateGuest", { params: { id }, body });
  const params = { id, snapshot };
  await host.done(host.local.client.call("revertGuest", { params, body: {} }));
  assertEquals(Deno.readFileSync(seedPath(host, id)), before);
  const now = await host.get(id);
  assertEquals([now.name, now.cloudInit], ["renamed", { ...cloudInit!, hostname: "renamed" }]);
  assertEquals(now.pending, ["cloudInit.hostname"]);
});

Deno.test("whoever is made of a guest is another instance, called by its own name", async () => {
  await using host = await TestHost.start();
  const parent = await host.guest({ cloudInit: { userData: SCRIPT, hostname: "db" } });
  const { id } = parent;
  const boots = await forked(host, id);
  assertEquals(boots.cloudInit!.hostname, "web-1");
  assertEquals(told(host, boots.id), {
    "meta-data": metaData(boots.cloudInit!),
    "user-data": SCRIPT,
  });
  await host.start(id);
  const snapshot = await host.snapshot(id, { name: "then", template: true });
  // What it is to have later is not what its memory knows.
  await change(host, id, { userData: null });
  const goesOn = await forked(host, id, { snapshot, name: "worker" });
  assertStringIncludes(await host.said(goesOn.id), "once web");
  assertEquals(told(host, goesOn.id), {
    "meta-data": metaData(goesOn.cloudInit!),
    "user-data": SCRIPT,
  });
  assertEquals([goesOn.cloudInit!.hostname, goesOn.pending], ["worker", []]);
  const later = await forked(host, id, { snapshot, name: "later", start: false });
  const all = [parent, boots, goesOn, later].map(({ cloudInit }) => cloudInit!.instanceId);
  assertEquals(new Set(all).size, 4);
  assertEquals((await host.get(id)).cloudInit!.instanceId, parent.cloudInit!.instanceId);
});
