import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { ApiError } from "../api/client.ts";
import type { ForkCreate, Guest, Task } from "../api/schemas.ts";
import { tapName } from "../network.ts";
import { TestHost } from "../testing/test_host.ts";

async function refused(promise: Promise<unknown>, code: string): Promise<string> {
  const error = await assertRejects(() => promise, ApiError);
  assertEquals(error.problem.code, code, error.message);
  return error.message;
}

function fork(host: TestHost, id: string, body: ForkCreate): Promise<Task> {
  return host.local.client.call("forkGuest", { params: { id }, body });
}

async function children(host: TestHost, task: Task): Promise<Guest[]> {
  const guests = await Promise.all(task.made.map((id) => host.get(id)));
  return guests.sort((a, b) => a.name < b.name ? -1 : 1);
}

const begins = (path: string, length: number) =>
  new TextDecoder().decode(Deno.readFileSync(path).subarray(0, length));

/** A guest whose disk says "mine", with a card that is in no port. */
async function parent(host: TestHost, cmdline = ""): Promise<Guest> {
  const nets = [{ inPort: false }];
  const guest = await host.guest({ disks: [{ sizeMiB: 1, name: "root" }], nets, cmdline });
  using file = Deno.openSync(host.diskFile(guest), { write: true });
  file.writeSync(new TextEncoder().encode("mine"));
  return guest;
}

Deno.test("a stopped guest is forked with its disks, and its children boot", async () => {
  await using host = await TestHost.start();
  const guest = await parent(host);
  const task = await host.done(fork(host, guest.id, { count: 3 }));
  assertEquals([task.kind, task.detail, task.made.length], ["fork", "3 new guests", 3]);
  assertEquals([task.doneAmount, task.totalAmount], [3, 3]);
  const made = await children(host, task);
  assertEquals(made.map(({ name, state }) => [name, state]), [
    ["web-1", "running"],
    ["web-2", "running"],
    ["web-3", "running"],
  ]);
  const macs = new Set([guest, ...made].map(({ nets }) => nets[0].mac));
  assertEquals(macs.size, 4);
  for (const child of made) {
    assert(child.disks[0].id !== guest.disks[0].id);
    assertEquals(begins(host.diskFile(child), 4), "mine");
    assertEquals([child.disks[0].name, child.nets[0].linkUp], ["root", true]);
    // By which the system may know it.
    const path = host.path("run/guests", child.id, "config.json");
    const config = JSON.parse(Deno.readTextFileSync(path));
    assertEquals(config.disks[0].serial, guest.disks[0].id.slice(-20));
    assert(host.network.taps.has(tapName(child.nets[0].id)));
  }
  assertEquals((await host.get(guest.id)).state, "stopped");
  const again = await host.done(fork(host, guest.id, { start: false }));
  assertEquals((await children(host, again)).map(({ name, state }) => [name, state]), [
    ["web-4", "stopped"],
  ]);
});

Deno.test("a snapshot's children go on from its memory, with their links down", async () => {
  await using host = await TestHost.start();
  const guest = await parent(host);
  await host.start(guest.id);
  const snapshot = await host.snapshot(guest.id, { name: "a" });
  await host.stop(guest.id);
  const task = await host.done(fork(host, guest.id, { snapshot, count: 2, name: "worker" }));
  const made = await children(host, task);
  assertEquals(made.map(({ name }) => name), ["worker-1", "worker-2"]);
  for (const child of made) {
    assertEquals([child.state, child.resumesFrom], ["running", null]);
    assertEquals([child.nets[0].linkUp, child.nets[0].restartNeeded], [false, false]);
    assertEquals(begins(host.diskFile(child), 4), "mine");
    const said = await host.said(child.id);
    assertStringIncludes(said, `console of ${child.name}, once web`);
    const tree = await host.local.client.call("listSnapshots", { params: { id: child.id } });
    assertEquals(tree, { guest: child.id, snapshots: [], current: null, base: null });
  }
  const one = await host.done(fork(host, guest.id, { snapshot, name: "solo", start: false }));
  const [solo] = await children(host, one);
  assertEquals([solo.name, solo.state, solo.nets[0].linkUp], ["solo", "stopped", true]);
  await refused(fork(host, guest.id, { snapshot, name: "solo" }), "name_taken");
});

