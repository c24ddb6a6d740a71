/**
 * The host's disks, asked of the API and run by process 1, with disks that are files.
 */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { readTable, writeAt, writeTable } from "../../bootimg/disk/disk_table.ts";
import { PARTITION_TYPES, type PartitionTable, SECTOR_BYTES } from "../../bootimg/disk/gpt.ts";
import { BOOT_NAME, DATA_NAME, UNFINISHED_NAME } from "../../bootimg/disk/names.ts";
import { HostSocket } from "../../bootimg/host_socket.ts";
import { HostStorage } from "../../bootimg/storage/host_storage.ts";
import { planDisk } from "../../bootimg/storage/place.ts";
import { makePool } from "../../bootimg/storage/pool.ts";
import { storageRoutes } from "../../bootimg/storage/serve.ts";
import { FakeDisks } from "../../bootimg/testing/fake_disks.ts";
import { ApiError } from "../../hypervisor/supervisor/api/client.ts";
import type { HostStorage as Told, Task } from "../../hypervisor/supervisor/api/schemas.ts";
import { run } from "../../hypervisor/supervisor/cli/main.ts";
import { TestHost } from "../../hypervisor/supervisor/testing/test_host.ts";

const MIB = 600;

class Appliance implements AsyncDisposable {
  readonly disks = new FakeDisks();
  readonly folder = Deno.makeTempDirSync({ prefix: "dv-" });
  readonly host = new TestHost({
    ...{ parent: this.folder, hostSocket: `${this.folder}/host.sock` },
    storage: { followMs: 5, lookMs: 20 },
  });
  schedule: "monthly" | "off" = "monthly";
  readonly #socket = new HostSocket(`${this.folder}/host.sock`);

  static async start(): Promise<Appliance> {
    const appliance = new Appliance();
    const { disks } = appliance;
    const sda = disks.add("sda", MIB);
    const id = "aaaaaaaa-2222-3333-4444-555555555555";
    const boot: PartitionTable = {
      diskId: crypto.randomUUID(),
      partitions: [{
        ...{ number: 1, type: PARTITION_TYPES.efiSystem, id, name: BOOT_NAME },
        ...{ firstSector: 2048, lastSector: 22527 },
      }],
    };
    await writeTable(sda.path, boot, sda.sectors);
    // Of a partition that begins with zeros no more than its beginning is copied.
    using disk = await Deno.open(sda.path, { write: true });
    await writeAt(disk, boot.partitions[0].firstSector * SECTOR_BYTES, new Uint8Array([0xeb]));
    const { unfinished, finished, data } = planDisk(sda.sectors, { source: boot });
    const parts = [{ disk: sda, unfinished, finished, number: data.number }];
    const pool = await makePool(disks, parts, { sync() {}, log() {} });
    const storage = new HostStorage({
      ...{ ground: disks, pool, bootId: null, sync() {}, log() {}, onAlarms() {} },
      scrub: { file: null, timeZone: () => "UTC", schedule: () => appliance.schedule },
      keepSchedule: (schedule) => appliance.schedule = schedule,
    });
    appliance.#socket.add(storageRoutes(storage));
    await appliance.host.up();
    return appliance;
  }

  async [Symbol.asyncDispose]() {
    await this.host[Symbol.asyncDispose]();
    await this.#socket.close();
    await this.disks[Symbol.asyncDispose]();
    await Deno.remove(this.folder, { recursive: true });
  }
}

const states = ({ pool }: Told) => pool.members.map(({ disk, state }) => `${disk} ${state}`);

async function refused(act: () => Promise<unknown>, code: string): Promise<string> {
  const { problem } = await assertRejects(act, ApiError);
  assertEquals(problem.code, code);
  return problem.message;
}

