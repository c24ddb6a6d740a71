import { assertEquals, assertStringIncludes } from "@std/assert";
import { EXIT_CODES } from "./control.ts";
import { ask } from "./testing/control_connection.ts";
import { tinyKernel } from "./testing/tiny_kernel.ts";
import { endOf, Folder, HAS_KVM, startVmm, type VmmEnd } from "./testing/vmm_process.ts";

interface Waiting {
  folder: Folder;
  socket: string;
  config: Record<string, unknown>;
  ended: Promise<VmmEnd>;
}

/** A VMM that waits to be told what to run. */
function test(name: string, body: (vmm: Waiting) => Promise<void>): void {
  const fn = async () => {
    using folder = new Folder();
    const socket = `${folder.path}/control.sock`;
    const vmm = startVmm(["--wait", "--control", socket]);
    const ended = endOf(vmm);
    const config = {
      ...{ name: "demo", kernel: folder.file("kernel", tinyKernel("halt")), cmdline: "" },
      ...{ memoryMiB: 128, cpus: 1, disks: [], nets: [] },
    };
    try {
      while (!folder.names().includes("control.sock")) {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      await body({ folder, socket, config, ended });
    } finally {
      try {
        vmm.kill("SIGKILL");
      } catch {
        // It has ended, as it should.
      }
      await ended;
    }
  };
  Deno.test({ name, ignore: !HAS_KVM, fn });
}

test("a VMM that waits runs what it is told, once", async ({ socket, config, ended }) => {
  assertEquals((await ask(socket, { op: "status" })).status.state, "waiting");
  const { ok, status } = await ask(socket, { op: "run", config });
  assertEquals([ok, status.name, status.state], [true, "demo", "running"]);
  const again = await ask(socket, { op: "run", config });
  assertStringIncludes(again.error, "Cannot run another guest");
  await ask(socket, { op: "kill" });
  assertEquals((await ended).code, EXIT_CODES.poweroff);
});

test("of its rehearsal nothing is left but threads' wake-ups", async ({ folder, socket }) => {
  const { pid } = (await ask(socket, { op: "status" })).status;
  assertEquals(folder.names(), ["control.sock", "kernel"]);
  const open = [...Deno.readDirSync(`/proc/${pid}/fd`)].map(({ name }) => {
    try {
      return Deno.readLinkSync(`/proc/${pid}/fd/${name}`);
    } catch {
      return "closed meanwhile";
    }
  });
  const left = open.filter((it) => /kvm|memfd/.test(it));
  const maps = await Deno.readTextFile(`/proc/${pid}/maps`);
  assertEquals([left, maps.match(/.*(kvm-|memfd:).*/g) ?? []], [[], []]);
});

test("a guest starts with what is in its ports, and lets go of it", async (vmm) => {
  const { socket, folder, ended } = vmm;
  const path = folder.file("disk", new Uint8Array(512));
  const plugged = { block4: { disk: { path, serial: "IN PORT" } } };
  const config = { ...vmm.config, hotplugPorts: 2, plugged };
  const { ok, error } = await ask(socket, { op: "run", config });
  assertEquals([ok, error], [true, undefined]);
  const { devices } = await ask(socket, { op: "devices" });
  assertEquals(Object.keys(devices), ["rng0", "block4"]);
  assertEquals((await ask(socket, { op: "unplug", device: "block4", force: true })).ok, true);
  const after = await ask(socket, { op: "devices" });
  assertEquals(Object.keys(after.devices), ["rng0"]);
  assertEquals((await ask(socket, { op: "plug", device: plugged.block4 })).plugged, "block0");
  await ask(socket, { op: "kill" });
  assertEquals((await ended).code, EXIT_CODES.poweroff);
});

test("what cannot be in a port is refused", async (vmm) => {
  const plugged = { block0: { disk: { path: `${vmm.folder.path}/none` } } };
  const config = { ...vmm.config, hotplugPorts: 1, plugged };
  assertStringIncludes((await ask(vmm.socket, { op: "run", config })).error, "none");
  assertEquals((await vmm.ended).code, EXIT_CODES.refused);
});

test("its folder may have moved meanwhile", async ({ folder, config, ended }) => {
  using moved = new Folder();
  const place = `${moved.path}/guest`;
  await Deno.rename(folder.path, place);
  // For the kernel, and so that both are there to be removed.
  await Deno.mkdir(folder.path);
  const kernel = `${place}/kernel`;
  const socket = `${place}/control.sock`;
  const request = { op: "run", folder: place, config: { ...config, kernel } };
  assertEquals((await ask(socket, request)).ok, true);
  await ask(socket, { op: "kill" });
  await ended;
  const end = JSON.parse(await Deno.readTextFile(`${place}/exit.json`));
  assertEquals(end.reason, "poweroff");
  assertEquals([...Deno.readDirSync(place)].some(({ name }) => name === "control.sock"), false);
});

test("what cannot run is refused with the reason, and that is the end", async (vmm) => {
  const config = { ...vmm.config, memoryMiB: 1 };
  const { ok, error } = await ask(vmm.socket, { op: "run", config });
  assertEquals(ok, false);
  assertStringIncludes(error, "the memory in MiB 1");
  assertEquals((await vmm.ended).code, EXIT_CODES.refused);
  const end = JSON.parse(await Deno.readTextFile(`${vmm.folder.path}/exit.json`));
  assertEquals([end.reason, end.message], ["refused", error]);
});

test("a snapshot that is none is refused as well", async ({ socket, folder, ended }) => {
  const { error } = await ask(socket, { op: "run", restore: `${folder.path}/nothing` });
  assertStringIncludes(error, "nothing");
  assertEquals((await ended).code, EXIT_CODES.refused);
});

test("nothing else can be asked of it, and it can be told to end", async ({ socket, ended }) => {
  for (const op of ["serial", "devices", "pause", "power_button", "resume"]) {
    const { ok, error } = await ask(socket, { op });
    assertEquals([ok, error], [false, "Cannot do that: no guest runs here yet"]);
  }
  for (const run of [{}, { config: 1 }, { restore: "relative" }, { config: {}, folder: "." }]) {
    assertStringIncludes((await ask(socket, { op: "run", ...run })).error, "it is no request");
  }
  assertEquals((await ask(socket, { op: "kill" })).ok, true);
  assertEquals((await ended).code, 0);
});
