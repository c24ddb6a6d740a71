/**
 * Snapshots, reverts and forks with the supervisor and the real VMM, of a guest of a few bytes.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { HAS_KVM } from "../../hypervisor/kvm/testing/has_kvm.ts";
import { DEFAULT_PORTS } from "../../hypervisor/supervisor/api/limits.ts";
import type { Guest, SnapshotCreate, Task } from "../../hypervisor/supervisor/api/schemas.ts";
import { BridgedTaps, tapName } from "../../hypervisor/supervisor/network.ts";
import { hostMemoryMiB } from "../../hypervisor/supervisor/host.ts";
import { TestHost, type TestOptions } from "../../hypervisor/supervisor/testing/test_host.ts";
import { vmmCommand } from "../../hypervisor/supervisor/vmm_command.ts";
import { interfaceExists } from "../../hypervisor/sys/tap.ts";
import { tinyKernel } from "../../hypervisor/vmm/testing/tiny_kernel.ts";
import { TestTap } from "../hostile/test_tap.ts";

const VMM = fromFileUrl(new URL("../../hypervisor/vmm/main.ts", import.meta.url));

const PATIENCE_MS = 60_000;

function test(
  name: string,
  body: (host: TestHost) => Promise<void>,
  { ignore = !HAS_KVM, ...options }: TestOptions & { ignore?: boolean } = {},
) {
  const fn = async () => {
    await using host = await TestHost.start({
      ...options,
      command: vmmCommand(VMM),
      memoryMiB: hostMemoryMiB,
    });
    // Says "hello" when it boots, and after that what it is told, until it is told "q".
    await host.local.client.upload({ kind: "kernel", name: "k" }, tinyKernel("echo"));
    await body(host);
  };
  Deno.test({ name, ignore, fn });
}

/** What a guest has said by the time that it has said `last`, having been told `told`. */
async function heard(host: TestHost, id: string, last: string, told = ""): Promise<string> {
  using control = await host.supervisor.guests.openSerial(id);
  await control.connection.write(new TextEncoder().encode(told));
  const decoder = new TextDecoder();
  let text = decoder.decode(control.lines.rest());
  const late = setTimeout(control.close, PATIENCE_MS);
  while (!text.includes(last)) {
    const more = await control.lines.read().catch(() => null);
    if (more === null) throw new Error(`The guest says no more than ${JSON.stringify(text)}`);
    text += decoder.decode(more);
  }
  clearTimeout(late);
  return text;
}

/** Types at a guest, and returns all that it has said when it has answered. */
function type(host: TestHost, id: string, text: string): Promise<string> {
  return heard(host, id, text, text);
}

/** A guest that runs and has a disk which says "then". */
async function running(host: TestHost): Promise<Guest> {
  const guest = await host.guest({ nets: [], disks: [{ sizeMiB: 1 }] });
  write(host.diskFile(guest), "then");
  await host.start(guest.id);
  await heard(host, guest.id, "hello");
  return guest;
}

function write(path: string, text: string) {
  using file = Deno.openSync(path, { write: true });
  file.writeSync(new TextEncoder().encode(text));
}

const begins = (path: string) => new TextDecoder().decode(Deno.readFileSync(path).subarray(0, 4));

function fork(host: TestHost, id: string, body = {}): Promise<Task> {
  return host.local.client.call("forkGuest", { params: { id }, body });
}

test("a guest goes back to a snapshot of it while it ran, as often as one likes", async (host) => {
  const guest = await running(host);
  const { id } = guest;
  const snapshot = await host.snapshot(id, { name: "then" });
  assertEquals(await type(host, id, "more"), "hello\nmore", "it has gone on");
  write(host.diskFile(guest), "next");
  const params = { id, snapshot };
  for (let times = 0; times < 2; times++) {
    await host.done(host.local.client.call("revertGuest", { params, body: {} }));
    const now = await host.get(id);
    assertEquals([now.state, now.resumesFrom, now.pausedFor], ["running", null, null]);
    // It did not boot, and runs.
    assertEquals(await type(host, id, "again"), "again");
    assertEquals(begins(host.usedDisk(id)), "then");
    write(host.usedDisk(id), "next");
  }
  const task = host.supervisor.tasks.list().find(({ kind }) => kind === "snapshot")!;
  assert(task.pauseMs! > 0 && task.doneAmount > 0);
  // From here on it boots.
  await host.local.client.call("stopGuest", { params: { id }, body: { force: true } });
  await host.reaches(id, "stopped");
  await host.start(id);
  await heard(host, id, "hello");
});

