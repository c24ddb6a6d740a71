/** Guests with disks on storage that both hosts of a move see, and with some that only one of them sees. */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { killProcess } from "../../sys/processes.ts";
import { close, O_RDWR, open } from "../../sys/files.ts";
import { tryLock } from "../../sys/flock.ts";
import { ApiError } from "../api/client.ts";
import type { Guest, UnsettledMove } from "../api/schemas.ts";
import {
  cutOff,
  ends,
  isDecided,
  NOWHERE,
  OFF,
  restart,
  RUNS,
  until,
} from "../testing/move_cuts.ts";
import type { TestHost } from "../testing/test_host.ts";
import { SharedDirectory, TwoHosts, whereabouts } from "../testing/two_hosts.ts";
import { PeerError } from "./frames.ts";

const BYTES = new Uint8Array(65536).fill(7);

function start(): Promise<TwoHosts> {
  return TwoHosts.start({ isShared: true });
}

async function refused(act: () => Promise<unknown>): Promise<string> {
  return (await assertRejects(act, ApiError)).problem.message;
}

function moves(host: TestHost): Promise<UnsettledMove[]> {
  return host.local.client.call("listMoves", {});
}

async function resolve(host: TestHost, runs: "here" | "there"): Promise<void> {
  const [{ id }] = await moves(host);
  await host.local.client.call("resolveMove", { params: { id }, body: { runs, confirm: "web" } });
}

const inode = (path: string) => Deno.statSync(path).ino;

Deno.test("a disk that both hosts see stays where it is, and the others go", async () => {
  await using hosts = await start();
  const { a, b } = hosts;
  const shared = hosts.shared!;
  const guest = await hosts.guest("writes");
  const before = inode(shared.disk(guest));
  const task = await hosts.end(await hosts.move(guest.id));
  assertEquals([task.state, task.error], ["done", null]);
  assertEquals(inode(shared.disk(guest)), before);
  const there = await b.reaches(guest.id, "running");
  assertEquals(there.disks.map(({ store }) => store), [null, "fast"]);
  assertEquals(b.names(`data/guests/${guest.id}`), [`${guest.disks[0].id}.img`]);
  assertEquals(b.usedDisk(guest.id, 1).startsWith(shared.elsewhere), true);
  const disk = BYTES.slice();
  disk.set(new TextEncoder().encode("the last of it"), 4096);
  assertEquals(Deno.readFileSync(b.diskFile(there)), disk);
  await ends(hosts, guest, { a: NOWHERE, b: RUNS });
  // And back, where it is known by the other name.
  const [peer] = b.supervisor.peers.list();
  const params = { id: guest.id };
  await b.done(b.local.client.call("moveGuest", { params, body: { peer: peer.id } }));
  await a.reaches(guest.id, "running");
  await ends(hosts, guest, { a: RUNS, b: NOWHERE });
  await a.stop(guest.id);
  await a.local.client.call("deleteGuest", { params });
  assertEquals(shared.names(), []);
});

Deno.test("a guest of whose disks none has to go moves without a byte of them", async () => {
  await using hosts = await start();
  const { a, b } = hosts;
  await a.image("disk", "d", BYTES.length);
  const guest = await a.guest({ disks: [{ image: "d", store: "nas" }] });
  await a.start(guest.id);
  const task = await hosts.end(await hosts.move(guest.id));
  assertEquals([task.state, task.error], ["done", null]);
  assertEquals(b.names(`data/guests/${guest.id}`), []);
  await b.reaches(guest.id, "running");
  assertEquals(Deno.readFileSync(hosts.shared!.disk(guest, 0)), BYTES);
});

