/** Disks on storage that other hosts see too, at the one host that has their guest. */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { close, O_RDWR, open } from "../../sys/files.ts";
import { tryLock } from "../../sys/flock.ts";
import { ApiError } from "../api/client.ts";
import type { Guest } from "../api/schemas.ts";
import { TestHost } from "../testing/test_host.ts";
import { SharedDirectory } from "../testing/two_hosts.ts";

const BYTES = new Uint8Array(65536).fill(7);

/** A host with a store. */
class Host implements AsyncDisposable {
  readonly store = new SharedDirectory();
  host!: TestHost;

  static async start(): Promise<Host> {
    const it = new Host();
    it.host = await TestHost.start({ ...it.store.a, storeLookMs: 50 });
    await it.host.image("disk", "d", BYTES.length);
    return it;
  }

  /** A guest with a disk of its own, and one on the store. */
  guest(): Promise<Guest> {
    const disks = [{ image: "d" }, { image: "d", name: "shared", store: "nas" }];
    return this.host.guest({ disks });
  }

  get client() {
    return this.host.local.client;
  }

  /** The store is there no more, or again. */
  unmount() {
    Deno.renameSync(this.store.path, `${this.store.path}-away`);
    Deno.mkdirSync(this.store.path);
  }

  mount() {
    Deno.removeSync(this.store.path);
    Deno.renameSync(`${this.store.path}-away`, this.store.path);
  }

