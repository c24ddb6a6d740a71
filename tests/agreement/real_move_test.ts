/**
 * A guest of a few bytes goes from one supervisor to another, with real VMMs.
 *
 * @module
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { HAS_KVM } from "../../hypervisor/kvm/testing/has_kvm.ts";
import { hostMemoryMiB } from "../../hypervisor/supervisor/host.ts";
import type { DiskTracking } from "../../hypervisor/supervisor/peers/disk_tracking.ts";
import type { TestHost } from "../../hypervisor/supervisor/testing/test_host.ts";
import { TwoHosts, whereabouts } from "../../hypervisor/supervisor/testing/two_hosts.ts";
import { isLocked } from "../../hypervisor/sys/flock.ts";
import { killProcess } from "../../hypervisor/sys/processes.ts";
import { vmmCommand } from "../../hypervisor/supervisor/vmm_command.ts";
import { tinyKernel } from "../../hypervisor/vmm/testing/tiny_kernel.ts";

const VMM = fromFileUrl(new URL("../../hypervisor/vmm/main.ts", import.meta.url));

/** The guest has no driver for its disks, so it writes nothing to them. */
const UNTOUCHED: DiskTracking = {
  start: () => Promise.resolve(),
  changes: () => Promise.resolve([]),
  stop: () => Promise.resolve(),
};

async function hosts({ isShared = false } = {}): Promise<TwoHosts> {
  const options = {
    command: vmmCommand(VMM),
    memoryMiB: hostMemoryMiB,
    moves: { tracking: () => UNTOUCHED },
  };
  const two = await TwoHosts.start({ a: options, b: options, isShared });
  await two.a.local.client.upload({ kind: "kernel", name: "k" }, tinyKernel("echo"));
  await two.a.image("disk", "d", 65536);
  return two;
}

