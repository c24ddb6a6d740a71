import { assertEquals, assertStringIncludes } from "@std/assert";
import { TwoHosts } from "../testing/two_hosts.ts";
import type { TestHost } from "../testing/test_host.ts";
import { run } from "./main.ts";

async function denovisor(host: TestHost, ...args: string[]) {
  let out = "";
  const socket = host.path("run/supervisor.sock");
  const code = await run(["--socket", socket, ...args], (text) => {
    out += text;
    return Promise.resolve();
  });
  return { code, out };
}

Deno.test("hosts are paired and guests moved from a shell", async () => {
  await using hosts = await TwoHosts.start();
  const { a, b } = hosts;
  const { id } = await hosts.guest("slow-memory");
  const listed = await denovisor(a, "peers", "ls");
  assertEquals(listed.code, 0);
  assertStringIncludes(listed.out, hosts.peer);
  assertStringIncludes(listed.out, "yes");
  const moved = await denovisor(a, "move", "web", hosts.peer, "--pause", "100", "--limit", "1G");
  assertEquals(moved.code, 0);
  assertStringIncludes(moved.out, "Copying memory");
  assertStringIncludes(moved.out, "the guest stood still for 13 ms");
  await b.reaches(id, "running");
  assertEquals((await denovisor(a, "move", "web", hosts.peer)).code, 2, "it is not here any more");
  const offered = await denovisor(a, "--json", "peers", "pair");
  assertEquals(JSON.parse(offered.out).code.length, 23);
  assertEquals((await denovisor(a, "peers", "rm", hosts.peer)).code, 0);
  assertEquals((await denovisor(a, "--json", "peers")).out.trim(), "[]");
  assertEquals((await denovisor(a, "peers", "what")).code, 2);
});
