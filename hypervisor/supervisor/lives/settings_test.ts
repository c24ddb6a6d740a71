import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { ApiError } from "../api/client.ts";
import type { GuestUpdate } from "../api/schemas.ts";
import { TestHost } from "../testing/test_host.ts";

async function refused(promise: Promise<unknown>, code: string): Promise<ApiError> {
  const error = await assertRejects(() => promise, ApiError);
  assertEquals(error.problem.code, code, error.message);
  return error;
}

function change(host: TestHost, id: string, body: GuestUpdate) {
  return host.local.client.call("updateGuest", { params: { id }, body });
}

function configOf(host: TestHost, id: string) {
  return JSON.parse(Deno.readTextFileSync(host.path("run/guests", id, "config.json")));
}

Deno.test("processors and memory reach the VMM as they were chosen", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest({
    cpus: 4,
    memoryMiB: 1024,
    cpu: {
      model: "x86-64-v3",
      topology: { sockets: 1, cores: 2, threads: 2 },
      nested: true,
      hyperv: true,
      pinning: [[0], [0, 1], [], [1]],
    },
    memory: { hugePages: "transparent", balloonMiB: 100, hotplugMiB: 1024, requestedMiB: 512 },
    hotplugPorts: 0,
    agent: false,
  });
  await host.start(id);
  const { cpu, cpuAffinity, memory, balloon, hotplugPorts, ports } = configOf(host, id);
  assertEquals({ cpu, cpuAffinity, memory, balloon, hotplugPorts, ports }, {
    cpu: {
      model: "x86-64-v3",
      topology: { sockets: 1, cores: 2, threads: 2 },
      hyperv: true,
      nested: true,
    },
    cpuAffinity: [[0], [0, 1], [], [1]],
    memory: { hugePages: "transparent", hotplugMiB: 1024, requestedMiB: 512 },
    balloon: { targetMiB: 100 },
    hotplugPorts: undefined,
    ports: undefined,
  });
});

Deno.test("where nothing is chosen, a guest has a balloon, an agent's port and three for devices", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest();
  await host.start(id);
  const { cpu, memory, balloon, hotplugPorts, ports } = configOf(host, id);
  assertEquals({ cpu, memory, balloon, hotplugPorts, ports }, {
    cpu: undefined,
    memory: undefined,
    balloon: { targetMiB: 0 },
    hotplugPorts: 3,
    ports: [{
      name: "org.qemu.guest_agent.0",
      socket: host.path("run/guests", id, "agent.sock"),
    }],
  });
});

Deno.test("pages of a pool are never given back: such a guest has no balloon", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest({ memory: { hugePages: "2M" } });
  await host.start(id);
  assertEquals(configOf(host, id).balloon, undefined);
});

Deno.test("balloon and added memory change while a guest runs, the rest at its next start", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest({ memoryMiB: 512, memory: { hotplugMiB: 1024 } });
  await host.start(id);
  const moved = await change(host, id, { memory: { balloonMiB: 128, requestedMiB: 256 } });
  assertEquals([moved.memory.balloonMiB, moved.memory.requestedMiB], [128, 256]);
  assertEquals(moved.pending, []);
  const { balloon0, mem0 } = await host.processFor(id).devices();
  assertEquals([balloon0.targetMiB, mem0.requestedMiB], [128, 256]);

  const later = await change(host, id, {
    cpus: 2,
    name: "db",
    cpu: { nested: true },
    memory: { hugePages: "none" },
  });
  assertEquals(later.pending, ["cpus", "cpu.nested", "memory.hugePages"]);
  await host.down();
  await host.up();
  assertEquals((await host.reaches(id, "running")).pending, later.pending);
  await host.stop(id);
  assertEquals((await host.get(id)).pending, []);
  await host.start(id);
  assertEquals(configOf(host, id).cpus, 2);
});

Deno.test("what cannot change now waits, and what does not fit together is told by field", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest({ memoryMiB: 256 });
  await host.start(id);
  // The running guest has not the memory to give so much back.
  const { pending } = await change(host, id, { memoryMiB: 1024, memory: { balloonMiB: 512 } });
  assertEquals(pending, ["memoryMiB", "memory.balloonMiB"]);
  const wrong: [GuestUpdate, string][] = [
    [{ memory: { balloonMiB: 2000 } }, "memory.balloonMiB"],
    [{ memory: { requestedMiB: 128 } }, "memory.requestedMiB"],
    [{ memory: { hotplugMiB: 128, requestedMiB: 1 } }, "memory.requestedMiB"],
    [{ memory: { mergeable: true, hotplugMiB: 128 } }, "memory.mergeable"],
    [{ memoryMiB: 1025, memory: { hugePages: "2M", balloonMiB: 0 } }, "memoryMiB"],
    [{ memory: { hugePages: "2M" } }, "memory.balloonMiB"],
    [{ cpus: 2, cpu: { topology: { sockets: 1, cores: 3, threads: 1 } } }, "cpu.topology"],
    [{ cpus: 2, cpu: { pinning: [[0]] } }, "cpu.pinning"],
  ];
  for (const [body, path] of wrong) {
    const { problem } = await refused(change(host, id, body), "invalid_body");
    assertEquals(problem.fields?.map((it) => it.path), [path], JSON.stringify(body));
  }
});

Deno.test("memory that is added counts as promised", async () => {
  await using host = await TestHost.start();
  const first = await host.guest({ name: "first", memoryMiB: 2048, memory: { hotplugMiB: 2048 } });
  const second = await host.guest({ name: "second", memoryMiB: 1024 });
  await host.start(first.id);
  await host.start(second.id);
  const error = await refused(
    change(host, first.id, { memory: { requestedMiB: 2048 } }),
    "not_enough_memory",
  );
  assertStringIncludes(error.message, 'Cannot add memory to "first"');
  assertEquals((await change(host, first.id, { memory: { requestedMiB: 1024 } })).pending, []);
  await host.stop(second.id);
  const third = await host.guest({ name: "third", memoryMiB: 1025 });
  await refused(host.start(third.id), "not_enough_memory");
});

Deno.test("a guest is paused and goes on; while it stands still it takes no button", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest();
  const { client } = host.local;
  const params = { id };
  await refused(client.call("pauseGuest", { params }), "wrong_state");
  await host.start(id);
  await refused(client.call("resumeGuest", { params }), "wrong_state");
  await client.call("pauseGuest", { params });
  const paused = await host.until(id, ({ pausedFor }) => pausedFor !== null);
  assertEquals([paused.state, paused.pausedFor], ["running", "It was told to pause"]);
  const error = await refused(client.call("stopGuest", { params }), "wrong_state");
  assertStringIncludes(error.message, "a guest that is paused");
  await refused(client.call("pauseGuest", { params }), "wrong_state");
  await host.down();
  await host.up();
  await host.until(id, ({ pausedFor }) => pausedFor !== null);
  await host.local.client.call("resumeGuest", { params });
  await host.until(id, ({ pausedFor }) => pausedFor === null);
  await host.stop(id);
});

Deno.test("the host's shutdown lets paused guests go on, so that they can stop", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest();
  await host.start(id);
  await host.local.client.call("pauseGuest", { params: { id } });
  await host.until(id, ({ pausedFor }) => pausedFor !== null);
  let last;
  for await (const step of host.local.client.lines("shutdownHost", { body: {} })) last = step;
  assertEquals(last, { done: true, running: [], saving: [], forced: [] });
});
