/**
 * Children of a real guest, whose card was there when it started: each finds a card of its own, and is
 * reached through it while its parent is reached through its own.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { TestHost } from "../../hypervisor/supervisor/testing/test_host.ts";
import { run } from "../../scripts/setup/command.ts";
import { BRIDGE, Ground } from "./ground.ts";
import { command, created, done, hostOn, logIn } from "./hosted_guest.ts";

const HOST = "10.95.0.1";
const addressOf = (n: number) => `10.95.0.${2 + n}`;
const CHILDREN = 2;

/** In the guest: the name of the card with this address, once its udev is through with it. */
async function cardOf(host: TestHost, id: string, mac: string): Promise<string> {
  const find = `ip -o link | grep -i ${mac}`;
  const wait = `n=0; until ${find}; do n=$((n+1)); [ $n -lt 600 ] || break; sleep 0.2; done`;
  await command(host, id, `${wait}; udevadm settle --timeout=60`);
  return /\d+: ([^:@]+)/.exec(await command(host, id, find))![1];
}

/** Has the guest take an address as only a person, or DHCP, could give it one; and it is reached there. */
async function isReached(host: TestHost, id: string, { mac, n }: { mac: string; n: number }) {
  const nic = await cardOf(host, id, mac);
  const address = addressOf(n);
  await command(host, id, `ip addr add ${address}/24 dev ${nic} && ip link set ${nic} up`);
  await answers(address);
  assertMatch((await run(["ip", "neigh", "show", address])).stdout, new RegExp(mac));
}

async function answers(address: string): Promise<void> {
  const ping = await run(["ping", "-c", "5", "-i", "0.5", "-W", "5", address]);
  assertMatch(ping.stdout, /bytes from/);
}

const cards = async (host: TestHost, id: string) =>
  (await command(host, id, "cat /sys/class/net/e*/address")).split("\n");

Deno.test("a guest's card is in a port from its start, and its children have cards of their own", async (t) => {
  await using ground = await Ground.lay();
  await run(["ip", "addr", "add", `${HOST}/24`, "dev", BRIDGE]);
  await using host = await hostOn(ground);
  const { client } = host.local;
  const { id } = await created(host);
  const { nets: [{ mac, attached }] } = await host.start(id);
  assertEquals(attached, "port");
  await logIn(host, id);

  await t.step("Linux finds it as it boots", async () => {
    assertEquals(await cards(host, id), [mac]);
    await isReached(host, id, { mac, n: 0 });
    const nic = await cardOf(host, id, mac);
    const place = await command(host, id, `readlink -f /sys/class/net/${nic}/device`);
    const names = await command(
      host,
      id,
      `udevadm test-builtin net_id /sys/class/net/${nic} || true`,
    );
    console.log(`${nic} is at ${place}, ${names.match(/ID_NET_NAME_\w+=\w+/g)}`);
    assertMatch(place, /0000:00:1f\.0\/0000:01:00\.0/);
  });

  await t.step("its children's cards are others, and all are reached at once", async () => {
    const body = { count: CHILDREN };
    const { made } = await done(host, await client.call("forkGuest", { params: { id }, body }));
    assertEquals(made.length, CHILDREN);
    const macs = new Set([mac]);
    for (const [n, child] of made.entries()) {
      const { nets: [net] } = await host.get(child);
      assertEquals([net.attached, net.linkUp], ["port", true]);
      await isReached(host, child, { mac: net.mac, n: 1 + n });
      assertEquals(await cards(host, child), [net.mac]);
      const bad = "soft lockup|rcu.*stall|Call Trace|BUG:";
      assertEquals(await command(host, child, `dmesg | grep -E '${bad}' || true`), "");
      macs.add(net.mac);
    }
    assertEquals(macs.size, 1 + CHILDREN);
    for (let n = 0; n <= CHILDREN; n++) await answers(addressOf(n));
    // The parent has kept its own, and all that it knows of its network.
    assertEquals(await cards(host, id), [mac]);
    for (const child of made) {
      await client.call("stopGuest", { params: { id: child }, body: { force: true } });
      await host.reaches(child, "stopped");
    }
  });

  await t.step("it lets go of its card when it is asked to", async () => {
    const { nets: [net] } = await host.get(id);
    await client.call("unplugNet", { params: { id, net: net.id }, body: {} });
    await host.until(id, ({ nets }) => nets[0].attached === null);
    assertEquals(await command(host, id, "ls /sys/class/net"), "lo");
    const again = await client.call("plugNet", { params: { id, net: net.id } });
    assert(again.nets[0].attached === "port");
    await isReached(host, id, { mac, n: 0 });
  });
});
