import { assertEquals, assertStringIncludes } from "@std/assert";
import { cutOff, isDecided, restart, until } from "../testing/move_cuts.ts";
import { TwoHosts, whereabouts } from "../testing/two_hosts.ts";
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
  assertStringIncludes(
    moved.out,
    "the guest stood still for 13 ms, its memory was compressed 2.0 to 1",
  );
  await b.reaches(id, "running");
  assertEquals((await denovisor(a, "move", "web", hosts.peer)).code, 2, "it is not here any more");
  const offered = await denovisor(a, "--json", "peers", "pair");
  assertEquals(JSON.parse(offered.out).code.length, 23);
  assertEquals((await denovisor(a, "peers", "rm", hosts.peer)).code, 0);
  assertEquals((await denovisor(a, "--json", "peers")).out.trim(), "[]");
  assertEquals((await denovisor(a, "peers", "what")).code, 2);
});

Deno.test("snapshots are left out of a move only where that is meant", async () => {
  await using hosts = await TwoHosts.start();
  const { a, b } = hosts;
  const { id } = await hosts.guest("", { snapshots: ["one"] });
  const move = ["move", "web", hosts.peer, "--without-snapshots", "--post-copy"];
  assertEquals((await denovisor(a, ...move)).code, 2);
  assertEquals((await denovisor(a, ...move, "--confirm", "web", "--compress", "lz4")).code, 2);
  assertEquals((await denovisor(a, ...move, "--confirm", "other")).code, 2);
  assertEquals(a.supervisor.tasks.list().map(({ kind }) => kind), ["snapshot"]);
  const moved = await denovisor(a, ...move, "--confirm", "web", "--compress", "none");
  assertEquals([moved.code, moved.out.includes("compressed")], [0, false], moved.out);
  await b.reaches(id, "running");
  assertEquals((await b.supervisor.guests.snapshots.tree(id)).snapshots, []);
});

Deno.test("whose a guest is is said in a shell", async () => {
  await using hosts = await TwoHosts.start();
  const { a, b } = hosts;
  const guest = await hosts.guest("slow-go");
  const cut = () => b.supervisor.close();
  await cutOff(hosts, guest, { when: isDecided, afterMs: 150, cut });
  await b.down();
  await until(() => whereabouts(a, guest.id).state === "stopped", "the VMM's end");
  await restart(a);
  assertStringIncludes((await denovisor(a, "moves")).out, "has not said yet that it has it");
  assertEquals((await denovisor(a, "moves", "resolve", "web", "here")).code, 2);
  assertEquals((await denovisor(a, "moves", "resolve", "web", "away")).code, 2);
  assertEquals((await denovisor(a, "moves", "resolve", "db", "here", "--confirm", "db")).code, 2);
  assertStringIncludes((await denovisor(a, "moves")).out, "has not said yet that it has it");
  assertEquals((await denovisor(a, "moves", "resolve", "web", "here", "--confirm", "web")).code, 0);
  assertStringIncludes((await denovisor(a, "moves", "ls")).out, "settled by hand");
  assertEquals((await denovisor(a, "start", "web")).code, 0);
});
