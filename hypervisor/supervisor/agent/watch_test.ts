import { assertEquals } from "@std/assert";
import { TestHost } from "../testing/test_host.ts";

const SOON = { soonMs: 20, laterMs: 40, limitMs: 2000 };

Deno.test("a guest with an agent tells its system and addresses, and forgets them with its run", async () => {
  await using host = await TestHost.start({ agents: SOON });
  const { id } = await host.guest({ cmdline: "agent" });
  assertEquals((await host.start(id)).agentFacts, null);
  const told = await host.until(id, ({ agentFacts }) => agentFacts !== null);
  assertEquals(told.agentFacts, {
    os: "Debian GNU/Linux 13 (trixie)",
    addresses: ["192.168.1.77", "2001:db8::7"],
  });
  await host.down();
  await host.up();
  await host.until(id, ({ agentFacts }) => agentFacts !== null);
  await host.stop(id);
  assertEquals((await host.get(id)).agentFacts, null);
});

Deno.test("guests without an agent, or without a channel to one, tell nothing and run on", async () => {
  await using host = await TestHost.start({ agents: { ...SOON, limitMs: 20 } });
  const silent = await host.guest({ name: "silent" });
  const closed = await host.guest({ name: "closed", agent: false });
  await host.start(silent.id);
  await host.start(closed.id);
  await new Promise((resolve) => setTimeout(resolve, 200));
  for (const { id } of [silent, closed]) {
    const { state, agentFacts } = await host.get(id);
    assertEquals([state, agentFacts], ["running", null]);
  }
});
