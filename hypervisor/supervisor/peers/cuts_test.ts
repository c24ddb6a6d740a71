/** What is left of a move that is cut off, at each of its steps: the README's table. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { killProcess } from "../../sys/processes.ts";
import type { Guest, Task } from "../api/schemas.ts";
import {
  at,
  cutOff,
  cutPower,
  cutTest,
  ends as endsWith,
  isDecided,
  isHandingOver,
  isMoving,
  NOWHERE,
  OFF,
  restart,
  RUNS,
  until,
} from "../testing/move_cuts.ts";
import { type TwoHosts, whereabouts } from "../testing/two_hosts.ts";

const isWithSnapshots = ({ phase }: Task) => phase === "Copying snapshots";

/** A guest with a snapshot, which is to be where the guest is. */
function guestOf(hosts: TwoHosts, cmdline = ""): Promise<Guest> {
  return hosts.guest(cmdline, { snapshots: ["before"] });
}

function ends(
  hosts: TwoHosts,
  guest: Guest,
  expected: { a: typeof RUNS; b: typeof RUNS },
): Promise<void> {
  return endsWith(hosts, guest, { ...expected, snapshots: ["before"] });
}

cutTest(
  "cancelled while snapshots go: the guest runs on, with them, and can move after all",
  async (start) => {
    await using hosts = await start();
    const guest = await guestOf(hosts);
    const task = await hosts.move(guest.id, { bytesPerSecond: 1000 });
    await until(() => hosts.a.supervisor.tasks.get(task.id).phase === "Copying snapshots", "phase");
    hosts.a.supervisor.tasks.cancel(task.id);
    assertEquals((await hosts.end(task)).state, "cancelled");
    await ends(hosts, guest, { a: RUNS, b: NOWHERE });
    assertEquals((await hosts.end(await hosts.move(guest.id))).state, "done");
    await ends(hosts, guest, { a: NOWHERE, b: RUNS });
  },
);

cutTest("the other host goes while snapshots go: the guest runs on, with them", async (start) => {
  await using hosts = await start();
  const guest = await guestOf(hosts);
  const cut = () => hosts.b.supervisor.close();
  const task = await cutOff(hosts, guest, { when: isWithSnapshots, cut });
  assertEquals((await hosts.end(task)).state, "failed");
  await restart(hosts.b);
  await ends(hosts, guest, { a: RUNS, b: NOWHERE });
});

for (const who of ["a", "b"] as const) {
  const where = who === "a" ? "here" : "there";
  cutTest(
    `the power ${where} fails while snapshots go: nothing of them is there`,
    async (start) => {
      await using hosts = await start();
      const guest = await guestOf(hosts);
      const cut = () => hosts[who].supervisor.close();
      await cutOff(hosts, guest, { when: isWithSnapshots, cut });
      await cutPower(hosts[who]);
      await hosts[who].up();
      await ends(hosts, guest, { a: who === "a" ? OFF : RUNS, b: NOWHERE });
    },
  );
}

cutTest("cancelled while disks go: the guest runs on", async (start) => {
  await using hosts = await start();
  const guest = await guestOf(hosts);
  const task = await hosts.move(guest.id, { bytesPerSecond: 1000 });
  await until(() => hosts.b.names("run/guests").length > 0, "the other VMM");
  hosts.a.supervisor.tasks.cancel(task.id);
  assertEquals((await hosts.end(task)).state, "cancelled");
  await ends(hosts, guest, { a: RUNS, b: NOWHERE });
});

cutTest("cancelled while memory goes: the guest runs on, and can move after all", async (start) => {
  await using hosts = await start();
  const guest = await guestOf(hosts, "slow-memory");
  at(hosts.a, isMoving, () => {
    const [task] = hosts.a.supervisor.tasks.list();
    setTimeout(() => hosts.a.supervisor.tasks.cancel(task.id), 300);
  });
  assertEquals((await hosts.end(await hosts.move(guest.id))).state, "cancelled");
  await ends(hosts, guest, { a: RUNS, b: NOWHERE });
  assertEquals((await hosts.end(await hosts.move(guest.id))).state, "done");
  await ends(hosts, guest, { a: NOWHERE, b: RUNS });
});