Deno.test("snapshots of such a disk stay where it is; without them, they are deleted there", async () => {
  await using hosts = await start();
  const { a, b } = hosts;
  const shared = hosts.shared!;
  const guest = await hosts.guest("", { snapshots: ["one", "two"] });
  const inodes = shared.names().map((name) => inode(join(shared.path, name)));
  assertEquals(inodes.length, 3);
  assertEquals((await hosts.end(await hosts.move(guest.id))).error, null);
  await ends(hosts, guest, { a: NOWHERE, b: RUNS, snapshots: ["one", "two"] });
  assertEquals(shared.names().map((name) => inode(join(shared.path, name))), inodes);
  const [{ id: snapshot }] = b.supervisor.guests.ground.snapshots.list(guest.id);
  const params = { id: guest.id, snapshot };
  await b.done(b.local.client.call("revertGuest", { params, body: { start: true } }));
  assertEquals(Deno.readFileSync(b.usedDisk(guest.id, 1)), BYTES);
  const [peer] = b.supervisor.peers.list();
  const body = { peer: peer.id, withoutSnapshots: true };
  await b.done(b.local.client.call("moveGuest", { params: { id: guest.id }, body }));
  await a.reaches(guest.id, "running");
  await until(() => shared.names().length === 1, "its snapshots' end");
  assertEquals(Deno.readFileSync(a.usedDisk(guest.id, 1)), BYTES);
});

Deno.test("a disk on a store that the other host does not see goes there, and is no more here", async () => {
  await using hosts = await TwoHosts.start({ isShared: true, b: { stores: [] } });
  const { b } = hosts;
  const guest = await hosts.guest("", { snapshots: ["one"] });
  const task = await hosts.end(await hosts.move(guest.id));
  assertEquals([task.state, task.error], ["done", null]);
  const there = await b.reaches(guest.id, "running");
  assertEquals(there.disks.map(({ store }) => store), [null, null]);
  for (const i of [0, 1]) assertEquals(Deno.readFileSync(b.diskFile(there, i)), BYTES);
  const [snapshot] = b.names(`data/guests/${guest.id}/snapshots`);
  assertEquals(b.names(`data/guests/${guest.id}/snapshots/${snapshot}`), [
    "disk.img",
    "shared.img",
  ]);
  await until(() => hosts.shared!.names().length === 0, "what is left here");
});

Deno.test("it stays here where it does not move after all", async () => {
  await using hosts = await TwoHosts.start({ isShared: true, b: { stores: [] } });
  const guest = await hosts.guest("changes-its-mind", { snapshots: ["one"] });
  const task = await hosts.end(await hosts.move(guest.id));
  assertEquals(task.state, "failed");
  await ends(hosts, guest, { a: RUNS, b: NOWHERE, snapshots: ["one"] });
  await restart(hosts.a);
  await ends(hosts, guest, { a: RUNS, b: NOWHERE, snapshots: ["one"] });
});

Deno.test("a copy of the storage is not the storage", async () => {
  using copy = new SharedDirectory();
  await using hosts = await TwoHosts.start({ isShared: true, b: copy.b });
  const guest = await hosts.guest();
  const token = ".denovisor-store";
  Deno.copyFileSync(join(hosts.shared!.path, token), join(copy.path, token));
  Deno.mkdirSync(join(copy.path, guest.id));
  const stale = join(copy.path, guest.id, `${guest.disks[1].id}.img`);
  Deno.copyFileSync(hosts.shared!.disk(guest), stale);
  await restart(hosts.b);
  assertEquals((await hosts.end(await hosts.move(guest.id))).error, null);
  const there = await hosts.b.reaches(guest.id, "running");
  assertEquals(there.disks.map(({ store }) => store), [null, null]);
  assertEquals(Deno.readFileSync(stale), BYTES);
});

Deno.test("where one does not see what the other has locked, nothing moves", async () => {
  await using hosts = await start();
  const { a, b } = hosts;
  const guest = await hosts.guest();
  const serve = b.supervisor.moves.serve.bind(b.supervisor.moves);
  b.supervisor.moves.serve = (channel, peer, call) => {
    if (call.op !== "stores") return serve(channel, peer, call);
    // As where a mount keeps its locks to itself: what is written is seen.
    for (const { probe, nonce } of call.stores) {
      const path = join(hosts.shared!.path, `.denovisor-probe-${probe}`);
      assertEquals(Deno.readTextFileSync(path), nonce);
      Deno.renameSync(path, `${path}-locked`);
      Deno.writeTextFileSync(path, nonce);
      Deno.removeSync(`${path}-locked`);
    }
    return serve(channel, peer, call);
  };
  const task = await hosts.end(await hosts.move(guest.id));
  assertStringIncludes(task.error!, "but not what is locked there");
  assertEquals(whereabouts(a, guest.id), RUNS);
  await ends(hosts, guest, { a: RUNS, b: NOWHERE });
});

