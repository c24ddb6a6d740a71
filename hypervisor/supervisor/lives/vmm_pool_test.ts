import { assert, assertEquals } from "@std/assert";
import { isAlive, type ProcessId } from "../../sys/processes.ts";
import { fakeVmm, TestHost } from "../testing/test_host.ts";
import type { VmmCommand } from "./vmm_process.ts";
import { VmmPool } from "./vmm_pool.ts";

const REFILL_MS = 20;

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`Cannot go on: it never was that ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const isReady = (path: string) => names(path).some((name) => names(`${path}/${name}`).length === 3);

function names(path: string): string[] {
  try {
    return [...Deno.readDirSync(path)].map(({ name }) => name);
  } catch {
    return [];
  }
}

function processIn(directory: string): ProcessId {
  return JSON.parse(Deno.readTextFileSync(`${directory}/process.json`));
}

async function withPool(
  command: VmmCommand,
  body: (pool: VmmPool, directory: string, log: string[]) => Promise<void>,
): Promise<void> {
  const directory = await Deno.makeTempDir();
  const log: string[] = [];
  const pool = new VmmPool({
    ...{ command, directory: `${directory}/pool`, size: 1, refillMs: REFILL_MS },
    log: (_, message) => log.push(message),
  });
  try {
    await body(pool, directory, log);
  } finally {
    pool.close();
    await Deno.remove(directory, { recursive: true });
  }
}

const sleeper = (script: string): VmmCommand => (
  { program: "/bin/sh", args: ["-c", script, "vmm"], env: { PATH: Deno.env.get("PATH")! } }
);
/** Waits, as a VMM does, with something where its socket is to be. */
const waits = sleeper('touch "$3"; exec sleep 100');

Deno.test("a VMM that waits is handed over with its directory, and another one is started", () =>
  withPool(waits, async (pool, directory) => {
    const waiting = `${directory}/pool`;
    assertEquals(pool.take(`${directory}/early`), null);
    await until("one waits", () => isReady(waiting));
    const id = pool.take(`${directory}/guest`);
    assert(id !== null && isAlive(id));
    assertEquals(names(`${directory}/guest`).sort(), ["control.sock", "log", "process.json"]);
    await until("another one waits", () => isReady(waiting));
    const [name] = names(waiting);
    const next = processIn(`${waiting}/${name}`);
    pool.close();
    await until("it has ended", () => !isAlive(next));
    assertEquals([names(waiting), isAlive(id)], [[], true]);
    Deno.kill(id.pid, "SIGKILL");
  }));

Deno.test("what an earlier supervisor left waiting is ended", () =>
  withPool(waits, async (pool, directory) => {
    const waiting = `${directory}/pool`;
    await until("one waits", () => isReady(waiting));
    const [name] = names(waiting);
    const id = processIn(`${waiting}/${name}`);
    const again = new VmmPool({
      ...{ command: waits, directory: waiting, size: 0, log: () => {} },
    });
    await until("it has ended", () => !isAlive(id));
    assertEquals(names(waiting), []);
    again.close();
    assertEquals(pool.take(`${directory}/guest`), null);
  }));

Deno.test("VMMs that cannot start are not started for ever", () =>
  withPool(sleeper("exit 1"), async (pool, directory, log) => {
    for (let i = 0; log.length === 0; i++) {
      assert(i < 2000, "it starts them for ever");
      assertEquals(pool.take(`${directory}/guest`), null);
      await new Promise((resolve) => setTimeout(resolve, 2 * REFILL_MS));
    }
    assertEquals(log, ["VMMs that wait end by themselves: no more are started"]);
  }));

Deno.test("a guest is run by a VMM that waited, and found again by the next supervisor", async () => {
  await using host = await TestHost.start({ poolSize: 1, poolRefillMs: REFILL_MS });
  const { id } = await host.guest();
  await until("one waits", () => isReady(host.path("run/pool")));
  const [name] = names(host.path("run/pool"));
  const { pid } = processIn(host.path("run/pool", name));
  const before = await host.start(id);
  assertEquals(host.processOf(id).pid, pid);
  await host.down();
  await host.up();
  assertEquals(await host.reaches(id, "running"), before);
  const stopped = host.reaches(id, "stopped");
  await host.local.client.call("stopGuest", { params: { id } });
  await stopped;
  host.assertNothingLeft();
});

Deno.test("a guest whose VMM was never told what to run has failed, and can be started", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest();
  await host.start(id);
  const config = Deno.readTextFileSync(host.path("run/guests", id, "config.json"));
  const run = Deno.readTextFileSync(host.path("run/guests", id, "run.json"));
  const stopped = host.reaches(id, "stopped");
  await host.local.client.call("stopGuest", { params: { id } });
  await stopped;
  await host.down();
  // As a supervisor leaves it that is killed between taking a VMM and telling it.
  const pool = new VmmPool({
    ...{ command: fakeVmm, directory: host.path("run/pool"), size: 1, refillMs: REFILL_MS },
    log: () => {},
  });
  await until("one waits", () => isReady(host.path("run/pool")));
  const directory = host.path("run/guests", id);
  assert(pool.take(directory) !== null);
  pool.close();
  Deno.writeTextFileSync(`${directory}/config.json`, config);
  Deno.writeTextFileSync(`${directory}/run.json`, run);
  await host.up();
  const { error } = await host.reaches(id, "failed");
  assertEquals(error, "Its VMM was never told what to run");
  host.assertNothingLeft();
  await host.start(id);
});