test("a paused guest's snapshot, and what was plugged in, come back", async (host) => {
  const { id } = await running(host);
  const { client } = host.local;
  const params = { id };
  const added = await client.call("addDisk", { params, body: { sizeMiB: 1, name: "late" } });
  const disk = { params: { id, disk: added.disks[1].id } };
  await client.call("plugDisk", disk);
  write(host.diskFile(added, 1), "late");
  await client.call("pauseGuest", { params });
  await host.until(id, ({ pausedFor }) => pausedFor !== null);
  const snapshot = await host.snapshot(id, { name: "plugged" });
  assert((await host.get(id)).pausedFor !== null);
  await client.call("resumeGuest", { params });
  await client.call("unplugDisk", { ...disk, body: { force: true } });
  await host.until(id, ({ disks }) => disks[1].attached === null);
  await client.call("deleteDisk", disk);
  await host.done(client.call("revertGuest", { params: { id, snapshot }, body: {} }));
  const now = await host.get(id);
  assertEquals(now.disks.map(({ name, attached }) => [name, attached]), [
    ["disk", "boot"],
    ["late", "port"],
  ]);
  assertEquals(now.freePorts, DEFAULT_PORTS - 1);
  const { block1 } = await host.processFor(id).devices();
  assertEquals(begins(String(block1.path)), "late");
  assertEquals(await type(host, id, "on"), "on");
});

test("a snapshot whose memory is damaged is refused, and kept to be tried again", async (host) => {
  const { id } = await running(host);
  const snapshot = await host.snapshot(id, { name: "a" });
  const state = host.path(`data/guests/${id}/snapshots/${snapshot}/memory/state`);
  const whole = Deno.readFileSync(state);
  Deno.writeFileSync(state, whole.subarray(0, whole.length - 10));
  const params = { id, snapshot };
  const task = await host.ended(
    await host.local.client.call("revertGuest", { params, body: {} }),
  );
  assertEquals(task.state, "failed");
  const failed = await host.get(id);
  assertEquals([failed.state, failed.resumesFrom], ["failed", snapshot]);
  assert(failed.error!.includes("Cannot use the snapshot"), failed.error!);
  Deno.writeFileSync(state, whole);
  await host.start(id);
  assertEquals(await type(host, id, "on"), "on");
});

test("a running guest's children go on where it was, each for itself", async (host) => {
  const guest = await running(host);
  await type(host, guest.id, "one");
  const task = await host.done(fork(host, guest.id, { count: 3 }));
  assertEquals(task.made.length, 3);
  assert(task.pauseMs! > 0);
  write(host.diskFile(guest), "next");
  for (const id of task.made) {
    // None of them has booted.
    assertEquals(await type(host, id, "two"), "two");
    assertEquals(begins(host.usedDisk(id)), "then");
  }
  assertEquals(await type(host, guest.id, "end"), "hello\noneend");
  assertEquals(host.names("data/guests").sort(), [guest.id, ...task.made].sort());
  // Nobody depends on whom they were made from.
  await host.local.client.call("stopGuest", { params: { id: guest.id }, body: { force: true } });
  await host.reaches(guest.id, "stopped");
  const [child] = task.made;
  assertEquals(await type(host, child, "three"), "twothree");
  const grandchild = await host.done(fork(host, child));
  assertEquals(await type(host, grandchild.made[0], "four"), "four");
});

test("a snapshot's children go on from its memory", async (host) => {
  const { id } = await running(host);
  const snapshot = await host.snapshot(id, { name: "a", template: true });
  const task = await host.done(fork(host, id, { snapshot, count: 2, name: "worker" }));
  for (const child of task.made) {
    assertEquals(await type(host, child, "on"), "on");
    assertEquals(begins(host.usedDisk(child)), "then");
  }
});

test("a snapshot that is given up lets the guest go on, with nothing left", async (host) => {
  const { id } = await running(host);
  const params = { id };
  const task = await host.local.client.call("createSnapshot", { params, body: { name: "a" } });
  host.supervisor.tasks.cancel(task.id);
  assertEquals((await host.ended(task)).state, "cancelled");
  assertEquals(await type(host, id, "on"), "hello\non");
  assertEquals(host.names(`data/guests/${id}/snapshots`), []);
});