Deno.test("a disk is added to the pool by the API, and whoever listens is told how it goes", async () => {
  await using appliance = await Appliance.start();
  const { disks, host } = appliance;
  disks.add("sdb", MIB);
  const { client } = host.local;
  const [, b] = await client.call("listHostDisks", {});
  const target = { disk: "sdb", confirm: b.confirm, revision: b.revision };
  const other = { ...target, confirm: "ANOTHER" };
  const why = await refused(() => client.call("mirrorStorage", { body: other }), "storage_refused");
  assertStringIncludes(why, "its serial number is SERIAL-sdb, not ANOTHER");
  const seen: string[] = [];
  for await (const { name, data } of client.events()) {
    if (name === "snapshot") {
      const told = await client.call("mirrorStorage", { body: target });
      assertEquals(states(told), ["sda in-sync", "sdb rebuilding"]);
    }
    if (name !== "storage") continue;
    const now = states(data as Told).join();
    if (seen.at(-1) !== now) seen.push(now);
    if (now === "sda in-sync,sdb rebuilding") disks.settle();
    if (now === "sda in-sync,sdb in-sync") break;
  }
  assertEquals(seen.slice(-2), ["sda in-sync,sdb rebuilding", "sda in-sync,sdb in-sync"]);
});

Deno.test("an installation is a task, which can be given up and leaves nothing that counts", async () => {
  await using appliance = await Appliance.start();
  const { disks, host } = appliance;
  const sdb = disks.add("sdb", MIB);
  const { client } = host.local;
  const begin = async () => {
    const [, b] = await client.call("listHostDisks", {});
    const body = { disk: "sdb", confirm: b.confirm, revision: b.revision };
    return await client.call("installHost", { body });
  };
  const ended = async ({ id }: Task): Promise<Task> => {
    while (true) {
      const task = await client.call("getTask", { params: { id } });
      if (task.state !== "running") return task;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  const namesOn = async () =>
    (await readTable(sdb.path, sdb.sectors))!.partitions.map(({ name }) => name);
  const { promise: held, resolve: goOn } = Promise.withResolvers<void>();
  const sync = Deno.FsFile.prototype.sync;
  let syncs = 0;
  try {
    // It stands still in the middle of the copy until it has been given up.
    Deno.FsFile.prototype.sync = async function () {
      if (++syncs === 8) await held;
      await sync.call(this);
    };
    const task = await begin();
    assertEquals([task.kind, task.guest, task.detail], ["install", null, "sdb (SERIAL-sdb)"]);
    while (syncs < 8) await new Promise((resolve) => setTimeout(resolve, 5));
    await refused(begin, "busy");
    await client.call("cancelTask", { params: { id: task.id } });
    await new Promise((resolve) => setTimeout(resolve, 50));
    goOn();
    assertEquals((await ended(task)).state, "cancelled");
    assertEquals(await namesOn(), [UNFINISHED_NAME, UNFINISHED_NAME]);
  } finally {
    goOn();
    Deno.FsFile.prototype.sync = sync;
  }
  const again = await ended(await begin());
  assertEquals([again.state, again.error], ["done", null]);
  assertEquals(await namesOn(), [BOOT_NAME, DATA_NAME]);
});

Deno.test("the command line shows disks, and erases one only once its number was said", async () => {
  await using appliance = await Appliance.start();
  const { disks, host } = appliance;
  disks.add("sdb", MIB);
  const socket = ["--socket", host.path("run/supervisor.sock")];
  let text = "";
  const say = async (...args: string[]) => {
    text = "";
    return await run([...socket, ...args], (more) => {
      text += more;
      return Promise.resolve();
    });
  };
  assertEquals(await say("host", "disks"), 0, text);
  assertStringIncludes(text, "SERIAL-sdb");
  assertEquals(await say("storage", "mirror", "sdb"), 2);
  assertEquals(await say("storage", "mirror", "sdb", "--confirm", "SERIAL-sda"), 2);
  assertEquals(await say("storage", "mirror", "sdb", "--confirm", "SERIAL-sdb"), 0, text);
  assertStringIncludes(text, "sdb: rebuilding");
  disks.settle();
  assertEquals(await say("storage", "scrub", "off"), 0, text);
  assertEquals(appliance.schedule, "off");
  assertEquals(await say("storage", "scrub"), 0, text);
  assertStringIncludes(text, "SCRUB");
  disks.settle();
  assertEquals(await say("storage", "unmirror", "sdb", "--confirm", "SERIAL-sdb"), 0, text);
  assertStringIncludes(text, "sda: in-sync");
});

Deno.test("a host that is no appliance says that its disks are not ours", async () => {
  await using host = await TestHost.start();
  const { client } = host.local;
  const why = await refused(() => client.call("getStorage", {}), "not_an_appliance");
  assertStringIncludes(why, "Cannot show or change its disks");
});
