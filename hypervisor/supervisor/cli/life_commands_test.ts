import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { Task } from "../api/schemas.ts";
import { TestHost } from "../testing/test_host.ts";
import { run } from "./main.ts";
import { endText, progressText } from "./task_progress.ts";

/** Runs a command on a test's host and returns what it printed. */
async function cli(host: TestHost, ...args: string[]): Promise<{ code: number; text: string }> {
  let text = "";
  const { error } = console;
  console.error = (line: string) => text += line;
  try {
    const code = await run(["--socket", host.path("run/supervisor.sock"), ...args], (part) => {
      text += part;
      return Promise.resolve();
    });
    return { code, text };
  } finally {
    console.error = error;
  }
}

Deno.test("snapshots, reverts and forks from the command line", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest({ disks: [{ sizeMiB: 1 }], cmdline: "" });
  await host.start(id);
  const ok = async (...args: string[]) => {
    const { code, text } = await cli(host, ...args);
    assertEquals(code, 0, `${args.join(" ")}: ${text}`);
    return text;
  };
  assertStringIncludes(
    await ok("snapshot", "create", "web", "first", "--description", "the first"),
    "The snapshot of web is done: the guest stood still for 12 ms",
  );
  await ok("snapshot", "create", "web", "disks only", "--no-memory", "--template");
  const listed = await ok("snapshot", "ls", "web");
  assertStringIncludes(listed, "* disks only (template)  first");
  assertStringIncludes(await ok("templates"), "disks only  web    -");
  await ok("snapshot", "rename", "web", "disks only", "disks");
  assertStringIncludes(await ok("revert", "web", "first"), "The revert of web is done");
  assertStringIncludes(await ok("snapshot", "ls", "web"), "* first");
  await ok("revert", "web", "first", "--start", "no");
  assertStringIncludes(await ok("guests"), "its next start goes on from a snapshot's memory");
  assert(!(await ok("discard-memory", "web")).includes("goes on"));
  const forked = await ok("fork", "web", "--count", "2", "--snapshot", "first", "--name", "copy");
  assertStringIncludes(forked, "The fork of web is done: 2 new guests");
  assertStringIncludes(await ok("guests"), "copy-2");
  await ok("snapshot", "rm", "web", "first");
  const { text: json } = await cli(host, "--json", "fork", "web", "--no-start");
  assertEquals(JSON.parse(json).made.length, 1);
  const begun = (await ok("fork", "web", "--no-start", "--no-wait")).trim();
  await host.ended(host.supervisor.tasks.get(begun));
  const tasks = await ok("tasks");
  assertStringIncludes(tasks, "fork      web    1 new guest");
  assertStringIncludes(tasks, begun);
  const late = await cli(host, "cancel", begun);
  assertEquals(late.code, 1);
  assertStringIncludes(late.text, "Cannot cancel the fork: it is done");
});

Deno.test("a task that fails, or is given up, fails its command", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest({ cmdline: "save-fails" });
  await host.start(id);
  const failed = await cli(host, "snapshot", "create", "web", "a");
  assertEquals(failed.code, 1);
  assertStringIncludes(failed.text, "Cannot save: its memory cannot be read");
  const slow = await host.guest({ name: "slow", cmdline: "saves-slowly" });
  await host.start(slow.id);
  const begun = (await cli(host, "snapshot", "create", "slow", "a", "--no-wait")).text.trim();
  assertEquals((await cli(host, "cancel", begun)).code, 0);
  assertEquals((await host.ended(host.supervisor.tasks.get(begun))).state, "cancelled");
});

Deno.test("what is typed wrong is told", async () => {
  await using host = await TestHost.start();
  await host.guest();
  const wrong = [
    ["snapshot"],
    ["snapshot", "dance", "web"],
    ["snapshot", "constructor"],
    ["snapshot", "create", "web"],
    ["snapshot", "rm", "web", "none"],
    ["revert", "web"],
    ["revert", "web", "none"],
    ["fork", "web", "--count", "many"],
    ["fork", "web", "--network", "constructor"],
    ["fork", "nobody"],
  ];
  for (const args of wrong) {
    const { code, text } = await cli(host, ...args);
    assertEquals(code, 2, args.join(" "));
    assertStringIncludes(text, "Usage: denovisor");
  }
});

Deno.test("how far a task is, and how it ended, is a line", () => {
  const task: Task = {
    ...{ id: "T", kind: "snapshot", guest: "G", guestName: "web", detail: "a", state: "running" },
    ...{ phase: "Copying memory", doneAmount: 0, totalAmount: 0, unit: "bytes", canCancel: true },
    ...{ pauseMs: null, sent: null, made: [], error: null, startedAt: "", endedAt: null },
  };
  assertEquals(progressText(task), "Copying memory");
  const half = { ...task, doneAmount: 2 ** 29, totalAmount: 2 ** 30 };
  assertEquals(progressText(half), "Copying memory: 50 %, 512 of 1024 MiB");
  assertEquals(
    progressText({ ...task, unit: "steps", doneAmount: 1, totalAmount: 3 }),
    "Copying memory: 1 of 3",
  );
  assertEquals(
    endText({ ...task, state: "done", made: ["A"], pauseMs: 12.4 }),
    "The snapshot of web is done: 1 new guest, the guest stood still for 12 ms",
  );
  const moved = (wireBytes: number) =>
    endText({ ...task, kind: "move", state: "done", sent: { memoryBytes: 240, wireBytes } });
  assertEquals(moved(100), "The move of web is done: its memory was compressed 2.4 to 1");
  // Hardly, not at all, or nobody knows.
  assertEquals([moved(235), moved(241), moved(0)], new Array(3).fill("The move of web is done"));
});