cutTest("it takes too long: the guest runs on", async (start) => {
  await using hosts = await start();
  const guest = await guestOf(hosts);
  const task = await hosts.end(
    await hosts.move(guest.id, { bytesPerSecond: 1000, withinSeconds: 1 }),
  );
  assertEquals([task.state, task.error], ["failed", "It has taken 1 s"]);
  await ends(hosts, guest, { a: RUNS, b: NOWHERE });
});

cutTest("the other host goes while memory goes: the guest runs on", async (start) => {
  await using hosts = await start();
  const guest = await guestOf(hosts, "slow-memory");
  at(hosts.a, isMoving, () => setTimeout(() => hosts.b.supervisor.close(), 200));
  assertEquals((await hosts.end(await hosts.move(guest.id))).state, "failed");
  await restart(hosts.b);
  await ends(hosts, guest, { a: RUNS, b: NOWHERE });
});

for (const word of ["no-cpu", "dies-before-ready"]) {
  cutTest(`the other VMM does not take it (${word}): the guest runs on`, async (start) => {
    await using hosts = await start();
    const guest = await guestOf(hosts, word);
    const task = await hosts.end(await hosts.move(guest.id));
    assertEquals(task.state, "failed");
    if (word === "no-cpu") assertStringIncludes(task.error!, "the CPU has no avx512f");
    await ends(hosts, guest, { a: RUNS, b: NOWHERE });
  });
}

cutTest("this supervisor goes while memory goes: the guest runs on", async (start) => {
  await using hosts = await start();
  const guest = await guestOf(hosts, "slow-memory");
  await cutOff(hosts, guest, {
    when: isMoving,
    afterMs: 200,
    cut: () => hosts.a.supervisor.close(),
  });
  await restart(hosts.a);
  await ends(hosts, guest, { a: RUNS, b: NOWHERE });
});

