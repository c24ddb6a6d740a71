/**
 * A guest of a few bytes over the end of its host, with the supervisor and the real VMM.
 *
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { HAS_KVM } from "../../hypervisor/kvm/testing/has_kvm.ts";
import { hostMemoryMiB } from "../../hypervisor/supervisor/host.ts";
import { TestHost } from "../../hypervisor/supervisor/testing/test_host.ts";
import { vmmCommand } from "../../hypervisor/supervisor/vmm_command.ts";
import { tinyKernel } from "../../hypervisor/vmm/testing/tiny_kernel.ts";

const VMM = fromFileUrl(new URL("../../hypervisor/vmm/main.ts", import.meta.url));
const PATIENCE_MS = 60_000;

async function startHost(): Promise<TestHost> {
  const host = await TestHost.start({ command: vmmCommand(VMM), memoryMiB: hostMemoryMiB });
  // Says "hello" when it boots, and after that what it is told.
  await host.local.client.upload({ kind: "kernel", name: "k" }, tinyKernel("echo"));
  return host;
}

/** What a guest has said by the time that it has said `last`, having been told `told`. */
async function heard(host: TestHost, id: string, last: string, told = ""): Promise<string> {
  using control = await host.supervisor.guests.openSerial(id);
  await control.connection.write(new TextEncoder().encode(told));
  const decoder = new TextDecoder();
  let text = decoder.decode(control.lines.rest());
  const late = setTimeout(control.close, PATIENCE_MS);
  while (!text.includes(last)) {
    const more = await control.lines.read().catch(() => null);
    if (more === null) throw new Error(`The guest says no more than ${JSON.stringify(text)}`);
    text += decoder.decode(more);
  }
  clearTimeout(late);
  return text;
}

/** A guest that has run, over the end of its host. */
async function saved(host: TestHost): Promise<string> {
  const { id } = await host.guest({ nets: [], disks: [{ sizeMiB: 1 }], autostart: true });
  await host.start(id);
  await heard(host, id, "hello");
  await heard(host, id, "abc", "abc");
  for await (const _ of host.local.client.lines("shutdownHost", { body: {} }));
  assert((await host.get(id)).savedAt !== null);
  host.assertNothingLeft();
  await host.down();
  Deno.removeSync(host.path("run"), { recursive: true });
  return id;
}

Deno.test({
  name: "a guest goes on over the end of its host where it was, and boots the next time",
  ignore: !HAS_KVM,
  async fn() {
    await using host = await startHost();
    const id = await saved(host);
    await host.up();
    await host.supervisor.guests.autostart();
    const back = await host.get(id);
    assertEquals([back.state, back.savedAt], ["running", null]);
    const said = await heard(host, id, "xyz", "xyz");
    // It was in the middle of its work: it does not greet again.
    assert(!said.includes("hello"), said);
    assertEquals(host.names(`data/guests/${id}/saved`), []);
    const ended = host.until(id, ({ state }) => state === "stopped");
    await host.local.client.call("stopGuest", { params: { id }, body: { force: true } });
    await ended;
    await host.start(id);
    await heard(host, id, "hello");
  },
});

for (
  const [what, damage] of [
    ["is of another format", (path: string) => Deno.writeTextFileSync(path, "a newer one's")],
    ["is cut short", (path: string) => Deno.truncateSync(path, 8192)],
  ] as const
) {
  Deno.test({
    name: `a guest whose save ${what} boots, and a task tells why`,
    ignore: !HAS_KVM,
    async fn() {
      await using host = await startHost();
      const id = await saved(host);
      const [save] = host.names(`data/guests/${id}/saved`);
      const memory = host.path("data/guests", id, "saved", save, "memory");
      const sizeOf = (name: string) => Deno.statSync(`${memory}/${name}`).size;
      const files = [...Deno.readDirSync(memory)].map(({ name }) => name)
        .sort((a, b) => sizeOf(a) - sizeOf(b));
      damage(`${memory}/${what === "is cut short" ? files.at(-1)! : files[0]}`);
      await host.up();
      await host.supervisor.guests.autostart();
      await heard(host, id, "hello");
      const task = host.supervisor.tasks.list().find(({ kind }) => kind === "restore")!;
      assertEquals(task.state, "failed");
      assertStringIncludes(task.error!, "It boots instead");
      assertEquals((await host.get(id)).state, "running");
    },
  });
}