Deno.test("a host that does not know of stores takes guests that have nothing there, and no others", async () => {
  await using hosts = await start();
  const { a, b } = hosts;
  const guest = await hosts.guest();
  const { moves } = b.supervisor;
  const serve = moves.serve.bind(moves);
  moves.serve = (channel, peer, call) => {
    const isKnown = call.op !== "stores" && (call.op !== "move" || isOfBefore(call.offer));
    return isKnown
      ? serve(channel, peer, call)
      : Promise.reject(new PeerError("Cannot understand"));
  };
  const task = await hosts.end(await hosts.move(guest.id));
  assertStringIncludes(task.error!, "A host of an older version does not know of stores");
  assertEquals(whereabouts(a, guest.id), RUNS);
  const other = await a.guest({ name: "other", disks: [{ image: "d" }] });
  await a.start(other.id);
  assertEquals((await hosts.end(await hosts.move(other.id))).error, null);
});

/** Nothing in it that a host of before there were stores would not understand. */
function isOfBefore(offer: { parcel: { record: { disks: object[] } } }): boolean {
  return !("stores" in offer) && offer.parcel.record.disks.every((disk) => !("store" in disk));
}

Deno.test("a host that sees the storage, but not the disk as it is, does not take it", async () => {
  await using hosts = await start();
  const guest = await hosts.guest();
  const { disks } = hosts.b.supervisor.guests.ground;
  const refuseUnseen = disks.shared.refuseUnseen.bind(disks.shared);
  disks.shared.refuseUnseen = (file) => refuseUnseen(file) - 512;
  const task = await hosts.end(await hosts.move(guest.id));
  assertStringIncludes(task.error!, "has 65024 bytes as this host sees it, and 65536 as the other");
  await ends(hosts, guest, { a: RUNS, b: NOWHERE });
});

/** `a` gave the guest away, and `b` does not answer; its VMM runs the guest all the same. */
async function givenAway(hosts: TwoHosts): Promise<Guest> {
  const { a, b } = hosts;
  const guest = await hosts.guest();
  const gone = Promise.withResolvers<void>();
  const end = b.supervisor.events.subscribe(({ name, data }) => {
    if (name !== "guest" || data.id !== guest.id) return;
    end();
    // Within the event: nobody has heard of it yet.
    b.supervisor.close();
    gone.resolve();
  });
  await hosts.move(guest.id);
  await gone.promise;
  await b.down();
  await until(() => whereabouts(a, guest.id).state === "stopped", "the VMM's end");
  await restart(a);
  return guest;
}

Deno.test("nobody can say that a guest is here whose disk another host has locked", async () => {
  await using hosts = await start();
  const { a, b } = hosts;
  const guest = await givenAway(hosts);
  assertStringIncludes(await refused(() => resolve(a, "here")), "is locked, so a host has it");
  assertEquals((await moves(a)).map(({ state }) => state), ["unknown"]);
  // The other host's power fails, and its locks are gone.
  killProcess(b.processOf(guest.id));
  const free = async () => {
    await resolve(a, "here");
    return true;
  };
  while (!await free().catch(() => false)) await new Promise((go) => setTimeout(go, 20));
  assertEquals((await a.start(guest.id)).state, "running");
  // That one is back: what it has of the guest is not the disk.
  await b.up();
  const names = () => b.supervisor.guests.list().map(({ name }) => name);
  await until(() => names().includes("web-declared-lost"), "its name");
  await until(() => b.supervisor.moves.list()[0]?.state === "aside", "aside");
  const { client } = b.local;
  const params = { id: guest.id };
  for (const doing of ["forkGuest", "createSnapshot"] as const) {
    const act = () =>
      doing === "forkGuest"
        ? client.call(doing, { params, body: { start: false } })
        : client.call(doing, { params, body: { name: "s" } });
    assertStringIncludes(await refused(act), 'another host has what it has on the store "fast"');
  }
  const disk = { id: guest.id, disk: guest.disks[1].id };
  const grow = () => client.call("updateDisk", { params: disk, body: { sizeMiB: 5 } });
  assertStringIncludes(await refused(grow), "another host has what");
  await client.call("deleteGuest", { params });
  assertEquals(Deno.readFileSync(hosts.shared!.disk(guest)), BYTES);
  await ends(hosts, guest, { a: RUNS, b: NOWHERE });
});