Deno.test("a fork that the host has no memory for is refused before the first", async () => {
  await using host = await TestHost.start({ memoryMiB: () => 500 });
  const guest = await parent(host);
  await refused(fork(host, guest.id, { count: 4 }), "not_enough_memory");
  assertEquals((await host.local.client.call("listGuests", {})).length, 1);
  await host.done(fork(host, guest.id, { count: 3 }));
});

Deno.test("children that cannot start fail the task, and nothing of them is left", async () => {
  await using host = await TestHost.start();
  const guest = await parent(host, "refuse");
  const task = await host.ended(await fork(host, guest.id, { count: 8 }));
  assertEquals([task.state, task.made], ["failed", []]);
  assertStringIncludes(task.error!, "bad magic");
  assertEquals((await host.local.client.call("listGuests", {})).length, 1);
  assertEquals(host.names("data/guests"), [guest.id]);
  host.assertNothingLeft();
});

Deno.test("a running guest that cannot be forked goes on, and what was copied is gone", async () => {
  await using host = await TestHost.start();
  const guest = await parent(host);
  await host.start(guest.id);
  const task = await host.ended(await fork(host, guest.id, {}));
  assertEquals(task.state, "failed");
  assertStringIncludes(task.error!, "it only pretends to have memory");
  assertEquals(host.names("data/guests"), [guest.id]);
  assertEquals((await host.get(guest.id)).state, "running");
  // Its disks alone can be had of it.
  const disks = await host.done(fork(host, guest.id, { start: false }));
  const [child] = await children(host, disks);
  assertEquals([child.state, begins(host.diskFile(child), 4)], ["stopped", "mine"]);
  await host.until(guest.id, ({ pausedFor }) => pausedFor === null);
  assertEquals(host.names("data/guests").sort(), [guest.id, child.id].sort());
});

Deno.test("a fork that is given up keeps those that run, and leaves nothing of the others", async () => {
  await using host = await TestHost.start();
  const guest = await parent(host, "slow");
  const task = await fork(host, guest.id, { count: 12 });
  const unsubscribe = host.supervisor.events.subscribe((change) => {
    if (change.name !== "task" || change.data.made.length === 0 || !change.data.canCancel) return;
    unsubscribe();
    host.supervisor.tasks.cancel(task.id);
  });
  const ended = await host.ended(task);
  assertEquals(ended.state, "cancelled");
  assert(ended.made.length >= 1 && ended.made.length < 12, `${ended.made.length} were made`);
  const guests = await host.local.client.call("listGuests", {});
  assertEquals(guests.length, 1 + ended.made.length);
  for (const child of await children(host, ended)) assertEquals(child.state, "running");
  assertEquals(host.names("run/guests").length, ended.made.length);
  assertEquals(host.names("data/guests").length, 1 + ended.made.length);
});

Deno.test("a long name leaves room for what is put behind it", async () => {
  await using host = await TestHost.start();
  const name = `${"a".repeat(60)}-bc`;
  const guest = await host.guest({ name });
  const task = await host.done(fork(host, guest.id, { start: false }));
  assertEquals((await children(host, task))[0].name, `${"a".repeat(60)}-1`);
});

