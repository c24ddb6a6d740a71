import { assertEquals, assertStringIncludes } from "@std/assert";
import { ask } from "./testing/control_connection.ts";
import { tinyKernel } from "./testing/tiny_kernel.ts";
import { endOf, Folder, HAS_KVM, startVmm } from "./testing/vmm_process.ts";

Deno.test({
  name: "a disk is what the command line says, and grows while its guest runs",
  ignore: !HAS_KVM,
  async fn() {
    using folder = new Folder();
    const path = folder.file("disk.raw", new Uint8Array(1 << 20));
    const socket = `${folder.path}/control`;
    const vmm = startVmm([
      ...["--kernel", folder.file("kernel", tinyKernel("halt")), "--memory", "128M"],
      ...["--cpus", "2", "--control", socket, "--disk", `${path},cache=direct,operations=100`],
    ]);
    const ended = endOf(vmm);
    try {
      let over = false;
      ended.then(() => over = true);
      while (!folder.names().includes("control") && !over) {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      const { block0 } = (await ask(socket, { op: "devices" })).devices;
      const { sizeBytes, queues, rateLimit, writeCache, engine } = block0;
      assertEquals({ sizeBytes, queues, rateLimit, writeCache, engine }, {
        sizeBytes: 1 << 20,
        queues: 2,
        rateLimit: { operationsPerSecond: 100 },
        writeCache: true,
        // No driver has taken it.
        engine: null,
      });
      const change = (change: unknown) => ask(socket, { op: "change", device: "block0", change });
      await change({ sizeBytes: 1 << 22, rateLimit: null });
      const { block0: after } = (await ask(socket, { op: "devices" })).devices;
      assertEquals([after.sizeBytes, after.rateLimit], [1 << 22, {}]);
      assertEquals(Deno.statSync(path).size, 1 << 22);
      assertStringIncludes((await change({ sizeBytes: 512 })).error, "cannot shrink");
      await ask(socket, { op: "kill" });
      assertEquals((await ended).code, 0);
    } finally {
      try {
        vmm.kill("SIGKILL");
      } catch {
        // It has ended, as it should.
      }
      await ended;
    }
  },
});
