import { assertEquals, assertMatch } from "@std/assert";
import {
  answersAsAgent,
  echoesThroughPorts,
  GuestSockets,
  hasConsole,
  talksOverVsock,
} from "./guest_sockets.ts";
import { losesItsCable, usesItsCard } from "./network_card.ts";
import { plugsCards, plugsDisks } from "./plugging.ts";
import type { RunningGuest } from "./running_guest.ts";
import { boot } from "./stock_guest.ts";

Deno.test("two vCPUs in 128 MiB: disk, entropy, network and sockets work", async (t) => {
  const ip = (...args: string[]) => new Deno.Command("ip", { args }).output();
  await ip("tuntap", "add", "dev", "labtap0", "mode", "tap", "vnet_hdr", "multi_queue");
  await ip("addr", "add", "10.99.0.1/24", "dev", "labtap0");
  await ip("link", "set", "labtap0", "up");
  await ip("tuntap", "add", "dev", "labtap1", "mode", "tap", "vnet_hdr");
  await ip("addr", "add", "10.98.0.1/24", "dev", "labtap1");
  await ip("link", "set", "labtap1", "up");
  using sockets = new GuestSockets();
  try {
    await using guest = await boot({
      cpus: 2,
      memory: "128M",
      more: [
        ...["--net", "labtap0,mac=52:54:00:aa:bb:01,mtu=1400", "--hotplug-ports", "2"],
        ...sockets.options,
      ],
    });
    assertEquals(await guest.run("nproc"), "2");
    await t.step("what is written is on the disk", () => writesItsDisk(guest));
    await t.step("entropy comes from the host", () => hasEntropy(guest));
    await t.step("guest and host reach each other", () => reachesItsHost(guest));
    await t.step(
      "its network card has queues, offloads and MTU",
      () => usesItsCard(guest, { tap: "labtap0", mtu: 1400 }),
    );
    await t.step(
      "a cable can be pulled, and a limit put on a running card",
      () =>
        losesItsCable(guest, {
          socket: sockets.path("control"),
          tap: "labtap0",
          host: "10.99.0.1",
        }),
    );
    await t.step("a network card taken up again works", () => rebindsItsCard(guest));
    await t.step("ports carry data both ways", () => echoesThroughPorts(guest, sockets));
    await t.step("QEMU's guest agent answers a ping", () => answersAsAgent(guest, sockets));
    await t.step("the console has a size that changes", () => hasConsole(guest, sockets));
    await t.step("vsock connects both ways", () => talksOverVsock(guest, sockets));
    const control = sockets.path("control");
    await t.step("a card comes and goes", () => plugsCards(guest, control, "labtap1"));
    await t.step(
      "a disk comes and goes, is torn out, and comes again",
      () => plugsDisks(guest, control),
    );
    await guest.type("poweroff\n");
    assertEquals(await guest.ended(), 0);
  } finally {
    await ip("link", "del", "labtap0");
    await ip("link", "del", "labtap1");
  }
});

async function writesItsDisk(guest: RunningGuest): Promise<void> {
  await guest.run("head -c 8M /dev/urandom > /root/noise; sync");
  const sum = await guest.run("sha256sum < /root/noise");
  await guest.run("echo 3 > /proc/sys/vm/drop_caches");
  assertEquals(await guest.run("sha256sum < /root/noise"), sum);
}

async function hasEntropy(guest: RunningGuest): Promise<void> {
  assertMatch(await guest.run("cat /sys/class/misc/hw_random/rng_current"), /virtio/);
  assertEquals(await guest.run("head -c 64 /dev/hwrng | wc -c"), "64");
}

/** Gives the card, whatever its udev calls it, an address and asks the host for an answer. */
async function ping(guest: RunningGuest): Promise<void> {
  const nic = await guest.run("ls /sys/class/net | grep -v lo");
  await guest.run(`ip addr add 10.99.0.2/24 dev ${nic} && ip link set ${nic} up`);
  assertMatch(await guest.run("ping -c 3 -i 0.3 10.99.0.1"), / 0% packet loss/);
}

async function reachesItsHost(guest: RunningGuest): Promise<void> {
  assertMatch(await guest.run("ip link"), /52:54:00:aa:bb:01/);
  await ping(guest);
  // More than fits one packet, with its content checked.
  using listener = Deno.listen({ hostname: "10.99.0.1", port: 7001 });
  const sum = await guest.run("head -c 4M /dev/urandom | tee /root/noise | sha256sum");
  const sending = guest.run("busybox nc 10.99.0.1 7001 < /root/noise");
  using connection = await listener.accept();
  const received = new Uint8Array(await new Response(connection.readable).arrayBuffer());
  await sending;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", received));
  assertEquals(digest.toHex(), sum.split(" ")[0]);
}

/** A driver that lets go of the device and takes it up again finds it as new. */
async function rebindsItsCard(guest: RunningGuest): Promise<void> {
  const drivers = "/sys/bus/virtio/drivers/virtio_net";
  const id = await guest.run(`ls ${drivers} | grep ^virtio`);
  await guest.run(`echo ${id} > ${drivers}/unbind; echo ${id} > ${drivers}/bind; sleep 1`);
  await ping(guest);
}
