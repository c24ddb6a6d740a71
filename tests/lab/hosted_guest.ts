/**
 * A supervisor with real VMMs, and a real guest of it; a test talks to the guest at its prompt.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { hostMemoryMiB } from "../../hypervisor/supervisor/host.ts";
import type { Guest, Task } from "../../hypervisor/supervisor/api/schemas.ts";
import { fileStream } from "../../hypervisor/supervisor/images/file_stream.ts";
import { BridgedTaps, type Network } from "../../hypervisor/supervisor/network.ts";
import { TestHost } from "../../hypervisor/supervisor/testing/test_host.ts";
import { vmmCommand } from "../../hypervisor/supervisor/vmm_command.ts";
import { GUEST_LOGIN } from "../../scripts/setup/guests.ts";
import { quickGuest } from "../../scripts/setup/quick_guest.ts";
import { BRIDGE, type Ground } from "./ground.ts";
import { VMM } from "./running_guest.ts";
import { SerialPort } from "./serial_port.ts";

const LOOK_AGAIN_MS = 200;
const PATIENCE_MS = 300_000;

/** A supervisor with peers and a VMM that waits, whose guests are in the bridge. */
export async function hostOn(
  ground: Ground,
  realNetwork: Network = new BridgedTaps({ bridge: BRIDGE }),
): Promise<TestHost> {
  return await TestHost.start({
    parent: ground.path,
    realNetwork,
    command: vmmCommand(VMM),
    memoryMiB: hostMemoryMiB,
    poolSize: 1,
    peers: { hostname: "127.0.0.1", port: 0 },
  });
}

/** The guest's prompt, wherever its VMM is by now. */
function prompt(host: TestHost, id: string): Promise<SerialPort> {
  return SerialPort.open(host.path("run/guests", id, "control.sock"));
}

/** Runs a command at the guest's prompt; what it printed. */
export async function command(host: TestHost, id: string, line: string): Promise<string> {
  using port = await prompt(host, id);
  return await port.run(line);
}

/** Resolves once a task is done. */
export async function done(host: TestHost, { id }: Task): Promise<Task> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const task = await host.local.client.call("getTask", { params: { id } });
    if (task.state === "done") {
      console.log(`${task.kind}: stood still for ${task.pauseMs} ms`);
      return task;
    }
    const words = `${task.kind} is ${task.state}, ${task.phase}: ${task.error}`;
    assertEquals(task.state, "running", words);
    assert(performance.now() < deadline, words);
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
  }
}

/** Waits until the guest has booted, and logs in. */
export async function logIn(host: TestHost, id: string): Promise<void> {
  using port = await prompt(host, id);
  await port.type("\n");
  await port.until("login: ");
  await port.type(`${GUEST_LOGIN.user}\n`);
  await port.until("assword: ");
  await new Promise((resolve) => setTimeout(resolve, 2000));
  await port.type(`${GUEST_LOGIN.password}\n`);
  await port.until("# ");
}

/** A guest "web" that boots quickly. */
export async function created(host: TestHost): Promise<Guest> {
  const system = await quickGuest();
  for (
    const { kind, path } of [
      { kind: "kernel", path: system.kernel },
      { kind: "initrd", path: system.initrd },
      { kind: "disk", path: system.disk },
    ] as const
  ) {
    await host.supervisor.images.put({ kind, name: kind }, fileStream(await Deno.open(path)));
  }
  return await host.local.client.call("createGuest", {
    body: {
      ...{ name: "web", kernel: "kernel", initrd: "initrd", cmdline: system.cmdline },
      ...{ memoryMiB: 192, disks: [{ image: "disk" }] },
    },
  });
}
