import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { ask, ControlConnection } from "./testing/control_connection.ts";
import { tinyKernel } from "./testing/tiny_kernel.ts";
import { endOf, Folder, HAS_KVM, startVmm } from "./testing/vmm_process.ts";

/** A VMM that waits, with whatever comes of it. */
async function waiting(folder: Folder, name: string) {
  const socket = `${folder.path}/${name}.sock`;
  const vmm = startVmm(["--wait", "--control", socket]);
  const ended = endOf(vmm);
  while (!folder.names().includes(`${name}.sock`)) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return { socket, ended };
}

Deno.test({
  name: "a restored guest that is held runs nothing and touches nothing until it is let go",
  ignore: !HAS_KVM,
  async fn() {
    using folder = new Folder();
    const config = {
      ...{ name: "demo", kernel: folder.file("kernel", tinyKernel("echo")), cmdline: "" },
      ...{ memoryMiB: 128, cpus: 1, nets: [], hotplugPorts: 1 },
      disks: [{ path: folder.file("disk", new Uint8Array(4096)) }],
    };
    const directory = `${folder.path}/snapshot`;
    const first = await waiting(folder, "first");
    assertEquals((await ask(first.socket, { op: "run", config })).ok, true);
    using save = await ControlConnection.open(first.socket, { op: "save", directory });
    while (!(await save.line()).saved);
    assert((await ask(first.socket, { op: "status" })).status.held === undefined);
    await ask(first.socket, { op: "kill" });
    await first.ended;

    const second = await waiting(folder, "second");
    const { socket } = second;
    const other = { ...config, name: "other", plugged: {} };
    const order = { op: "run", restore: directory, config: other, identity: "new", hold: true };
    const { status } = await ask(socket, order);
    assertEquals([status.state, status.held, status.pausedFor], [
      "running",
      true,
      "It waits to go on",
    ]);
    for (const op of ["devices", "fork"]) {
      assertStringIncludes((await ask(socket, { op })).error, "waits to go on");
    }
    const late = { op: "save", directory: `${folder.path}/late` };
    assertStringIncludes((await ask(socket, late)).error, "waits to go on");
    using serial = await ControlConnection.open(socket, { op: "serial" });
    assertEquals((await serial.line()).ok, true);
    await serial.send("on");
    // Whoever pauses it on top changes nothing.
    assertEquals((await ask(socket, { op: "pause" })).status.held, true);
    using events = await ControlConnection.open(socket, { op: "events" });
    await events.line();
    const gone = await ask(socket, { op: "resume" });
    assertEquals([gone.ok, gone.status.held, gone.status.pausedFor], [true, undefined, undefined]);
    assertEquals(await events.line(), { event: "resumed" });
    // Only now it heard what was typed; and it has not booted again.
    assertEquals(await serial.until("on"), "on");
    assertEquals((await ask(socket, { op: "devices" })).ok, true);
    await ask(socket, { op: "kill" });
    assertEquals((await second.ended).code, 0);
  },
});

Deno.test({
  name: "a guest that is held can be ended, and only a restored one is held",
  ignore: !HAS_KVM,
  async fn() {
    using folder = new Folder();
    const config = {
      ...{ name: "demo", kernel: folder.file("kernel", tinyKernel("halt")), cmdline: "" },
      ...{ memoryMiB: 128, cpus: 2, nets: [], disks: [] },
    };
    const directory = `${folder.path}/snapshot`;
    const first = await waiting(folder, "first");
    const wrong = await ask(first.socket, { op: "run", config, hold: true });
    assertStringIncludes(wrong.error, "it is no request");
    await ask(first.socket, { op: "run", config });
    using save = await ControlConnection.open(first.socket, { op: "save", directory });
    while (!(await save.line()).saved);
    await ask(first.socket, { op: "kill" });
    await first.ended;
    const second = await waiting(folder, "second");
    const { status } = await ask(second.socket, { op: "run", restore: directory, hold: true });
    assertEquals(status.held, true);
    await ask(second.socket, { op: "kill" });
    assertEquals((await second.ended).code, 0);
  },
});
