/** A guest's snapshots go along with it. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import type { Guest, SnapshotTree } from "../api/schemas.ts";
import { copyData } from "../../sys/reflink.ts";
import { snapshotsAt, until } from "../testing/move_cuts.ts";
import type { TestHost } from "../testing/test_host.ts";
import { TwoHosts, whereabouts } from "../testing/two_hosts.ts";

const NOWHERE = { state: "none", hasDisks: false, hasRun: false };

/** As a file system that shares blocks would, on one that does not. */
function pretendToShare() {
  let count = 0;
  const share = (target: number, source: number) => {
    count++;
    for (const _ of copyData(source, target));
    return true;
  };
  return { share, count: () => count };
}

function tree(host: TestHost, { id }: Guest): Promise<SnapshotTree> {
  return host.local.client.call("listSnapshots", { params: { id } });
}

/** All files of a guest's snapshots, by their paths in its directory. */
function filesOf(host: TestHost, { id }: Guest): Map<string, string> {
  const files = new Map<string, string>();
  const read = (path: string) => {
    for (const { name, isDirectory } of Deno.readDirSync(host.path("data/guests", id, path))) {
      if (isDirectory) read(`${path}/${name}`);
      else {
        const bytes = Deno.readFileSync(host.path("data/guests", id, path, name));
        files.set(`${path}/${name}`, `${bytes.length}: ${bytes.toHex().replace(/0+$/, "")}`);
      }
    }
  };
  read("snapshots");
  return files;
}

/** What a guest's first disk has, which a revert gave another file. */
function diskOf(host: TestHost, { id }: Guest): Uint8Array {
  const { store, disks } = host.supervisor.guests.ground;
  return Deno.readFileSync(disks.path(id, store.get(id)!.disks[0]));
}

/** A guest with three snapshots, of which two come from the first. */
async function withHistory(hosts: TwoHosts): Promise<Guest> {
  const { a } = hosts;
  const guest = await hosts.guest();
  await a.type(guest.id, "write 0 512 first\n");
  const first = await a.snapshot(guest.id, { name: "first, with memory" });
  await a.type(guest.id, "write 0 1024 second\n");
  await a.snapshot(guest.id, { name: "second", memory: false, template: true });
  const params = { id: guest.id, snapshot: first };
  await a.done(a.local.client.call("revertGuest", { params, body: { start: true } }));
  await a.type(guest.id, "write 0 0 third\n");
  await a.snapshot(guest.id, { name: "third", description: "of a branch, with memory" });
  await a.type(guest.id, "write 0 2048 now\n");
  return await a.get(guest.id);
}

for (const isShared of [false, true]) {
  const how = isShared ? "as what differs from the one before" : "whole";
  Deno.test(`snapshots move with their guest, ${how}`, async () => {
    const { share, count } = pretendToShare();
    await using hosts = await TwoHosts.start({
      b: isShared ? { moves: { share }, canShare: true } : { canShare: false },
    });
    const { a, b } = hosts;
    const guest = await withHistory(hosts);
    const before = { tree: await tree(a, guest), files: filesOf(a, guest) };
    const disk = diskOf(a, guest);
    assertEquals(before.tree.snapshots.length, 3);
    const task = await hosts.end(await hosts.move(guest.id));
    assertEquals([task.state, task.error], ["done", null]);
    await b.reaches(guest.id, "running");
    assertEquals(await tree(b, guest), before.tree);
    assertEquals(filesOf(b, guest), before.files);
    assertEquals(diskOf(b, guest), disk);
    // The second's disk, the third's and its memory's three files, and the
    // guest's own.
    assertEquals(count(), isShared ? 1 + 4 + 1 : 0);
    assertEquals(whereabouts(a, guest.id), NOWHERE);
    assertEquals(snapshotsAt(b, guest.id), ["first, with memory", "second", "third"]);

    const [first] = before.tree.snapshots;
    const params = { id: guest.id, snapshot: first.id };
    await b.done(b.local.client.call("revertGuest", { params, body: { start: true } }));
    assertStringIncludes(await b.said(guest.id), "once web");
    assertEquals((await tree(b, guest)).current, first.id);
    await b.down();
    await b.up();
    assertEquals((await tree(b, guest)).snapshots, before.tree.snapshots);
  });
}

Deno.test("a snapshot's kernel goes along, and has another name where its own is taken", async () => {
  await using hosts = await TwoHosts.start();
  const { a, b } = hosts;
  await b.image("kernel", "k", 8192);
  const guest = await hosts.guest();
  const snapshot = await a.snapshot(guest.id, { name: "old kernel" });
  await a.image("kernel", "new", 5000);
  const { client } = a.local;
  await client.call("updateGuest", { params: { id: guest.id }, body: { kernel: "new" } });
  const task = await hosts.end(await hosts.move(guest.id));
  assertEquals([task.state, task.error], ["done", null]);
  await b.reaches(guest.id, "running");
  const kernels = b.names("data/images/kernel");
  assertEquals(kernels.length, 3);
  const params = { id: guest.id, snapshot };
  await b.done(b.local.client.call("revertGuest", { params, body: { start: true } }));
  const { kernel } = await b.get(guest.id);
  assertEquals(/^k-[0-9a-f]{12}$/.test(kernel) && kernels.includes(kernel), true, kernel);
});

Deno.test("snapshots can be left out, and are gone once the guest has moved", async () => {
  await using hosts = await TwoHosts.start();
  const { a, b } = hosts;
  const guest = await withHistory(hosts);
  const task = await hosts.end(await hosts.move(guest.id, { withoutSnapshots: true }));
  assertEquals([task.state, task.error], ["done", null]);
  await b.reaches(guest.id, "running");
  assertEquals(await tree(b, guest), { guest: guest.id, snapshots: [], current: null, base: null });
  assertEquals(snapshotsAt(b, guest.id), []);
  assertEquals(whereabouts(a, guest.id), NOWHERE);
});

Deno.test("limits hold for snapshots too: it is given up in time, and can move after all", async () => {
  await using hosts = await TwoHosts.start();
  const { a, b } = hosts;
  const guest = await withHistory(hosts);
  const before = await tree(a, guest);
  const settings = { bytesPerSecond: 1000, withinSeconds: 1 };
  const task = await hosts.end(await hosts.move(guest.id, settings));
  assertEquals([task.state, task.error], ["failed", "It has taken 1 s"]);
  assertEquals(task.phase, "Copying snapshots");
  assertEquals(await tree(a, guest), before);
  await until(() => b.names("data/guests").length === 0, "the other host lets go of it");
  assertEquals(await hosts.end(await hosts.move(guest.id)).then((it) => it.state), "done");
  assertEquals((await tree(b, guest)).snapshots, before.snapshots);
});
