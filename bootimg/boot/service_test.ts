import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { Backoff, FIRST_DELAY_MS, HEALTHY_MS, LONGEST_DELAY_MS } from "./backoff.ts";
import { lines, MAX_LINE_LENGTH } from "./lines.ts";
import { book } from "./log.ts";
import { Service } from "./service.ts";

Deno.test("waits double from death to death, up to a longest", () => {
  const backoff = new Backoff();
  const waits = Array.from({ length: 12 }, () => backoff.died(10));
  assertEquals(waits.slice(0, 4), [1, 2, 4, 8].map((it) => it * FIRST_DELAY_MS));
  assertEquals(waits.at(-1), LONGEST_DELAY_MS);
  assertEquals(backoff.deaths, 12);
});

Deno.test("a process that ran well for a while starts over with the shortest wait", () => {
  const backoff = new Backoff();
  for (let i = 0; i < 5; i++) backoff.died(10);
  assert(backoff.isWorrying);
  assertEquals(backoff.died(HEALTHY_MS), FIRST_DELAY_MS);
  assert(!backoff.isWorrying);
});

Deno.test("a process that dies is started again, and its last words are told", async () => {
  const file = await Deno.makeTempFile();
  const { promise, resolve } = Promise.withResolvers<string>();
  const service = new Service({
    name: "short-lived",
    command: ["/bin/sh", "-c", `echo run >> ${file}; echo it broke >&2; exit 3`],
    env: { PATH: "/bin:/usr/bin" },
  }, (trouble) => trouble && resolve(trouble));
  service.start();
  assertStringIncludes(await promise, "ended with code 3 (it broke)");
  await service.stop();
  assert((await Deno.readTextFile(file)).split("run").length > 3);
  await Deno.remove(file);
});

Deno.test("each process that is started is told, so that it can be limited", async () => {
  const told: number[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const service = new Service({
    name: "limited",
    command: ["/bin/sh", "-c", "exit 1"],
    onStart: (pid) => {
      told.push(pid);
      if (told.length === 2) resolve();
    },
  }, () => {});
  service.start();
  await promise;
  await service.stop();
  assert(told.every((it) => it > 0) && told[0] !== told[1]);
});

Deno.test("what a process writes is in the log: lines of JSON with what they tell, text as it is", async () => {
  const line = JSON.stringify({ level: "warn", message: "it came", guest: "web", room: "vmm" });
  const service = new Service({
    name: "telling",
    command: ["/bin/sh", "-c", `echo '${line}' >&2; echo out; exec sleep 1000`],
    env: { PATH: "/bin:/usr/bin" },
    speaksFor: ["vmm"],
  }, () => {});
  const before = book.last;
  service.start();
  const told = async () =>
    (await book.read({ after: before })).records.filter(({ room }) => room !== "boot");
  while ((await told()).length < 2) await new Promise((go) => setTimeout(go, 5));
  const records = (await told()).sort((a, b) => a.room < b.room ? -1 : 1);
  assertEquals(records.map(({ room, level, message }) => [room, level, message]), [
    ["telling", "info", "out"],
    ["vmm", "warning", "it came"],
  ]);
  assertEquals(records[1].fields, { guest: "web" });
  await service.stop();
});

Deno.test("a program that is not there is trouble, not an exception", async () => {
  const { promise, resolve } = Promise.withResolvers<string>();
  const service = new Service(
    { name: "absent", command: ["/nonexistent/program"] },
    (trouble) => trouble && resolve(trouble),
  );
  service.start();
  assertStringIncludes(await promise, "could not be started");
  await service.stop();
});

Deno.test("stopping ends a process that runs, for good", async () => {
  const file = await Deno.makeTempFile();
  const service = new Service({
    name: "long-lived",
    command: ["/bin/sh", "-c", `echo up > ${file}; exec sleep 1000`],
    env: { PATH: "/bin:/usr/bin" },
  }, () => {});
  service.start();
  while (await Deno.readTextFile(file) === "") await new Promise((go) => setTimeout(go, 5));
  await service.stop();
  await Deno.remove(file);
});

Deno.test("lines come whole however they were cut, and endless ones in pieces", async () => {
  const chunks = ["a", "b\r\nc", "\n\n", "x".repeat(MAX_LINE_LENGTH + 1), "\nend"];
  const stream = ReadableStream.from(chunks.map((it) => new TextEncoder().encode(it)));
  assertEquals(await Array.fromAsync(lines(stream)), [
    "ab",
    "c",
    "",
    "x".repeat(MAX_LINE_LENGTH),
    "x",
    "end",
  ]);
});
