/**
 * Disks and cards that come and go while a guest runs, over its VMM's control socket.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { PlugConfig, Request, Response } from "../../hypervisor/vmm/control.ts";
import { ask } from "../../hypervisor/vmm/testing/control_connection.ts";
import type { RunningGuest } from "./running_guest.ts";

/** How long a guest may take to let go of a device: Linux alone waits 5 s. */
const PATIENCE_MS = 120_000;

async function order(socket: string, request: Request): Promise<Response & { ok: true }> {
  const response: Response = await ask(socket, request);
  if (!response.ok) throw new Error(response.error);
  return response;
}

async function plug(socket: string, device: PlugConfig): Promise<string> {
  const response = await order(socket, { op: "plug", device });
  assert("plugged" in response);
  return response.plugged;
}

/** Asks the guest to let go of a device, and waits until it has. */
async function unplug(socket: string, device: string): Promise<void> {
  await order(socket, { op: "unplug", device });
  for (const until = Date.now() + PATIENCE_MS;;) {
    const response = await order(socket, { op: "devices" });
    assert("devices" in response);
    if (!(device in response.devices)) return;
    assert(Date.now() < until, `The guest did not let go of ${device}`);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

/** In the guest: waits until `condition` holds. */
const until = (condition: string) =>
  `n=0; until ${condition}; do n=$((n+1)); [ $n -lt 600 ] || break; sleep 0.2; done; ${condition}`;

/** A disk is used, taken out and put in again, then torn out; and in once more. */
export async function plugsDisks(guest: RunningGuest, socket: string): Promise<void> {
  const path = await Deno.makeTempFile({ suffix: ".raw" });
  await Deno.truncate(path, 32 * 2 ** 20);
  const device = { disk: { path, serial: "PLUGGED" } };
  try {
    const name = await plug(socket, device);
    await guest.run(until("[ -b /dev/vdb ]"));
    assertEquals(await guest.run("cat /sys/block/vdb/serial"), "PLUGGED");
    await guest.run("mkfs.ext4 -q /dev/vdb && mount /dev/vdb /mnt");
    await guest.run(
      "head -c 1M /dev/urandom | tee /mnt/noise | sha256sum > /root/sum; umount /mnt",
    );
    await unplug(socket, name);
    await guest.run(until("[ ! -b /dev/vdb ]"));

    assertEquals(await plug(socket, device), name);
    await guest.run(until("[ -b /dev/vdb ]"));
    await guest.run(
      "mount /dev/vdb /mnt && sha256sum < /mnt/noise | cmp - /root/sum && umount /mnt",
    );

    await order(socket, { op: "unplug", device: name, force: true });
    await guest.run(until("[ ! -b /dev/vdb ]"));
    assertEquals(await plug(socket, device), name);
    await guest.run(until("[ -b /dev/vdb ]"));
    await guest.run("mount -o ro /dev/vdb /mnt && cmp /mnt/noise /mnt/noise && umount /mnt");
    await unplug(socket, name);
  } finally {
    await Deno.remove(path);
  }
}

/** A card is used and taken out; the slot serves what comes next. */
export async function plugsCards(guest: RunningGuest, socket: string, tap: string): Promise<void> {
  const mac = "52:54:00:aa:bb:77";
  const name = await plug(socket, { net: { tap, mac } });
  // Not by a glob over /sys/class/net: its udev renames it, maybe just while it is looked for.
  const find = `ip -o link | grep ${mac}`;
  await guest.run(until(find));
  await guest.run("udevadm settle --timeout=60");
  const nic = /\d+: ([^:@]+)/.exec(await guest.run(find))![1];
  await guest.run(`ip addr add 10.98.0.2/24 dev ${nic} && ip link set ${nic} up`);
  assertMatch(await guest.run("ping -c 3 -i 0.3 10.98.0.1"), / 0% packet loss/);
  await unplug(socket, name);
  await guest.run(until(`! ${find}`));
}
