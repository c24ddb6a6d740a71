/**
 * A real guest at work that is saved, forked, upgraded, reverted and moved to another host, by two
 * supervisors side by side.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  type AttachOptions,
  BridgedTaps,
  type Network,
} from "../../hypervisor/supervisor/network.ts";
import type { TestHost } from "../../hypervisor/supervisor/testing/test_host.ts";
import { run } from "../../scripts/setup/command.ts";
import { IS_THOROUGH } from "../hostile/thorough.ts";
import { BRIDGE, Ground } from "./ground.ts";
import { command, created, done, hostOn, logIn } from "./hosted_guest.ts";

const HOST = "10.96.0.1";
const GUEST = "10.96.0.2";
const FORKS = IS_THOROUGH ? 3 : 2;

/**
 * Counts in memory, and writes each number to the disk too: what is on the disk is never ahead of memory,
 * nor far behind.
 */
const WORK = `(i=0; while :; do i=$((i+1)); echo $i > /dev/shm/count; echo $i > /root/count;
  sleep 0.1; done) > /dev/null 2>&1 & echo $! > /dev/shm/pid`.replaceAll("\n", " ");

/** Those of another host, whose taps may have the names of this one's; here they share one kernel. */
class OtherTaps implements Network {
  readonly #taps = new BridgedTaps({ bridge: BRIDGE });

  attach(netId: string, options?: AttachOptions): string {
    return this.#taps.attach(flipped(netId), options);
  }

  detach(netId: string): Promise<void> {
    return this.#taps.detach(flipped(netId));
  }
}

const flipped = (id: string) => [...id].reverse().join("");

const count = async (host: TestHost, id: string) =>
  Number(await command(host, id, "cat /dev/shm/count"));

/** It counts, its disk is right, and its kernel complains of nothing. */
async function works(host: TestHost, id: string): Promise<void> {
  const before = await count(host, id);
  await command(host, id, "sync; echo 3 > /proc/sys/vm/drop_caches; sha256sum -c /root/sums");
  const [memory, disk] = (await command(host, id, "sleep 1; cat /dev/shm/count /root/count"))
    .split("\n").map(Number);
  assert(memory > before, `the counter stands at ${memory}`);
  assert(Math.abs(memory - disk) <= 1, `${memory} in memory and ${disk} on the disk`);
  const bad = "soft lockup|rcu.*stall|unstable|Call Trace|I/O error|BUG:";
  assertEquals(await command(host, id, `dmesg | grep -E '${bad}' || true`), "");
}

async function prepare(host: TestHost, id: string): Promise<void> {
  await logIn(host, id);
  const nic = await command(host, id, "ls /sys/class/net | grep -v lo");
  await command(host, id, `ip addr add ${GUEST}/24 dev ${nic} && ip link set ${nic} up`);
  await command(
    host,
    id,
    "head -c 4M /dev/urandom > /root/noise; sha256sum /root/noise > /root/sums",
  );
  await command(host, id, "mkdir -p /dev/shm");
  await command(host, id, WORK);
}

/** Pings while `act` is under way; how many of the pings were answered, and how many were sent. */
async function pinged(act: () => Promise<void>): Promise<{ sent: number; answered: number }> {
  const ping = new Deno.Command("ping", {
    args: ["-i", "0.2", "-W", "5", GUEST],
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const output = new Response(ping.stdout).text();
  await act();
  ping.kill("SIGINT");
  await ping.status;
  const [, sent, answered] = /(\d+) packets transmitted, (\d+) received/.exec(await output)!;
  return { sent: Number(sent), answered: Number(answered) };
}

Deno.test("a guest at work is saved, forked, upgraded, moved and reverted, and nothing is lost", async (t) => {
  await using ground = await Ground.lay();
  await run(["ip", "addr", "add", `${HOST}/24`, "dev", BRIDGE]);
  await using here = await hostOn(ground);
  await using there = await hostOn(ground, new OtherTaps());
  const { client } = here.local;
  const guest = await created(here);
  const { id } = guest;
  const params = { id };
  await here.start(id);
  await prepare(here, id);

  await t.step("it is saved, and works on", async () => {
    const body = { name: "first" };
    const task = await done(here, await client.call("createSnapshot", { params, body }));
    assert(task.pauseMs !== null && task.pauseMs > 0);
    await works(here, id);
  });
  const { snapshots: [first] } = await client.call("listSnapshots", { params });
  assertEquals([first.name, first.memory], ["first", true]);
  const saved = await count(here, id);
  await command(here, id, "echo later > /root/later; sync");

  await t.step("it is forked, each with what is its own", async () => {
    const before = await count(here, id);
    const body = { count: FORKS };
    const { made } = await done(here, await client.call("forkGuest", { params, body }));
    assertEquals(made.length, FORKS);
    for (const [n, child] of made.entries()) {
      assert(await count(here, child) >= before);
      await command(here, child, `echo ${n} > /root/who; sync`);
    }
    for (const [n, child] of made.entries()) {
      await works(here, child);
      assertEquals(await command(here, child, "cat /root/who"), `${n}`);
      const reseeded = "dmesg | grep -c 'reseeded due to virtual machine fork' || true";
      assertEquals(await command(here, child, reseeded), "1");
      await client.call("stopGuest", { params: { id: child }, body: { force: true } });
      await here.reaches(child, "stopped");
      await client.call("deleteGuest", { params: { id: child } });
    }
    assertEquals(await command(here, id, "ls /root/who 2> /dev/null || true"), "");
    await works(here, id);
  });

  await t.step("its VMM is upgraded under it", async () => {
    const { pid } = here.processOf(id);
    const before = await count(here, id);
    const { sent, answered } = await pinged(async () => {
      await done(here, await client.call("upgradeGuest", { params }));
    });
    assert(here.processOf(id).pid !== pid, "the same process runs it");
    assert(await count(here, id) >= before);
    console.log(`upgrade: ${answered} of ${sent} pings were answered`);
    await works(here, id);
  });

  await t.step("it is what it was when it was saved", async () => {
    const of = { id, snapshot: first.id };
    await done(here, await client.call("revertGuest", { params: of }));
    await here.reaches(id, "running");
    const now = await count(here, id);
    assert(now < saved + 600, `it stands at ${now}, and had ${saved}`);
    assertEquals(await command(here, id, "ls /root/later 2> /dev/null || true"), "");
    await works(here, id);
    await client.call("deleteSnapshot", { params: of });
  });

  await t.step("it moves to another host, with its disk", async () => {
    const offer = await there.local.client.call("offerPairing", {});
    const address = `127.0.0.1:${there.supervisor.peers.port}`;
    const body = { address, code: offer.code };
    const peer = await client.call("addPeer", { body });
    const before = await count(here, id);
    const { sent, answered } = await pinged(async () => {
      const move = { peer: peer.id, force: true };
      await done(here, await client.call("moveGuest", { params, body: move }));
    });
    console.log(`move: ${answered} of ${sent} pings were answered`);
    await there.reaches(id, "running");
    assertEquals(await client.call("listGuests", {}), []);
    here.assertNothingLeft();
    assert(await count(there, id) >= before);
    await works(there, id);
    assertMatch((await run(["ping", "-c", "3", "-i", "0.3", GUEST])).stdout, / 0% packet loss/);
  });

  await t.step({
    name: "it starts there from its disk",
    ignore: !IS_THOROUGH,
    fn: async () => {
      await there.local.client.call("stopGuest", { params, body: { force: true } });
      await there.reaches(id, "stopped");
      await there.start(id);
      await logIn(there, id);
      await command(there, id, "sha256sum -c /root/sums");
    },
  });
});