test("a guest goes back to a snapshot of which only what had changed was written", async (host) => {
  const { id } = await running(host);
  const written = async (name: string, body: Partial<SnapshotCreate> = {}) => {
    const params = { id };
    const begun = host.local.client.call("createSnapshot", { params, body: { ...body, name } });
    return (await host.done(begun)).doneAmount;
  };
  const whole = await written("a", { incremental: true });
  await type(host, id, "one");
  const changed = await written("b", { incremental: true });
  assert(changed < whole, `${changed} of ${whole}`);
  const idOf = async (wanted: string) => {
    const tree = await host.local.client.call("listSnapshots", { params: { id } });
    return tree.snapshots.find(({ name }) => name === wanted)!.id;
  };
  // Forked, it has other memory, which nobody tracks: the next is whole, in the same task.
  const { made } = await host.done(fork(host, id));
  assertEquals(await type(host, made[0], "two"), "two");
  assertEquals(await type(host, id, "two"), "hello\nonetwo");
  assert(await written("c", { incremental: true }) > changed);
  assert(host.log.some(({ message }) => message === "a guest's memory is saved whole"));

  const snapshot = await idOf("b");
  const params = { id, snapshot: await idOf("a") };
  await host.local.client.call("deleteSnapshot", { params });
  await host.done(host.local.client.call("revertGuest", { params: { id, snapshot }, body: {} }));
  assertEquals(await type(host, id, "again"), "again");
}, { canShare: true });

const hasTaps = () => {
  using tap = TestTap.create();
  return tap !== null;
};

test("a card in a port is exchanged in those who go on, by a tap of their own", async (host) => {
  const { id } = await running(host);
  const { client } = host.local;
  const [net] = (await client.call("addNet", { params: { id }, body: {} })).nets;
  await client.call("plugNet", { params: { id, net: net.id } });
  const { made } = await host.done(fork(host, id, { count: 2, network: "replug" }));
  const macs = new Set([net.mac]);
  for (const child of made) {
    const { nets: [card], freePorts } = await host.get(child);
    assertEquals([card.attached, card.linkUp, freePorts], ["port", true, DEFAULT_PORTS - 1]);
    const { net0 } = await host.processFor(child).devices();
    assertEquals([net0.mac, net0.linkUp], [card.mac, true]);
    assert(interfaceExists(tapName(card.id)));
    macs.add(card.mac);
    assertEquals(await type(host, child, "on"), "on");
  }
  assertEquals(macs.size, 3);
  // Nobody else takes their taps away.
  for (const { id, nets } of await client.call("listGuests", {})) {
    await client.call("stopGuest", { params: { id }, body: { force: true } });
    await host.reaches(id, "stopped");
    assertEquals(interfaceExists(tapName(nets[0].id)), false);
  }
}, { realNetwork: new BridgedTaps({ bridge: null }), ignore: !HAS_KVM || !hasTaps() });

test(
  "so is a card that the guest has in a port since its start, and its own stays",
  async (host) => {
    const { id, nets: [own] } = await host.guest({ disks: [] });
    const { client } = host.local;
    await host.start(id);
    await heard(host, id, "hello");
    const { made: [child] } = await host.done(fork(host, id));
    const { nets: [card] } = await host.get(child);
    assert(card.mac !== own.mac);
    for (const [guest, net] of [[id, own], [child, card]] as const) {
      assertEquals((await host.get(guest)).nets[0].attached, "port");
      const { net0 } = await host.processFor(guest).devices();
      assertEquals([net0.mac, net0.linkUp], [net.mac, true]);
      assert(interfaceExists(tapName(net.id)));
    }
    // By force, as this guest has no driver that would let go of it.
    const params = { id, net: own.id };
    await client.call("unplugNet", { params, body: { force: true } });
    await host.until(id, ({ nets }) => nets[0].attached === null);
    assertEquals(interfaceExists(tapName(own.id)), false);
    assertEquals(await type(host, child, "on"), "on");
  },
  { realNetwork: new BridgedTaps({ bridge: null }), ignore: !HAS_KVM || !hasTaps() },
);
