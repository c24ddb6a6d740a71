/**
 * A guest that reads its cloud-init disk whenever it is asked to, with the supervisor and the real VMM.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { VIRTIO_BLK_T } from "../../hypervisor/devices/virtio/block_protocol.ts";
import { HAS_KVM } from "../../hypervisor/kvm/testing/has_kvm.ts";
import type { Guest } from "../../hypervisor/supervisor/api/schemas.ts";
import { SEED_BYTES } from "../../hypervisor/supervisor/cloud_init/seed.ts";
import { hostMemoryMiB } from "../../hypervisor/supervisor/host.ts";
import { TestHost } from "../../hypervisor/supervisor/testing/test_host.ts";
import { TwoHosts } from "../../hypervisor/supervisor/testing/two_hosts.ts";
import { vmmCommand } from "../../hypervisor/supervisor/vmm_command.ts";
import { BlockDriver, SECTOR_BYTES } from "../hostile/block_driver.ts";
import { GuestProgram } from "../hostile/guest_program.ts";

const OPTIONS = {
  command: vmmCommand(fromFileUrl(new URL("../../hypervisor/vmm/main.ts", import.meta.url))),
  memoryMiB: hostMemoryMiB,
};
/** Where a volume of few files has the first: `meta-data`. */
const META_DATA_SECTOR = 21 * 4;
/** Each time the guest also tells of how its request went. */
const TOLD_BYTES = 2 * 4 + SECTOR_BYTES;
const TIMES = 6;

/** Each time that a byte is typed, it sends what its disk has there. */
function readingKernel(): Uint8Array<ArrayBuffer> {
  const program = new GuestProgram();
  const disk = new BlockDriver(program, { nth: 0 });
  disk.virtio.start();
  for (let time = 0; time < TIMES; time++) {
    program.waitForTest();
    program.case("it reads", () => {
      disk.request(VIRTIO_BLK_T.IN, META_DATA_SECTOR);
      disk.virtio.roundTrip(disk.readChain(SECTOR_BYTES), SECTOR_BYTES + 1);
      for (let at = 0; at < SECTOR_BYTES; at += 4) {
        program.read(disk.data + at, 4);
        program.expect("a word", () => true);
      }
    });
  }
  program.waitForTest();
  return program.toKernel();
}

/** Asks a guest, which this VMM has had asked `before` times, for what it reads. */
async function reads(host: TestHost, { id }: { id: string }, before = 0): Promise<string> {
  using control = await host.supervisor.guests.openSerial(id);
  await control.connection.write(new TextEncoder().encode("?"));
  const chunks = [control.lines.rest()];
  const length = () => chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  while (length() < (before + 1) * TOLD_BYTES) {
    const more = await control.lines.read();
    assert(more !== null, "its VMM hung up");
    chunks.push(more.slice());
  }
  const bytes = new Uint8Array(await new Blob(chunks.map((it) => it.slice())).arrayBuffer());
  return new TextDecoder().decode(bytes.slice(-SECTOR_BYTES)).replace(/\0+$/, "");
}

function metaData({ cloudInit }: Guest): string {
  const { instanceId, hostname } = cloudInit!;
  return `instance-id: "${instanceId}"\nlocal-hostname: "${hostname}"\n`;
}

async function guestOn(host: TestHost): Promise<Guest> {
  await host.local.client.upload({ kind: "kernel", name: "k" }, readingKernel());
  const { id } = await host.guest({ nets: [], cloudInit: { userData: "#!/bin/sh\n" } });
  return await host.start(id);
}

Deno.test({
  name: "a guest and its children each read who they are, also those that go on where it was",
  ignore: !HAS_KVM,
  async fn() {
    await using host = await TestHost.start(OPTIONS);
    const { client } = host.local;
    const guest = await guestOn(host);
    const params = { id: guest.id };
    assertEquals(await reads(host, guest), metaData(guest));
    const { made } = await host.done(client.call("forkGuest", { params, body: { count: 2 } }));
    for (const id of made) {
      const child = await host.get(id);
      assert(child.cloudInit!.instanceId !== guest.cloudInit!.instanceId);
      assertEquals(await reads(host, child), metaData(child));
    }
    assertEquals(await reads(host, guest, 1), metaData(guest));

    // A disk that is plugged in has a name beside it.
    const added = await client.call("addDisk", { params, body: { sizeMiB: 1 } });
    const late = { id: guest.id, disk: added.disks[0].id };
    const plugged = await client.call("plugDisk", { params: late });
    assertEquals(plugged.disks[0].attached, "port");
    const { block0, block1 } = await host.processFor(guest.id).devices();
    assertEquals([block0.readonly, block1.readonly], [true, false]);

    const snapshot = await host.snapshot(guest.id, { name: "then" });
    await client.call("updateGuest", { params, body: { cloudInit: { hostname: "db" } } });
    assertEquals(await reads(host, guest, 2), metaData(guest));
    const body = { snapshot, name: "worker" };
    const later = await host.done(client.call("forkGuest", { params, body }));
    const worker = await host.get(later.made[0]);
    assertEquals(await reads(host, worker), metaData(worker));
    await host.done(client.call("revertGuest", { params: { ...params, snapshot }, body: {} }));
    assertEquals(await reads(host, guest), metaData(guest));

    await client.call("unplugDisk", { params: late, body: { force: true } });
    await host.until(guest.id, ({ disks }) => disks[0].attached === null);
    await client.call("deleteDisk", { params: late });
    await client.call("updateGuest", { params, body: { cloudInit: { hostname: "db" } } });
    await client.call("resetGuest", { params });
    const again = await host.until(guest.id, (it) => it.state === "running" && !it.pending.length);
    assertEquals(await reads(host, again), metaData(again));
    assertEquals(again.cloudInit, { ...guest.cloudInit, hostname: "db" });
    assertEquals(Deno.statSync(host.path("run/guests", guest.id, "cidata.iso")).size, SEED_BYTES);
  },
});

Deno.test({
  name: "a guest reads the same at another host, whatever it is to be told later",
  ignore: !HAS_KVM,
  async fn() {
    await using two = await TwoHosts.start({ a: OPTIONS, b: OPTIONS });
    const { a, b } = two;
    const guest = await guestOn(a);
    const params = { id: guest.id };
    assertEquals(await reads(a, guest), metaData(guest));
    await a.local.client.call("updateGuest", {
      params,
      body: { name: "other", cloudInit: { userData: null } },
    });
    const task = await two.end(await two.move(guest.id, { allowedPauseMs: 1000 }));
    assertEquals([task.state, task.error], ["done", null]);
    const there = await b.reaches(guest.id, "running");
    assertEquals(await reads(b, guest), metaData(guest));
    assertEquals(there.pending, ["cloudInit.userData", "cloudInit.hostname"]);
    await b.local.client.call("resetGuest", { params });
    const again = await b.until(guest.id, (it) => it.state === "running" && !it.pending.length);
    assertEquals(await reads(b, again), metaData(again));
    assertEquals(again.cloudInit!.hostname, "other");
  },
});