Deno.test("a VMM that waits is taken for a child, also where it goes on", async () => {
  await using host = await TestHost.start({ poolSize: 1, poolRefillMs: 10 });
  const guest = await parent(host);
  await host.start(guest.id);
  const snapshot = await host.snapshot(guest.id, { name: "a" });
  const waiting = async () => {
    while (true) {
      const [name] = host.names("run/pool");
      if (name !== undefined && host.names(`run/pool/${name}`).includes("control.sock")) {
        return name;
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  const name = await waiting();
  const { pid } = JSON.parse(Deno.readTextFileSync(host.path("run/pool", name, "process.json")));
  const task = await host.done(fork(host, guest.id, { snapshot }));
  assertEquals(host.processOf(task.made[0]).pid, pid);
  assertStringIncludes(await host.said(task.made[0]), "once web");
});

/** The snapshot of a guest with a card in a port. */
async function withCardInPort(
  host: TestHost,
  { cmdline = "", isPlugged = false }: { cmdline?: string; isPlugged?: boolean } = {},
) {
  const { client } = host.local;
  const { id, nets } = await host.guest({ cmdline, ...(isPlugged && { nets: [] }) });
  await host.start(id);
  let [net] = nets;
  if (isPlugged) {
    [net] = (await client.call("addNet", { params: { id }, body: {} })).nets;
    await client.call("plugNet", { params: { id, net: net.id } });
  }
  return { id, net, snapshot: await host.snapshot(id, { name: "a" }) };
}

Deno.test("a card that was plugged in is exchanged in each child, for one of its own", () =>
  exchanges({ isPlugged: true }));

Deno.test("so is one that has been there since the start", () => exchanges({ isPlugged: false }));

async function exchanges(options: { isPlugged: boolean }): Promise<void> {
  await using host = await TestHost.start();
  const { id, net, snapshot } = await withCardInPort(host, options);
  const task = await host.done(fork(host, id, { snapshot, count: 3, network: "replug" }));
  const made = await children(host, task);
  for (const child of made) {
    const [card] = child.nets;
    assertEquals([card.attached, card.linkUp, card.restartNeeded], ["port", true, false]);
    const { net0 } = await host.processFor(child.id).devices();
    assertEquals([net0.mac, net0.linkUp], [card.mac, true]);
    assert(host.network.taps.has(tapName(card.id)));
    // It went on without a link: its parent's addresses were never seen.
    const path = host.path("run/guests", child.id, "config.json");
    const { plugged } = JSON.parse(Deno.readTextFileSync(path));
    assertEquals(plugged.net0.net.linkUp, false);
  }
  assertEquals(new Set([net, ...made.map(({ nets }) => nets[0])].map(({ mac }) => mac)).size, 4);
  // Another supervisor finds it as it is.
  await host.down();
  await host.up();
  await host.reaches(made[0].id, "running");
  assertEquals((await host.get(made[0].id)).nets[0].attached, "port");
  for (const { id } of made) await host.stop(id);
  await host.stop(id);
  host.assertNothingLeft();
}

Deno.test("links of children are as they are wanted, and only a card in a port is exchanged", async () => {
  await using host = await TestHost.start();
  const guest = await parent(host);
  await host.start(guest.id);
  const snapshot = await host.snapshot(guest.id, { name: "a" });
  const told = await refused(
    fork(host, guest.id, { snapshot, network: "replug" }),
    "wrong_state",
  );
  assertStringIncludes(told, guest.nets[0].mac);
  // What boots has addresses of its own anyway.
  await host.done(fork(host, guest.id, { snapshot, network: "replug", start: false }));
  for (const network of ["up", "down"] as const) {
    const task = await host.done(fork(host, guest.id, { snapshot, network }));
    const [child] = await children(host, task);
    assertEquals([child.nets[0].linkUp, child.nets[0].restartNeeded], [network === "up", false]);
    const { net0 } = await host.processFor(child.id).devices();
    assertEquals(net0.linkUp, network === "up");
  }
});

Deno.test("a child whose card cannot be exchanged is not left", async () => {
  await using host = await TestHost.start();
  const { id, snapshot } = await withCardInPort(host, { cmdline: "no-replugging" });
  const task = await host.ended(await fork(host, id, { snapshot }));
  assertEquals([task.state, task.error], ["failed", "Cannot plug a device in: not here"]);
  assertEquals((await host.local.client.call("listGuests", {})).length, 1);
  await host.stop(id);
  host.assertNothingLeft();
});