Deno.test("who was declared lost and runs the guest ends it, so that the other host can have its disk", async () => {
  await using hosts = await start();
  const { a, b } = hosts;
  const guest = await givenAway(hosts);
  // The storage has given its locks up, as that host did not answer; its VMM does not know yet.
  const { shared } = a.supervisor.guests.ground.disks;
  const path = shared.path.bind(shared);
  const other = join(hosts.shared!.path, "nobody-has-this");
  Deno.writeTextFileSync(other, "");
  shared.path = () => other;
  await resolve(a, "here");
  shared.path = path;
  Deno.removeSync(other);
  assertStringIncludes(await refused(() => a.start(guest.id)), "in use by another process");
  await b.up();
  await until(() => b.names("run/guests").length === 0, "its VMM's end");
  assertEquals((await a.start(guest.id)).state, "running");
  await until(() => b.supervisor.moves.list()[0]?.state === "aside", "aside");
  assertEquals(b.supervisor.guests.get(guest.id).state, "stopped");
  assertStringIncludes(await refused(() => b.start(guest.id)), "declared lost");
  await restart(b);
  // As before it has taken up what it knows of moves.
  b.supervisor.guests.ground.disks.shared.keepsOff = () => false;
  // Nor is it the lock alone that keeps the disk from it.
  await a.stop(guest.id);
  await b.local.client.call("deleteGuest", { params: { id: guest.id } });
  await ends(hosts, guest, { a: OFF, b: NOWHERE });
});

Deno.test("a guest that is undecided is taken over once nobody has its disk", async () => {
  await using hosts = await start();
  const { a, b } = hosts;
  const guest = await hosts.guest();
  await cutOff(hosts, guest, {
    when: isDecided,
    cut: () => {
      killProcess(a.processOf(guest.id));
      a.supervisor.close();
    },
  });
  await a.down();
  const disk = hosts.shared!.disk(guest);
  const fd = open(disk, O_RDWR);
  while (!tryLock(fd)) await new Promise((go) => setTimeout(go, 20));
  await until(() => b.supervisor.moves.list().length > 0, "the move");
  assertStringIncludes(await refused(() => resolve(b, "here")), "is locked, so a host has it");
  assertEquals((await moves(b)).map(({ state }) => state), ["unknown"]);
  close(fd);
  await resolve(b, "here");
  await b.reaches(guest.id, "running");
  await a.up();
  const names = () => a.supervisor.guests.list().map(({ name }) => name);
  await until(() => names().includes("web-declared-lost"), "its name");
  await a.local.client.call("deleteGuest", { params: { id: guest.id } });
  await ends(hosts, guest, { a: NOWHERE, b: RUNS });
});

Deno.test("a guest of which somebody says that it is there leaves its disk to the other host", async () => {
  await using hosts = await start();
  const guest = await givenAway(hosts);
  await resolve(hosts.a, "there");
  assertEquals(whereabouts(hosts.a, guest.id), NOWHERE);
  assertEquals(Deno.readFileSync(hosts.shared!.disk(guest)), BYTES);
  await hosts.b.up();
  await ends(hosts, guest, { a: NOWHERE, b: RUNS });
});

Deno.test("a guest of which somebody says where it was to come that it is not there leaves its disk", async () => {
  await using hosts = await start();
  const { a, b } = hosts;
  const guest = await hosts.guest();
  await cutOff(hosts, guest, {
    when: isDecided,
    cut: () => {
      killProcess(a.processOf(guest.id));
      a.supervisor.close();
    },
  });
  await a.down();
  await until(() => b.supervisor.moves.list().length > 0, "the move");
  await resolve(b, "there");
  assertEquals(whereabouts(b, guest.id), NOWHERE);
  await a.up();
  await ends(hosts, guest, { a: { ...OFF, state: "failed" }, b: NOWHERE });
  assertEquals((await a.start(guest.id)).state, "running");
});
