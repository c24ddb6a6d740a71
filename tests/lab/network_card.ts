/**
 * What a guest's own driver makes of its network card, and what changes under it while it runs.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { VIRTIO_NET_F as F } from "../../hypervisor/devices/virtio/net_protocol.ts";
import { ask } from "../../hypervisor/vmm/testing/control_connection.ts";
import type { RunningGuest } from "./running_guest.ts";

/** The card's name in the guest, whatever its udev calls it. */
const nameOf = (guest: RunningGuest) => guest.run("ls /sys/class/net | grep -v lo");

const hostQueues = (tap: string) =>
  [...Deno.readDirSync(`/sys/class/net/${tap}/queues`)].filter(({ name }) => name.startsWith("tx-"))
    .length;

/** Everything that the device offers and a stock Linux has a use for was accepted. */
export async function usesItsCard(
  guest: RunningGuest,
  options: { tap: string; mtu: number },
): Promise<void> {
  const { tap, mtu } = options;
  const nic = await nameOf(guest);
  const accepted = await guest.run(`cat /sys/class/net/${nic}/device/features`);
  const { CTRL_RX_EXTRA: _, ...used } = F;
  const refused = Object.entries(used).filter(([, bit]) => accepted[bit] !== "1");
  assertEquals(refused, [], accepted);
  assertEquals(
    await guest.run(`cd /sys/class/net/${nic}/queues; echo *; cd /`),
    "rx-0 rx-1 tx-0 tx-1",
  );
  assertEquals(hostQueues(tap), 2);
  assertEquals(await guest.run(`cat /sys/class/net/${nic}/mtu`), `${mtu}`);
  assertEquals(Deno.readTextFileSync(`/sys/class/net/${tap}/mtu`).trim(), `${mtu}`);
}

// deno-lint-ignore no-explicit-any
async function card(socket: string): Promise<any> {
  const { devices } = await ask(socket, { op: "devices" });
  return devices.net0;
}

async function change(socket: string, change: unknown): Promise<void> {
  const answer = await ask(socket, { op: "change", device: "net0", change });
  assertEquals(answer.ok, true, answer.error);
}

/** `host` answers while the cable is in, and only then; whoever moves the frames. */
export async function losesItsCable(
  guest: RunningGuest,
  options: { socket: string; tap: string; host: string },
): Promise<void> {
  const { socket, tap, host } = options;
  const nic = await nameOf(guest);
  const carriers = async () => [
    await guest.run(`cat /sys/class/net/${nic}/carrier`),
    Deno.readTextFileSync(`/sys/class/net/${tap}/carrier`).trim(),
  ];
  const reaches = async () =>
    assertMatch(await guest.run(`ping -c 3 -i 0.3 ${host}`), / 0% packet loss/);
  const before = await card(socket);
  assertEquals(before.backend, "vhost-net");
  assertEquals(before.queuePairs, { active: 2, most: 2 });
  assert(before.sent.frames > 0 && before.received.frames > 0);

  await change(socket, { linkUp: false });
  // The driver hears of it by an interrupt.
  await guest.run("sleep 1");
  assertEquals(await carriers(), ["0", "0"]);
  assertMatch(await guest.run(`ping -c 2 -i 0.3 -W 1 ${host}; true`), /100% packet loss|unreach/);
  await change(socket, { linkUp: true });
  await guest.run("sleep 1");
  assertEquals(await carriers(), ["1", "1"]);
  await reaches();

  // A limit is the VMM's to keep, so it moves the frames itself; without, the kernel does again.
  await change(socket, { sendLimit: { operationsPerSecond: 1000 } });
  assertEquals((await card(socket)).backend, "tap");
  await reaches();
  await change(socket, { sendLimit: {} });
  assertEquals((await card(socket)).backend, "vhost-net");
  await reaches();
}
