/** What is left of a move that is cut off, at each of its steps: the README's table. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { killProcess } from "../../sys/processes.ts";
import type { Guest, Task } from "../api/schemas.ts";
import type { TestHost } from "../testing/test_host.ts";
import { TwoHosts, whereabouts } from "../testing/two_hosts.ts";

const NOWHERE = { state: "none", hasDisks: false, hasRun: false };
const RUNS = { state: "running", hasDisks: true, hasRun: true };
const OFF = { state: "stopped", hasDisks: true, hasRun: false };

/** Waits until something is so. */
async function until(is: () => boolean, what: string): Promise<void> {
  for (const deadline = Date.now() + 60_000; !is();) {
    if (Date.now() > deadline) throw new Error(`Cannot wait any longer: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Calls `act` when the task of a host first is as `when` has it, within that very event. */
function at(host: TestHost, when: (task: Task) => boolean, act: () => void): void {
  let isDone = false;
  host.supervisor.events.subscribe((change) => {
    if (isDone || change.name !== "task" || !when(change.data)) return;
    isDone = true;
    act();
  });
}

/** The power of a host fails: its supervisor and its VMMs are gone, and all that is not on its disk. */
async function cutPower(host: TestHost): Promise<void> {
  const processes = host.names("run/guests").map((id) => host.processOf(id));
  host.supervisor.close();
  for (const process of processes) killProcess(process);
  await host.down();
  host.network.taps.clear();
  Deno.removeSync(host.path("run"), { recursive: true });
  Deno.mkdirSync(host.path("run"));
}

/** Sooner or later, each host has of the guest what it should. */
async function ends(
  { a, b }: TwoHosts,
  { id }: Guest,
  expected: { a: typeof RUNS; b: typeof RUNS },
): Promise<void> {
  const now = () => ({ a: whereabouts(a, id), b: whereabouts(b, id) });
  const isSo = () => JSON.stringify(now()) === JSON.stringify(expected);
  await until(isSo, "whereabouts").catch(() => {});
  assertEquals(now(), expected);
  for (const host of [a, b]) {
    const left = () =>
      host.supervisor.guests.ground.store.list({ arriving: true }).map((it) => it.id).join();
    assertEquals(left(), host.supervisor.guests.list().map((it) => it.id).join());
    await until(() => host.network.taps.size === host.names("run/guests").length, "taps");
  }
}

const isMoving = ({ phase }: Task) => phase === "Copying memory";
const isHandingOver = ({ phase, canCancel }: Task) => phase === "Handing over" && canCancel;
const isDecided = ({ phase, canCancel }: Task) => phase === "Handing over" && !canCancel;

Deno.test("cancelled while disks go: the guest runs on", async () => {
  await using hosts = await TwoHosts.start();
  const guest = await hosts.guest();
  const task = await hosts.move(guest.id, { bytesPerSecond: 1000 });
  await until(() => hosts.b.names("run/guests").length > 0, "the other VMM");
  hosts.a.supervisor.tasks.cancel(task.id);
  assertEquals((await hosts.end(task)).state, "cancelled");
  await ends(hosts, guest, { a: RUNS, b: NOWHERE });
});

Deno.test("cancelled while memory goes: the guest runs on, and can move after all", async () => {
  await using hosts = await TwoHosts.start();
  const guest = await hosts.guest("slow-memory");
  at(hosts.a, isMoving, () => {
    const [task] = hosts.a.supervisor.tasks.list();
    setTimeout(() => hosts.a.supervisor.tasks.cancel(task.id), 300);
  });
  assertEquals((await hosts.end(await hosts.move(guest.id))).state, "cancelled");
  await ends(hosts, guest, { a: RUNS, b: NOWHERE });
  assertEquals((await hosts.end(await hosts.move(guest.id))).state, "done");
  await ends(hosts, guest, { a: NOWHERE, b: RUNS });
});

Deno.test("it takes too long: the guest runs on", async () => {
  await using hosts = await TwoHosts.start();
  const guest = await hosts.guest();
  const task = await hosts.end(
    await hosts.move(guest.id, { bytesPerSecond: 1000, withinSeconds: 1 }),
  );
  assertEquals([task.state, task.error], ["failed", "It has taken 1 s"]);
  await ends(hosts, guest, { a: RUNS, b: NOWHERE });
});

Deno.test("the other host goes while memory goes: the guest runs on", async () => {
  await using hosts = await TwoHosts.start();
  const guest = await hosts.guest("slow-memory");
  at(hosts.a, isMoving, () => setTimeout(() => hosts.b.supervisor.close(), 200));
  assertEquals((await hosts.end(await hosts.move(guest.id))).state, "failed");
  await hosts.b.down();
  await hosts.b.up();
  await ends(hosts, guest, { a: RUNS, b: NOWHERE });
});

for (const word of ["no-cpu", "dies-before-ready"]) {
  Deno.test(`the other VMM does not take it (${word}): the guest runs on`, async () => {
    await using hosts = await TwoHosts.start();
    const guest = await hosts.guest(word);
    const task = await hosts.end(await hosts.move(guest.id));
    assertEquals(task.state, "failed");
    if (word === "no-cpu") assertStringIncludes(task.error!, "the CPU has no avx512f");
    await ends(hosts, guest, { a: RUNS, b: NOWHERE });
  });
}

Deno.test("this supervisor goes while memory goes: the guest runs on", async () => {
  await using hosts = await TwoHosts.start();
  const guest = await hosts.guest("slow-memory");
  const gone = Promise.withResolvers<void>();
  at(hosts.a, isMoving, () =>
    setTimeout(() => {
      hosts.a.supervisor.close();
      gone.resolve();
    }, 200));
  await hosts.move(guest.id);
  await gone.promise;
  await hosts.a.down();
  await hosts.a.up();
  await ends(hosts, guest, { a: RUNS, b: NOWHERE });
});

Deno.test("this VMM is killed while memory goes: the guest is off, here", async () => {
  await using hosts = await TwoHosts.start();
  const guest = await hosts.guest("slow-memory");
  at(hosts.a, isMoving, () => setTimeout(() => killProcess(hosts.a.processOf(guest.id)), 200));
  assertEquals((await hosts.end(await hosts.move(guest.id))).state, "failed");
  await ends(hosts, guest, { a: { ...OFF, state: "failed" }, b: NOWHERE });
});

for (
  const [when, what] of [
    [isHandingOver, "before the other host keeps it"],
    [isDecided, "when the other host keeps it"],
  ] as const
) {
  Deno.test(`this supervisor goes, ${what}: the guest runs on`, async () => {
    await using hosts = await TwoHosts.start();
    const guest = await hosts.guest();
    const gone = Promise.withResolvers<void>();
    at(hosts.a, when, () => {
      hosts.a.supervisor.close();
      gone.resolve();
    });
    await hosts.move(guest.id);
    await gone.promise;
    await hosts.a.down();
    await hosts.a.up();
    await ends(hosts, guest, { a: RUNS, b: NOWHERE });
  });
}

Deno.test("the power here fails when the other host keeps it: the guest is off, here", async () => {
  await using hosts = await TwoHosts.start();
  const guest = await hosts.guest();
  const gone = Promise.withResolvers<void>();
  at(hosts.a, isDecided, () => {
    killProcess(hosts.a.processOf(guest.id));
    hosts.a.supervisor.close();
    gone.resolve();
  });
  await hosts.move(guest.id);
  await gone.promise;
  await cutPower(hosts.a);
  await hosts.a.up();
  await ends(hosts, guest, { a: OFF, b: NOWHERE });
});

Deno.test("the other host goes when it keeps it: the guest runs on", async () => {
  await using hosts = await TwoHosts.start();
  const guest = await hosts.guest();
  // Within the event, before anything else is done: the VMM was not told that it may.
  at(hosts.a, isDecided, () => hosts.b.supervisor.close());
  const gone = Promise.withResolvers<void>();
  at(hosts.a, isDecided, () => gone.resolve());
  await hosts.move(guest.id);
  await gone.promise;
  await hosts.b.down();
  await hosts.b.up();
  const somewhere = () =>
    [hosts.a, hosts.b].map((host) => whereabouts(host, guest.id).state).join();
  await until(() => ["running,none", "none,running"].includes(somewhere()), somewhere());
});

Deno.test("the VMM changes its mind: the guest runs on", async () => {
  await using hosts = await TwoHosts.start();
  const guest = await hosts.guest("changes-its-mind");
  const task = await hosts.end(await hosts.move(guest.id));
  assertStringIncludes(task.error!, "its disks have no room");
  await ends(hosts, guest, { a: RUNS, b: NOWHERE });
  const changed = await hosts.a.local.client.call("updateGuest", {
    params: { id: guest.id },
    body: { name: "other" },
  });
  assertEquals(changed.name, "other", "nobody has hold of it");
});

for (
  const [word, what] of [
    ["dies-at-go", "this VMM is killed as it was told that it may"],
    ["dies-when-written", "this VMM is killed when it has written it down"],
    ["dies-when-said", "this VMM is killed when it has said so"],
    ["mute-go", "the word is lost"],
    ["silent-receiver", "the answer is lost"],
  ] as const
) {
  Deno.test(`${what}: the guest runs there`, async () => {
    await using hosts = await TwoHosts.start();
    const guest = await hosts.guest(word);
    assertEquals((await hosts.end(await hosts.move(guest.id))).state, "done");
    await ends(hosts, guest, { a: NOWHERE, b: RUNS });
  });
}

Deno.test("the other VMM is killed by the word: the guest is off, there", async () => {
  await using hosts = await TwoHosts.start();
  const guest = await hosts.guest("dies-at-word");
  assertEquals((await hosts.end(await hosts.move(guest.id))).state, "done");
  await ends(hosts, guest, { a: NOWHERE, b: { ...OFF, state: "failed" } });
  assertStringIncludes(hosts.b.supervisor.guests.get(guest.id).error!, "while it changed hosts");
});

Deno.test("this supervisor goes when the VMM was told: the guest runs there", async () => {
  await using hosts = await TwoHosts.start();
  const guest = await hosts.guest("slow-go");
  const gone = Promise.withResolvers<void>();
  at(hosts.a, isDecided, () =>
    setTimeout(() => {
      hosts.a.supervisor.close();
      gone.resolve();
    }, 150));
  await hosts.move(guest.id);
  await gone.promise;
  await hosts.a.down();
  // The pretended VMM goes on where its caller has gone; a true one gives it up unless it was too late.
  await new Promise((resolve) => setTimeout(resolve, 500));
  await hosts.a.up();
  await ends(hosts, guest, { a: NOWHERE, b: RUNS });
});

Deno.test("the other host goes when the VMM was told: locked here, until it is back", async () => {
  await using hosts = await TwoHosts.start();
  const guest = await hosts.guest("slow-go");
  const gone = Promise.withResolvers<void>();
  at(hosts.a, isDecided, () =>
    setTimeout(() => {
      hosts.b.supervisor.close();
      gone.resolve();
    }, 150));
  const task = await hosts.move(guest.id);
  await gone.promise;
  await hosts.b.down();
  await until(() => whereabouts(hosts.a, guest.id).state === "stopped", "the VMM's end");
  const refused = await hosts.a.start(guest.id).catch((error) => error.problem);
  // The move still waits for the other host's word.
  assertEquals(refused.code, "busy");
  // A supervisor that starts again, and its guests with it, changes nothing of that.
  await hosts.a.down();
  await hosts.a.up();
  const again = await hosts.a.start(guest.id).catch((error) => error.problem);
  assertStringIncludes(again.message, "it was given to the host");
  await hosts.b.up();
  await ends(hosts, guest, { a: NOWHERE, b: RUNS });
  assertEquals(task.kind, "move");
});

Deno.test("the power there fails when the VMM was told: the guest is off, there", async () => {
  await using hosts = await TwoHosts.start();
  const guest = await hosts.guest("slow-go");
  const gone = Promise.withResolvers<void>();
  at(hosts.a, isDecided, () =>
    setTimeout(() => {
      killProcess(hosts.b.processOf(guest.id));
      hosts.b.supervisor.close();
      gone.resolve();
    }, 150));
  await hosts.move(guest.id);
  await gone.promise;
  await cutPower(hosts.b);
  await until(() => whereabouts(hosts.a, guest.id).state === "stopped", "the VMM's end");
  await hosts.b.up();
  await ends(hosts, guest, { a: NOWHERE, b: { ...OFF, state: "failed" } });
});

Deno.test("the power here fails when it runs there: it runs there, and only there", async () => {
  await using hosts = await TwoHosts.start();
  const guest = await hosts.guest();
  const gone = Promise.withResolvers<void>();
  const end = hosts.b.supervisor.events.subscribe((change) => {
    if (change.name !== "guest" || change.data.id !== guest.id) return;
    end();
    // In the same process, so nothing of the other comes between.
    hosts.a.supervisor.close();
    gone.resolve();
  });
  await hosts.move(guest.id);
  await gone.promise;
  await cutPower(hosts.a);
  await hosts.a.up();
  await ends(hosts, guest, { a: NOWHERE, b: RUNS });
});

Deno.test("the power here fails before the VMM gave it away: the guest is off, here", async () => {
  await using hosts = await TwoHosts.start();
  const guest = await hosts.guest("slow-go");
  const gone = Promise.withResolvers<void>();
  at(hosts.a, isDecided, () =>
    setTimeout(() => {
      killProcess(hosts.a.processOf(guest.id));
      hosts.a.supervisor.close();
      gone.resolve();
    }, 150));
  await hosts.move(guest.id);
  await gone.promise;
  await cutPower(hosts.a);
  await hosts.a.up();
  await ends(hosts, guest, { a: OFF, b: NOWHERE });
  assertEquals((await hosts.a.start(guest.id)).state, "running", "nobody has hold of it");
});