  async until(problem: RegExp | null): Promise<void> {
    for (;;) {
      const [it] = (await this.client.call("getHost", {})).stores;
      if (problem === null ? it.problem === null : problem.test(it.problem ?? "")) return;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.host[Symbol.asyncDispose]();
    this.store[Symbol.dispose]();
  }
}

async function refused(act: () => Promise<unknown>): Promise<[string, string]> {
  const { problem } = await assertRejects(act, ApiError);
  return [problem.code, problem.message];
}

Deno.test("a guest's disk is where it was asked for, and goes with the guest", async () => {
  await using ground = await Host.start();
  const { host, store, client } = ground;
  const [told] = (await client.call("getHost", {})).stores;
  assertEquals([told.name, told.directory, told.problem], ["nas", store.path, null]);
  const guest = await ground.guest();
  assertEquals(guest.disks.map((it) => it.store), [null, "nas"]);
  assertEquals(store.names(), [`${guest.id}/${guest.disks[1].id}.img`]);
  assertEquals(host.names(`data/guests/${guest.id}`), [`${guest.disks[0].id}.img`]);
  await host.start(guest.id);
  assertEquals([0, 1].map((i) => host.usedDisk(guest.id, i)), [
    host.diskFile(guest),
    store.disk(guest),
  ]);
  await host.stop(guest.id);
  const params = { id: guest.id, disk: guest.disks[1].id };
  await client.call("updateDisk", { params, body: { sizeMiB: 2 } });
  assertEquals(Deno.statSync(store.disk(guest)).size, 2 << 20);
  const more = await client.call("addDisk", {
    params: { id: guest.id },
    body: { name: "more", store: "nas", sizeMiB: 1 },
  });
  assertEquals(Deno.statSync(store.disk(more, 2)).size, 1 << 20);
  await client.call("deleteDisk", { params: { id: guest.id, disk: more.disks[2].id } });
  assertEquals(store.names().length, 1);
  await client.call("deleteGuest", { params: { id: guest.id } });
  assertEquals(store.names(), []);
  assertEquals([...Deno.readDirSync(store.path)].map(({ name }) => name), [".denovisor-store"]);
});

Deno.test("a guest that cannot be made leaves nothing there", async () => {
  await using ground = await Host.start();
  const { host, store, client } = ground;
  const disks = [{ sizeMiB: 1, store: "nas" }];
  const small = [...disks, { image: "d", sizeMiB: 1 }, { image: "gone" }];
  assertEquals((await refused(() => host.guest({ disks: small })))[0], "no_such_image");
  await host.image("disk", "big", 3 << 20);
  const tooSmall = [...disks, { image: "big", sizeMiB: 1, store: "nas" }];
  assertEquals((await refused(() => host.guest({ disks: tooSmall })))[0], "disk_too_small");
  assertEquals(store.names(), []);
  const other = [{ sizeMiB: 1, store: "san" }];
  const [code, message] = await refused(() => host.guest({ disks: other }));
  assertEquals(code, "no_such_store");
  assertStringIncludes(message, "--shared-store san=DIR");
  assertEquals(await client.call("listGuests", {}), []);
  assertEquals(host.names("data/guests"), []);
});

Deno.test("snapshots, reverts and forks have their copies where the disk is", async () => {
  await using ground = await Host.start();
  const { host, store, client } = ground;
  const guest = await ground.guest();
  const { id } = guest;
  await host.start(id);
  const snapshot = await host.snapshot(id, { name: "before" });
  const copy = `${id}/snapshots/${snapshot}/shared.img`;
  assertEquals(store.names(), [`${id}/${guest.disks[1].id}.img`, copy].sort());
  assertEquals(host.names(`data/guests/${id}/snapshots/${snapshot}`), ["disk.img", "memory"]);
  await host.type(id, "write 1 4096 after\n");
  await host.done(client.call("revertGuest", { params: { id, snapshot }, body: { start: true } }));
  const reverted = host.usedDisk(id, 1);
  assertEquals(reverted.startsWith(join(store.path, id)), true);
  assertEquals(Deno.readFileSync(reverted), BYTES);
  assertEquals(store.names().length, 2, "what it had before is gone");
  // Of one that runs, off, and of a snapshot.
  await host.done(client.call("forkGuest", { params: { id }, body: { start: false } }));
  await host.done(
    client.call("forkGuest", { params: { id }, body: { start: false, snapshot, count: 2 } }),
  );
  const children = (await client.call("listGuests", {})).filter((it) => it.id !== id);
  assertEquals(children.map((it) => it.disks.map((disk) => disk.store)), [
    ...[[null, "nas"], [null, "nas"], [null, "nas"]],
  ]);
  for (const child of children) assertEquals(Deno.readFileSync(store.disk(child)), BYTES);
  assertEquals(store.names().length, 2 + children.length);
  await client.call("deleteSnapshot", { params: { id, snapshot } });
  assertEquals(store.names().includes(copy), false);
  await host.stop(id);
  for (const it of [guest, ...children]) {
    await client.call("deleteGuest", { params: { id: it.id } });
  }
  assertEquals(store.names(), []);
});

Deno.test("a disk that another host has locked is not started with, and not removed", async () => {
  await using ground = await Host.start();
  const { host, store, client } = ground;
  const guest = await ground.guest();
  const { id } = guest;
  const fd = open(store.disk(guest), O_RDWR);
  tryLock(fd);
  const [code, message] = await refused(() => host.start(id));
  assertEquals(code, "disk_in_use");
  assertStringIncludes(message, "another host");
  await client.call("deleteGuest", { params: { id } });
  assertEquals(Deno.readFileSync(store.disk(guest)), BYTES);
  close(fd);
  await host.down();
  await host.up();
  assertEquals(store.names().length, 1, "it is another host's");
});

Deno.test("a disk behind a link is no disk", async () => {
  await using ground = await Host.start();
  const { host, store } = ground;
  const guest = await ground.guest();
  Deno.renameSync(store.disk(guest), `${store.path}-secret`);
  Deno.symlinkSync(`${store.path}-secret`, store.disk(guest));
  try {
    assertStringIncludes((await refused(() => host.start(guest.id)))[1], "is a link to");
  } finally {
    Deno.removeSync(`${store.path}-secret`);
  }
});

Deno.test("while a store is not there, its guests do not start; they are as before when it is back", async () => {
  await using ground = await Host.start();
  const { host, store, client } = ground;
  const [guest, other] = [await ground.guest(), await host.guest({ name: "other" })];
  ground.unmount();
  await ground.until(/is it mounted/);
  assertEquals((await refused(() => host.start(guest.id)))[0], "store_unavailable");
  const disks = [{ sizeMiB: 1, store: "nas" }];
  assertEquals((await refused(() => host.guest({ name: "third", disks })))[0], "store_unavailable");
  assertEquals((await host.start(other.id)).state, "running");
  // Also for a supervisor that starts meanwhile.
  await host.down();
  await host.up();
  const doomed = await host.get(guest.id);
  const body = { params: { id: guest.id, disk: doomed.disks[1].id } };
  await host.local.client.call("deleteDisk", body);
  assertEquals([...Deno.readDirSync(store.path)], []);
  ground.mount();
  await ground.until(null);
  assertEquals(store.names(), [], "what was deleted meanwhile goes");
  assertEquals((await host.start(guest.id)).state, "running");
  await client.call("listGuests", {}).catch(() => {});
});

Deno.test("what a supervisor left that was killed is swept, and nothing of other hosts", async () => {
  await using ground = await Host.start();
  const { host, store } = ground;
  const guest = await ground.guest();
  const { shared } = host.supervisor.guests.ground.disks;
  // A supervisor that is killed says nothing more about them.
  const made = { store: "nas", guest: guest.id, path: "more.img" };
  Deno.writeTextFileSync(shared.make(made), "half");
  const file = { store: "nas", guest: guest.id, path: `${guest.disks[1].id}.img` };
  shared.doomWithGuest([file]);
  const theirs = join(store.path, "01ARZ3NDEKTSV4RRFFQ69G5FAV");
  Deno.mkdirSync(theirs);
  Deno.writeTextFileSync(join(theirs, "disk.img"), "theirs");
  await host.down();
  await host.up();
  assertEquals(
    store.names(),
    ["01ARZ3NDEKTSV4RRFFQ69G5FAV/disk.img", join(guest.id, file.path)].sort(),
  );
});
