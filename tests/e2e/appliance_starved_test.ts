/**
 * What every process of the appliance but the first may come to: it is killed, starved and confused, and
 * takes all there is. Process 1 goes on, the others come back, and a guest does not notice.
 */
import { assert, assertEquals } from "@std/assert";
import type { Guest } from "../../hypervisor/supervisor/api/schemas.ts";
import { consoleAnswers } from "../../scripts/demo_pc/console_answers.ts";
import { Appliance, ApplianceDisk, type ProcessFacts, smallGuest } from "./appliance/host.ts";

const GUEST = "small";
const ORPHANS = 1000;
const KILLS = 60;
/** Signals that end the host because somebody asks for it, and those that no process can catch. */
const MEANT = [2, 9, 12, 15, 19];

Deno.test("process 1 goes on whatever becomes of the others, and brings them back", async (t) => {
  await using disk = await ApplianceDisk.make({ seed: await smallGuest(GUEST) });
  await using host = await Appliance.start(disk);
  const startedAt = await up(host);
  await t.step("the supervisor is killed each second for a minute; the guest runs on", async () => {
    const killed = new Set<number>();
    for (let i = 0; i < KILLS; i++) {
      const found = await host.process("supervisor");
      if (found !== undefined) {
        await host.ask("kill", found.pid).catch(() => {});
        killed.add(found.pid);
      }
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
    console.log(`  ${killed.size} supervisors were killed`);
    assertEquals(await works(host), startedAt);
  });
  await t.step("a thousand orphans are reaped", async () => {
    await host.ask("orphans", ORPHANS);
    await host.until("no orphan is left", async () => {
      const all = await host.ask<ProcessFacts[]>("processes");
      const left = all.filter((it) => it.command.includes("sleep 1") || it.state === "Z");
      return left.length === 0 ? true : undefined;
    }, 60);
    assertEquals(await works(host), startedAt);
  });
  await t.step("signals that nobody means are nothing to process 1", async () => {
    for (let signal = 1; signal <= 64; signal++) {
      if (!MEANT.includes(signal)) await host.ask("signal", `1 ${signal}`);
    }
    assertEquals(await works(host), startedAt);
  });
  await t.step("its socket is asked what it does not understand", async () => {
    await host.ask("confuse", "/run/denovisor/host.sock 300");
    assertEquals(await works(host), startedAt);
  });
  for (const path of ["/full", "/run/full", "/tmp/full", "/dev/shm/full"]) {
    await t.step(`there is no room where ${path} is`, async () => {
      console.log(`  ${await fillAll(host, path)} MiB`);
      assertEquals(await works(host), startedAt);
    });
  }
  await t.step("none of these has any at the same time", async () => {
    for (const path of ["/full", "/run/full", "/tmp/full", "/dev/shm/full"]) {
      assert(await exists(host, path));
    }
    await restart(host, "supervisor");
    for (const path of ["/full", "/run/full", "/tmp/full", "/dev/shm/full"]) {
      await host.ask("remove", path);
    }
    assertEquals(await works(host), startedAt);
  });
  await t.step("the data pool is full, and then has room again", async () => {
    await fillAll(host, "/data/full");
    await restart(host, "supervisor");
    assertEquals(await works(host), startedAt);
    await host.ask("remove", "/data/full");
    const [{ id }] = await host.ask<Guest[]>("api", "GET /guests");
    const answer = await host.until("the guest's new setting", async () => {
      const guest = await host.ask<Guest>("api", `PATCH /guests/${id} {"autostart":true}`);
      return guest.autostart === true ? guest : undefined;
    });
    assertEquals(answer.name, GUEST);
  });
  await t.step("the process table is filled", async () => {
    await host.ask("bomb");
    const count = await host.until("all that a service may have", async () => {
      const text = await host.ask<string>("read", "/sys/fs/cgroup/services/pids.events");
      return Number(/max (\d+)/.exec(text)?.[1]) > 0 ? text : undefined;
    }, 90);
    console.log(`  ${count.trim()}`);
    // Process 1 still starts what it has to, though its services can start nothing.
    await host.until("nothing is left of it", async () => {
      await host.ask("defuse");
      const all = await host.ask<ProcessFacts[]>("processes");
      return all.some((it) => it.command.endsWith("sleep 7777")) ? undefined : true;
    }, 60);
    assertEquals(await works(host), startedAt);
  });
  await t.step("something takes all memory, and is ended for it", async () => {
    await host.ask("starve");
    await host.until("it is gone", async () => {
      const all = await host.ask<ProcessFacts[]>("processes");
      return all.some((it) => it.command.includes("tail /dev/zero")) ? undefined : true;
    }, 120);
    await works(host);
  });
  await t.step("every other process is killed, three times", async () => {
    for (let i = 0; i < 3; i++) {
      console.log(`  ${await host.ask<number>("massacre")} killed`);
      await new Promise((resolve) => setTimeout(resolve, 1000));
      await host.until("the supervisor", () => host.process("supervisor"), 60);
      await works(host);
    }
  });
  await t.step("it ends as it should", async () => {
    await host.pc.powerButton();
    assert(await host.pc.isOff(90 * host.patience), host.pc.screen.lastWords);
  });
});

/** Starts the guest; tells when it was started. */
async function up(host: Appliance): Promise<string> {
  await host.pc.screen.waitFor(/^Console +https:/, 90 * host.patience);
  const guest = await host.until("the guest", async () => {
    const [found] = await host.ask<Guest[]>("api", "GET /guests");
    return found;
  }, 90);
  await host.ask("api", `POST /guests/${guest.id}/start`).catch(() => {});
  return await host.until("the guest runs", async () => {
    const [{ state, startedAt }] = await host.ask<Guest[]>("api", "GET /guests");
    return state === "running" ? startedAt! : undefined;
  }, 60);
}

/** Whether console and supervisor answer; tells since when the guest runs. */
async function works(host: Appliance): Promise<string | null> {
  await consoleAnswers({ port: host.port, limitSeconds: 90 * host.patience });
  const [guest] = await host.until("the supervisor's answer", async () => {
    const list = await host.ask<Guest[]>("api", "GET /guests");
    // It answers before it has found the guests that run.
    return list[0]?.state === "starting" ? undefined : list;
  }, 90);
  assert(!host.pc.screen.hasEnded, host.pc.screen.lastWords);
  return guest.state === "running" ? guest.startedAt : null;
}

/** How many MiB there was room for; an answer that is late is waited for. */
async function fillAll(host: Appliance, path: string): Promise<number | string> {
  return await host.ask<number>("fill", path).catch(async (error) => {
    await host.until("the file has stopped to grow", async () => {
      const size = async () => (await host.ask<{ size: number }>("stat", path)).size;
      const before = await size();
      await new Promise((resolve) => setTimeout(resolve, 3000));
      return before === await size() ? true : undefined;
    }, 60);
    return String(error);
  });
}

async function exists(host: Appliance, path: string): Promise<boolean> {
  return await host.ask("stat", path).then(() => true, () => false);
}

/** Ends a service, which has another process then. */
async function restart(host: Appliance, name: string): Promise<void> {
  const before = await host.until(name, () => host.process(name), 60);
  await host.ask("kill", before.pid);
  await host.until(`another ${name}`, async () => {
    const found = await host.process(name);
    return found && found.pid !== before.pid ? found : undefined;
  }, 60);
}
