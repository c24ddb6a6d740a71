/**
 * The supervisor before the real VMM, with a guest of a few bytes that has no drivers.
 *
 * @module
 */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { HAS_KVM } from "../../hypervisor/kvm/testing/has_kvm.ts";
import { ApiError } from "../../hypervisor/supervisor/api/client.ts";
import { DEFAULT_PORTS } from "../../hypervisor/supervisor/api/limits.ts";
import { hostMemoryMiB } from "../../hypervisor/supervisor/host.ts";
import { BridgedTaps } from "../../hypervisor/supervisor/network.ts";
import { TestHost } from "../../hypervisor/supervisor/testing/test_host.ts";
import { vmmCommand } from "../../hypervisor/supervisor/vmm_command.ts";
import { close, O_RDWR, open } from "../../hypervisor/sys/files.ts";
import { tinyKernel } from "../../hypervisor/vmm/testing/tiny_kernel.ts";

const VMM = fromFileUrl(new URL("../../hypervisor/vmm/main.ts", import.meta.url));
const MIB = 2 ** 20;

function hasTaps(): boolean {
  try {
    close(open("/dev/net/tun", O_RDWR));
    return true;
  } catch {
    return false;
  }
}

async function hostWithVmm(options: { figuresMs?: number } = {}): Promise<TestHost> {
  const host = await TestHost.start({
    command: vmmCommand(VMM),
    realNetwork: new BridgedTaps({ bridge: null }),
    memoryMiB: hostMemoryMiB,
    ...options,
  });
  await host.local.client.upload({ kind: "kernel", name: "k" }, tinyKernel("echo"));
  return host;
}

async function refused(promise: Promise<unknown>, code: string): Promise<string> {
  const error = await assertRejects(() => promise, ApiError);
  assertEquals(error.problem.code, code, error.message);
  return error.message;
}

Deno.test({
  name: "the real VMM's disks and memory change as the API says, and so it reports them",
  ignore: !HAS_KVM,
  async fn() {
    await using host = await hostWithVmm({ figuresMs: 100 });
    const { client } = host.local;
    const guest = await host.guest({
      nets: [],
      disks: [
        { sizeMiB: 2, cache: "direct" },
        { sizeMiB: 1, readonly: true, rateLimit: { bytesPerSecond: 1000 } },
      ],
      memory: { hotplugMiB: 256 },
      cpu: { pinning: [[0]] },
    });
    const { id } = guest;
    const disk = (i: number) => ({ params: { id, disk: guest.disks[i].id } });
    const started = await host.start(id);
    assertEquals(started.disks.map(({ attached }) => attached), ["boot", "boot"]);
    assertEquals([started.freePorts, started.pending], [DEFAULT_PORTS, []]);

    await client.call("updateDisk", { ...disk(0), body: { sizeMiB: 4 } });
    const rateLimit = { operationsPerSecond: 10, operationsBurst: 20 };
    await client.call("updateDisk", { ...disk(0), body: { rateLimit } });
    const memory = { balloonMiB: 32, requestedMiB: 128 };
    await client.call("updateGuest", { params: { id }, body: { memory } });
    const reports = await host.processFor(id).devices();
    assertEquals([reports.block0.sizeBytes, reports.block0.rateLimit], [4 * MIB, rateLimit]);
    assertEquals(reports.block0.path, host.diskFile(guest));
    assertEquals([reports.block1.readonly, reports.block1.rateLimit], [true, {
      bytesPerSecond: 1000,
    }]);
    assertEquals([reports.balloon0.targetMiB, reports.mem0.requestedMiB], [32, 128]);
    assert(host.names(`run/guests/${id}`).includes("agent.sock"));

    for await (const { name, data } of client.events()) {
      if (name !== "figures") continue;
      const { disks } = data as { disks: Record<string, unknown> };
      assertEquals(Object.keys(disks).sort(), guest.disks.map(({ id }) => id).sort());
      break;
    }
    await client.call("updateDisk", { ...disk(0), body: { rateLimit: null } });
    assertEquals((await host.processFor(id).devices()).block0.rateLimit, {});
    await host.local.client.call("stopGuest", { params: { id }, body: { force: true } });
    await host.reaches(id, "stopped");
    host.assertNothingLeft();
  },
});

Deno.test({
  name: "the real VMM takes disks and cards into its ports, and lets go of them by force",
  ignore: !HAS_KVM || !hasTaps(),
  async fn() {
    await using host = await hostWithVmm();
    const { client } = host.local;
    const { id } = await host.guest({ nets: [{ linkUp: false, mtu: 1400 }] });
    const params = { id };
    await host.start(id);
    const withDisk = await client.call("addDisk", { params, body: { sizeMiB: 1, name: "late" } });
    const disk = { params: { id, disk: withDisk.disks[0].id } };
    const plugged = await client.call("plugDisk", disk);
    assertEquals([plugged.disks[0].attached, plugged.freePorts], ["port", DEFAULT_PORTS - 2]);
    const added = await client.call("addNet", { params, body: {} });
    const net = { params: { id, net: added.nets[1].id } };
    assertEquals((await client.call("plugNet", net)).freePorts, DEFAULT_PORTS - 3);
    await client.call("updateNet", { ...net, body: { linkUp: false } });
    const { net0, net1, block0 } = await host.processFor(id).devices();
    assertEquals([net0.linkUp, net0.mtu, net1.linkUp], [false, 1400, false]);
    assertEquals(net1.mac, added.nets[1].mac);
    assertEquals(block0.path, host.diskFile(withDisk));

    // The guest has no driver that could let go of it.
    assertEquals((await client.call("unplugDisk", disk)).disks[0].attached, "leaving");
    await client.call("unplugDisk", { ...disk, body: { force: true } });
    await host.until(id, ({ disks }) => disks[0].attached === null);
    await client.call("deleteDisk", disk);
    await client.call("unplugNet", { ...net, body: { force: true } });
    const gone = await host.until(id, ({ nets }) => nets[1].attached === null);
    assertEquals(gone.freePorts, DEFAULT_PORTS - 1);
    await client.call("stopGuest", { params, body: { force: true } });
    await host.reaches(id, "stopped");
  },
});

Deno.test({
  name: "the real VMM pauses and goes on, and tells a supervisor that comes later",
  ignore: !HAS_KVM,
  async fn() {
    await using host = await hostWithVmm();
    const { id } = await host.guest({ nets: [] });
    const params = { id };
    await host.start(id);
    await host.local.client.call("pauseGuest", { params });
    await host.until(id, ({ pausedFor }) => pausedFor !== null);
    await host.down();
    await host.up();
    const paused = await host.until(id, ({ pausedFor }) => pausedFor !== null);
    assertEquals(paused.state, "running");
    const told = await refused(host.local.client.call("stopGuest", { params }), "wrong_state");
    assertStringIncludes(told, "a guest that is paused");
    await host.local.client.call("resumeGuest", { params });
    await host.until(id, ({ pausedFor }) => pausedFor === null);
    await host.local.client.call("stopGuest", { params, body: { force: true } });
    await host.reaches(id, "stopped");
    assert((await host.get(id)).error === null);
  },
});
