/**
 * The supervisor has a guest go on from the VMM of one release to that of another.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { HAS_KVM } from "../../hypervisor/kvm/testing/has_kvm.ts";
import { hostMemoryMiB } from "../../hypervisor/supervisor/host.ts";
import type { TestOptions } from "../../hypervisor/supervisor/testing/test_host.ts";
import { TestHost } from "../../hypervisor/supervisor/testing/test_host.ts";
import { VERSION } from "../../hypervisor/supervisor/version.ts";
import { vmmCommand } from "../../hypervisor/supervisor/vmm_command.ts";
import { isAlive } from "../../hypervisor/sys/processes.ts";
import { Folder } from "../../hypervisor/vmm/testing/vmm_process.ts";
import { vmmBundle } from "../../scripts/vmm_bundle.ts";
import { BlockDriver, diskWord } from "../hostile/block_driver.ts";
import { counts } from "../hostile/counting_guest.ts";
import { GuestProgram } from "../hostile/guest_program.ts";
import { judge } from "../hostile/hostile_guest.ts";

const OLD = "0.0.9-old";

/** Reads its disk, counts until somebody types, and reads its disk again. */
function countingKernel(): { program: GuestProgram; kernel: Uint8Array<ArrayBuffer> } {
  const program = new GuestProgram();
  const disk = new BlockDriver(program, { nth: 0 });
  disk.virtio.start();
  program.case("its disk works", () => disk.readsSector(3));
  counts(program, () => 1);
  program.case("its disk goes on", () => disk.readsSector(5));
  return { program, kernel: program.toKernel() };
}

Deno.test({
  name: "a guest goes on from one release's VMM to another's, and its supervisor with it",
  ignore: !HAS_KVM,
  async fn() {
    using folder = new Folder();
    const old = await vmmBundle({ outdir: `${folder.path}/old`, version: OLD });
    const installed = await vmmBundle({ outdir: `${folder.path}/new` });
    const options: TestOptions = { memoryMiB: hostMemoryMiB, command: vmmCommand(old) };
    await using host = await TestHost.start(options);
    const { client } = host.local;
    const { program, kernel } = countingKernel();
    await client.upload({ kind: "kernel", name: "k" }, kernel);
    const image = Uint32Array.from({ length: 2 ** 18 }, (_, i) => diskWord(i));
    await client.upload({ kind: "disk", name: "d" }, new Uint8Array(image.buffer));
    const { id } = await host.guest({ nets: [], disks: [{ image: "d" }] });
    await host.start(id);
    const before = await host.until(id, ({ vmmVersion }) => vmmVersion === OLD);
    assertEquals(before.upgradeAvailable, true);
    const process = host.processOf(id);

    // The release is another after the supervisor has come back.
    await host.down();
    options.command = vmmCommand(installed);
    await host.up();
    await host.until(id, ({ vmmVersion }) => vmmVersion === OLD);
    const params = { id };
    const task = await host.local.client.call("upgradeGuest", { params });
    assertEquals(task.detail, `${OLD} to ${VERSION}`);
    while (host.supervisor.tasks.get(task.id).state === "running") {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const { state, error, pauseMs } = host.supervisor.tasks.get(task.id);
    assertEquals([state, error], ["done", null]);
    assert(pauseMs! > 0);
    const after = await host.until(id, ({ vmmVersion }) => vmmVersion === VERSION);
    assertEquals(after, { ...before, vmmVersion: VERSION, upgradeAvailable: false });
    assert(!isAlive(process) && isAlive(host.processOf(id)));

    const stopped = host.reaches(id, "stopped");
    using serial = await Deno.connect({
      transport: "unix",
      path: host.path("run/guests", id, "control.sock"),
    });
    await serial.write(new TextEncoder().encode('{"op":"serial"}\n'));
    const one = new Uint8Array(1);
    while (one[0] !== 0x0A) await serial.read(one);
    await serial.write(new TextEncoder().encode("!"));
    const output = new Uint8Array(await new Response(serial.readable).arrayBuffer());
    for (const { name, wrong } of judge(program.cases, output)) assertEquals(wrong, [], name);
    await stopped;
    host.assertNothingLeft();
  },
});