/** A VMM that was killed lets go of its disks when the kernel has cleared it away. */
async function untilFree(path: string): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (isLocked(path)) {
    if (performance.now() > deadline) throw new Error(`"${path}" is still locked`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Types at a guest until it has sent that back. */
async function echoes(host: TestHost, id: string, text: string): Promise<void> {
  using connection = await Deno.connect({
    transport: "unix",
    path: host.path("run/guests", id, "control.sock"),
  });
  await connection.write(new TextEncoder().encode(`{"op":"serial"}\n`));
  const bytes = new Uint8Array(4096);
  let seen = "";
  for (let typed = false; !seen.includes(text);) {
    const count = await connection.read(bytes);
    if (count === null) break;
    seen += new TextDecoder().decode(bytes.subarray(0, count));
    if (!typed) await connection.write(new TextEncoder().encode(text));
    typed = true;
  }
  assertStringIncludes(seen, text);
}

Deno.test({
  name: "a real VMM's guest moves to another host, goes on there, and moves back",
  ignore: !HAS_KVM,
  async fn() {
    await using two = await hosts();
    const { a, b } = two;
    const guest = await a.guest({ nets: [], disks: [{ image: "d" }, { sizeMiB: 1 }], cpus: 2 });
    await a.start(guest.id);
    await echoes(a, guest.id, "here");
    const how = { allowedPauseMs: 1000, compress: "zstd" };
    const task = await two.end(await two.move(guest.id, how));
    assertEquals([task.state, task.error], ["done", null]);
    const { memoryBytes, wireBytes } = task.sent!;
    assertEquals(memoryBytes > 0 && wireBytes < memoryBytes / 2, true, `${wireBytes}`);
    assertEquals(task.pauseMs! > 0 && task.pauseMs! < 30_000, true, `${task.pauseMs} ms`);
    await b.reaches(guest.id, "running");
    await echoes(b, guest.id, "there");
    assertEquals(whereabouts(a, guest.id), { state: "none", hasDisks: false, hasRun: false });
    const [peer] = await b.local.client.call("listPeers", {});
    const back = Promise.withResolvers<void>();
    a.supervisor.events.subscribe((change) => {
      if (change.name === "guest" && change.data.state === "running") back.resolve();
    });
    await b.local.client.call("moveGuest", { params: { id: guest.id }, body: { peer: peer.id } });
    await back.promise;
    await echoes(a, guest.id, "back");
    await b.supervisor.tasks.settled();
    await a.local.client.call("stopGuest", { params: { id: guest.id }, body: { force: true } });
    await a.reaches(guest.id, "stopped");
    assertEquals(Deno.readFileSync(a.diskFile(guest)), new Uint8Array(65536).fill(7));
  },
});

/** Calls `act` in the moment in which the other host has all of the guest, and nobody was told yet. */
function whenDecided(host: TestHost, act: () => void): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const end = host.supervisor.events.subscribe((change) => {
    if (change.name !== "task" || change.data.canCancel) return;
    end();
    act();
    resolve();
  });
  return promise;
}

Deno.test({
  name: "the supervisor goes in the last moment: a real VMM's guest goes on where it was",
  ignore: !HAS_KVM,
  async fn() {
    await using two = await hosts();
    const { a, b } = two;
    const guest = await a.guest({ nets: [], disks: [{ image: "d" }] });
    await a.start(guest.id);
    const gone = whenDecided(a, () => a.supervisor.close());
    await two.move(guest.id);
    await gone;
    await a.down();
    await a.up();
    await a.reaches(guest.id, "running");
    await echoes(a, guest.id, "here");
    while (b.names("data/guests").length > 0) await new Promise((go) => setTimeout(go, 50));
    assertEquals(b.names("run/guests"), []);
  },
});

Deno.test({
  name: "a real VMM is killed in the last moment: one host has its guest, running where it came",
  ignore: !HAS_KVM,
  async fn() {
    await using two = await hosts();
    const { a, b } = two;
    const guest = await a.guest({ nets: [], disks: [{ image: "d" }] });
    await a.start(guest.id);
    void whenDecided(a, () => killProcess(a.processOf(guest.id)));
    const task = await two.end(await two.move(guest.id));
    const nowhere = { state: "none", hasDisks: false, hasRun: false };
    if (task.state === "done") {
      // Its state had gone, too.
      await b.reaches(guest.id, "running");
      await echoes(b, guest.id, "there");
      assertEquals(whereabouts(a, guest.id), nowhere);
    } else {
      await a.reaches(guest.id, "failed");
      while (b.names("data/guests").length > 0) await new Promise((go) => setTimeout(go, 50));
      assertEquals(whereabouts(b, guest.id), nowhere);
    }
  },
});

Deno.test({
  name: "a real VMM's snapshot moves with its guest, which goes on from its memory there",
  ignore: !HAS_KVM,
  async fn() {
    await using two = await hosts();
    const { a, b } = two;
    const guest = await a.guest({ nets: [], disks: [{ image: "d" }] });
    await a.start(guest.id);
    await echoes(a, guest.id, "before");
    const snapshot = await a.snapshot(guest.id, { name: "with memory" });
    const task = await two.end(await two.move(guest.id, { allowedPauseMs: 1000 }));
    assertEquals([task.state, task.error], ["done", null]);
    await b.reaches(guest.id, "running");
    const params = { id: guest.id, snapshot };
    await b.done(b.local.client.call("revertGuest", { params, body: { start: true } }));
    await echoes(b, guest.id, "there");
    const { current } = await b.local.client.call("listSnapshots", { params: { id: guest.id } });
    assertEquals(current, snapshot);
  },
});

Deno.test({
  name:
    "a real VMM's guest moves to a host that sees its disk, which nobody else has at any moment",
  ignore: !HAS_KVM,
  async fn() {
    await using two = await hosts({ isShared: true });
    const { a, b } = two;
    const shared = two.shared!;
    const disks = [{ image: "d", store: "nas" }, { image: "d" }];
    const guest = await a.guest({ nets: [], disks, hotplugPorts: 1 });
    await a.start(guest.id);
    const params = { id: guest.id };
    const more = { name: "plugged", image: "d", store: "nas" };
    const with3 = await a.local.client.call("addDisk", { params, body: more });
    const disk = with3.disks[2].id;
    await a.local.client.call("plugDisk", { params: { id: guest.id, disk } });
    await echoes(a, guest.id, "here");
    const files = [0, 2].map((i) => shared.disk(with3, i));
    const before = files.map((path) => Deno.statSync(path).ino);
    assertEquals(files.map(isLocked), [true, true]);
    const task = await two.end(await two.move(guest.id, { allowedPauseMs: 1000 }));
    assertEquals([task.state, task.error], ["done", null]);
    await b.reaches(guest.id, "running");
    await echoes(b, guest.id, "there");
    assertEquals(files.map((path) => Deno.statSync(path).ino), before);
    assertEquals(files.map(isLocked), [true, true]);
    assertEquals(b.names(`data/guests/${guest.id}`), [`${guest.disks[1].id}.img`]);
    assertEquals(whereabouts(a, guest.id), { state: "none", hasDisks: false, hasRun: false });
    // Also where only the VMM is left.
    await b.down();
    assertEquals(files.map(isLocked), [true, true]);
    await b.up();
    await b.reaches(guest.id, "running");
    killProcess(b.processOf(guest.id));
    await b.reaches(guest.id, "failed");
    for (const path of files) await untilFree(path);
    for (const path of files) assertEquals(Deno.readFileSync(path), new Uint8Array(65536).fill(7));
    await b.local.client.call("deleteGuest", { params });
    assertEquals(shared.names(), []);
  },
});

Deno.test({
  name:
    "a real VMM is killed in the last moment: its disk is there, and locked where the guest runs",
  ignore: !HAS_KVM,
  async fn() {
    await using two = await hosts({ isShared: true });
    const { a, b } = two;
    const guest = await a.guest({ nets: [], disks: [{ image: "d", store: "nas" }] });
    await a.start(guest.id);
    void whenDecided(a, () => killProcess(a.processOf(guest.id)));
    const task = await two.end(await two.move(guest.id));
    const isThere = task.state === "done";
    if (isThere) await b.reaches(guest.id, "running");
    else await a.reaches(guest.id, "failed");
    const path = two.shared!.disk(guest, 0);
    if (isThere) assertEquals(isLocked(path), true);
    else await untilFree(path);
    assertEquals(Deno.readFileSync(path), new Uint8Array(65536).fill(7));
    if (!isThere) assertEquals((await a.start(guest.id)).state, "running");
  },
});
