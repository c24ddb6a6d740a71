import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { threadCpus } from "../sys/affinity.ts";
import { ConfigError } from "./config/fields.ts";
import { parseConfig } from "./config/guest.ts";
import type { GuestConfig } from "./control.ts";
import { checkAffinity, memoryDevices, numaTopology, openGuestRam } from "./memory_setup.ts";
import { ask } from "./testing/control_connection.ts";
import { tinyKernel } from "./testing/tiny_kernel.ts";
import { endOf, Folder, HAS_KVM, startVmm } from "./testing/vmm_process.ts";

const GiB = 2 ** 30;

const configured = (more: Record<string, unknown>, memoryMiB = 512): GuestConfig =>
  parseConfig({
    ...{ name: "demo", kernel: "/k", cmdline: "", memoryMiB, cpus: 2, disks: [], nets: [] },
    ...more,
  });

Deno.test("a guest has the memory devices that it is configured with, and no others", () => {
  assertEquals(memoryDevices(configured({})), []);
  const devices = memoryDevices(configured({
    balloon: { targetMiB: 64 },
    memory: { hotplugMiB: 256, requestedMiB: 128 },
    numaNodes: [{ cpus: [0], memoryMiB: 256 }, { cpus: [1], memoryMiB: 256 }],
  }));
  const region = { guest: 4 * GiB, offset: GiB / 2, length: GiB / 4, blockBytes: 2 ** 21 };
  assertEquals(devices, [
    { kind: "balloon", options: { name: "balloon0", memoryMiB: 512, targetMiB: 64 } },
    { kind: "mem", options: { name: "mem0", region, requestedMiB: 128, node: 1 } },
  ]);
});

Deno.test("a guest is told of its nodes, or of one to which memory can be added, or of nothing", () => {
  assertEquals(numaTopology(configured({})), undefined);
  assertEquals(numaTopology(configured({ memory: { hotplugMiB: 1024 } })), {
    nodes: [{ cpus: [0, 1], memory: [{ start: 0, length: GiB / 2 }] }],
    distances: undefined,
    hotplug: { start: 4 * GiB, length: GiB, node: 0 },
  });
  const nodes = numaTopology(configured({
    numaNodes: [
      { cpus: [1], memoryMiB: 2048, distances: [10, 30] },
      { cpus: [0], memoryMiB: 2048, distances: [30, 10] },
    ],
  }, 4096));
  assertEquals(nodes?.hotplug, undefined);
  assertEquals(nodes?.distances, [[10, 30], [30, 10]]);
  assertEquals(nodes?.nodes[1].memory, [
    { start: 2 * GiB, length: GiB },
    { start: 4 * GiB, length: GiB },
  ]);
});

Deno.test("memory for which this CPU has no addresses is refused", () => {
  const open = (more: Record<string, unknown>, memoryMiB: number) => () =>
    openGuestRam(configured(more, memoryMiB), { physicalBits: 36, log: () => {} });
  assertThrows(open({}, 40 * 1024), ConfigError, "36 address bits, with room for 31744 MiB");
  const hotplug = { memory: { hotplugMiB: 28 * 1024 + 128 } };
  assertThrows(open(hotplug, 1024), ConfigError, "with room for 28672 MiB above its memory");
});

Deno.test("a vCPU that is to run where this process cannot is refused", () => {
  checkAffinity(configured({}));
  checkAffinity(configured({ cpuAffinity: [[threadCpus()[0]], []] }));
  assertThrows(
    () => checkAffinity(configured({ cpuAffinity: [[], [1023]] })),
    ConfigError,
    'Cannot run vCPU 1 of "demo" on the host\'s CPU 1023: this process has CPUs',
  );
});

const test = (name: string, fn: () => Promise<void>) => Deno.test({ name, ignore: !HAS_KVM, fn });

test("the balloon's target and the memory to be added change while the guest runs", async () => {
  using folder = new Folder();
  const socket = `${folder.path}/control.sock`;
  const vmm = startVmm([
    ...["--kernel", folder.file("kernel", tinyKernel("halt")), "--control", socket],
    ...["--memory", "256M,hotplug=512M,requested=128M", "--balloon", "16M"],
    ...["--pin", `0,${threadCpus()[0]}`],
  ]);
  const ended = endOf(vmm);
  try {
    while (!folder.names().includes("control.sock")) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const change = (device: string, change: unknown) =>
      ask(socket, { op: "change", device, change });
    const first = (await ask(socket, { op: "devices" })).devices;
    assertEquals([first.balloon0.targetMiB, first.mem0.requestedMiB], [16, 128]);
    assertEquals((await change("balloon0", { targetMiB: 32 })).ok, true);
    assertEquals((await change("mem0", { requestedMiB: 256 })).ok, true);
    const { error } = await change("balloon0", { targetMiB: 257 });
    assertStringIncludes(error, "a whole number from 0 to 256");
    assertStringIncludes((await change("mem0", { requestedMiB: 1 })).error, "a multiple of 2");
    const { devices } = await ask(socket, { op: "devices" });
    assertEquals([devices.balloon0.targetMiB, devices.mem0.requestedMiB], [32, 256]);
    assertEquals([devices.balloon0.actualMiB, devices.mem0.pluggedMiB], [0, 0]);
    // The thread that runs the vCPU stays where it was put, as soon as it has come there.
    const allowed = () =>
      [...Deno.readDirSync(`/proc/${vmm.pid}/task`)]
        .map(({ name }) => Deno.readTextFileSync(`/proc/${vmm.pid}/task/${name}/status`))
        .find((status) => status.startsWith("Name:\tvcpu0\n"))
        ?.match(/^Cpus_allowed_list:\t(.*)$/m)?.[1];
    const deadline = Date.now() + 10_000;
    while (allowed() !== "0" && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assertEquals(allowed(), "0");
  } finally {
    vmm.kill("SIGKILL");
    await ended;
  }
});