cutTest("this VMM is killed while memory goes: the guest is off, here", async (start) => {
  await using hosts = await start();
  const guest = await guestOf(hosts, "slow-memory");
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
  cutTest(`this supervisor goes, ${what}: the guest runs on`, async (start) => {
    await using hosts = await start();
    const guest = await guestOf(hosts);
    await cutOff(hosts, guest, { when: when, cut: () => hosts.a.supervisor.close() });
    await restart(hosts.a);
    await ends(hosts, guest, { a: RUNS, b: NOWHERE });
  });
}

cutTest(
  "the power here fails when the other host keeps it: the guest is off, here",
  async (start) => {
    await using hosts = await start();
    const guest = await guestOf(hosts);
    await cutOff(hosts, guest, {
      when: isDecided,
      cut: () => {
        killProcess(hosts.a.processOf(guest.id));
        hosts.a.supervisor.close();
      },
    });
    await cutPower(hosts.a);
    await hosts.a.up();
    await ends(hosts, guest, { a: OFF, b: NOWHERE });
  },
);

cutTest("the other host goes when it keeps it: the guest runs on", async (start) => {
  await using hosts = await start();
  const guest = await guestOf(hosts);
  // Within the event, before anything else is done: the VMM was not told that it may.
  await cutOff(hosts, guest, { when: isDecided, cut: () => hosts.b.supervisor.close() });
  await restart(hosts.b);
  const somewhere = () =>
    [hosts.a, hosts.b].map((host) => whereabouts(host, guest.id).state).join();
  await until(() => ["running,none", "none,running"].includes(somewhere()), somewhere());
});

cutTest("the VMM changes its mind: the guest runs on", async (start) => {
  await using hosts = await start();
  const guest = await guestOf(hosts, "changes-its-mind");
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
  cutTest(`${what}: the guest runs there`, async (start) => {
    await using hosts = await start();
    const guest = await guestOf(hosts, word);
    assertEquals((await hosts.end(await hosts.move(guest.id))).state, "done");
    await ends(hosts, guest, { a: NOWHERE, b: RUNS });
  });
}

cutTest("the other VMM is killed by the word: the guest is off, there", async (start) => {
  await using hosts = await start();
  const guest = await guestOf(hosts, "dies-at-word");
  assertEquals((await hosts.end(await hosts.move(guest.id))).state, "done");
  await ends(hosts, guest, { a: NOWHERE, b: { ...OFF, state: "failed" } });
  assertStringIncludes(hosts.b.supervisor.guests.get(guest.id).error!, "while it changed hosts");
});

cutTest("this supervisor goes when the VMM was told: the guest runs there", async (start) => {
  await using hosts = await start();
  const guest = await guestOf(hosts, "slow-go");
  await cutOff(hosts, guest, {
    when: isDecided,
    afterMs: 150,
    cut: () => hosts.a.supervisor.close(),
  });
  await hosts.a.down();
  // The pretended VMM goes on where its caller has gone; a true one gives it up unless it was too late.
  await new Promise((resolve) => setTimeout(resolve, 500));
  await hosts.a.up();
  await ends(hosts, guest, { a: NOWHERE, b: RUNS });
});

cutTest(
  "the other host goes when the VMM was told: locked here, until it is back",
  async (start) => {
    await using hosts = await start();
    const guest = await guestOf(hosts, "slow-go");
    const task = await cutOff(hosts, guest, {
      when: isDecided,
      afterMs: 150,
      cut: () => hosts.b.supervisor.close(),
    });
    await hosts.b.down();
    await until(() => whereabouts(hosts.a, guest.id).state === "stopped", "the VMM's end");
    const refused = await hosts.a.start(guest.id).catch((error) => error.problem);
    // The move still waits for the other host's word.
    assertEquals(refused.code, "busy");
    // A supervisor that starts again, and its guests with it, changes nothing of that.
    await restart(hosts.a);
    const again = await hosts.a.start(guest.id).catch((error) => error.problem);
    assertStringIncludes(again.message, "it was given to the host");
    await hosts.b.up();
    await ends(hosts, guest, { a: NOWHERE, b: RUNS });
    assertEquals(task.kind, "move");
  },
);

cutTest("the power there fails when the VMM was told: the guest is off, there", async (start) => {
  await using hosts = await start();
  const guest = await guestOf(hosts, "slow-go");
  await cutOff(hosts, guest, {
    when: isDecided,
    afterMs: 150,
    cut: () => {
      killProcess(hosts.b.processOf(guest.id));
      hosts.b.supervisor.close();
    },
  });
  await cutPower(hosts.b);
  await until(() => whereabouts(hosts.a, guest.id).state === "stopped", "the VMM's end");
  await hosts.b.up();
  await ends(hosts, guest, { a: NOWHERE, b: { ...OFF, state: "failed" } });
});

cutTest("the power here fails when it runs there: it runs there, and only there", async (start) => {
  await using hosts = await start();
  const guest = await guestOf(hosts);
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

cutTest(
  "the power here fails before the VMM gave it away: the guest is off, here",
  async (start) => {
    await using hosts = await start();
    const guest = await guestOf(hosts, "slow-go");
    await cutOff(hosts, guest, {
      when: isDecided,
      afterMs: 150,
      cut: () => {
        killProcess(hosts.a.processOf(guest.id));
        hosts.a.supervisor.close();
      },
    });
    await cutPower(hosts.a);
    await hosts.a.up();
    await ends(hosts, guest, { a: OFF, b: NOWHERE });
    assertEquals((await hosts.a.start(guest.id)).state, "running", "nobody has hold of it");
  },
);
