import { assert, assertEquals, assertMatch } from "@std/assert";
import { guestSystem } from "../../scripts/setup/guests.ts";
import {
  answersAsAgent,
  echoesThroughPorts,
  GuestSockets,
  hasConsole,
  talksOverVsock,
} from "./guest_sockets.ts";
import { losesItsCable, usesItsCard } from "./network_card.ts";
import {
  hasItsCpus,
  isAtARandomAddress,
  kernelOptions,
  type KernelStart,
  reseeds,
} from "./machine_checks.ts";
import { plugsCards, plugsDisks } from "./plugging.ts";
import { RunningGuest } from "./running_guest.ts";

type Choice = Parameters<typeof guestSystem>[0];

/** Boots a copy of a stock system's disk and logs in. */
async function boot(
  choice: Choice,
  options: { cpus?: number; memory?: string; start?: KernelStart; more?: string[] } = {},
): Promise<RunningGuest & { disk: string }> {
  const { cpus = 1, memory = "256M", start = "bzImage", more = [] } = options;
  const system = await guestSystem(choice);
  const disk = await Deno.makeTempFile({ suffix: ".raw" });
  await new Deno.Command("cp", { args: ["--sparse=always", system.disk, disk] }).output();
  const guest = await RunningGuest.booted([
    ...kernelOptions(system.kernel, start),
    ...["--initrd", system.initrd, "--cmdline", system.cmdline],
    ...["--disk", `${disk},serial=LAB-0001`, "--cpus", String(cpus), "--memory", memory, ...more],
  ]);
  return Object.assign(guest, { disk });
}

/** A guest's end: how it comes about, and the VMM's exit code. */
const ENDS = {
  "powers off": { end: (guest: RunningGuest) => guest.type("poweroff\n"), code: 0 },
  "powers off by its button": { end: (guest: RunningGuest) => guest.signal("SIGTERM"), code: 0 },
  "asks for a reset": { end: (guest: RunningGuest) => guest.type("reboot -f\n"), code: 4 },
  "panics and resets": {
    end: (guest: RunningGuest) =>
      guest.type("echo -1 > /proc/sys/kernel/panic; echo c > /proc/sysrq-trigger\n"),
    code: 4,
  },
} as const;

// Under nested emulation a boot takes most of a minute, so each kernel also shows an end of its own.
// They are packed as LZ4, xz and twice Zstandard, and started in all three ways.
const KERNELS: [Choice, RegExp, keyof typeof ENDS, KernelStart][] = [
  [{ suite: "bookworm", flavour: "cloud" }, /^6\.1\..*cloud/, "asks for a reset", "cache"],
  [
    { suite: "bookworm", flavour: "generic" },
    /^6\.1\.(?!.*cloud)/,
    "powers off by its button",
    "bzImage",
  ],
  [{ suite: "trixie", flavour: "cloud" }, /^6\.12\..*cloud/, "panics and resets", "pvh"],
  [{ suite: "trixie", flavour: "generic" }, /^6\.12\.(?!.*cloud)/, "powers off", "cache"],
];

for (const [choice, release, how, start] of KERNELS) {
  const { suite, flavour } = choice;
  Deno.test(`Debian ${suite}'s ${flavour} kernel boots to a login prompt and ${how}`, async () => {
    await using guest = await boot(choice, { start });
    assertEquals(guest.errors.includes("unpacks itself"), false, guest.errors);
    if (start === "cache") await isAtARandomAddress(guest);
    assertMatch(await guest.run("uname -r"), release);
    assertEquals(await guest.run("cat /sys/block/vda/serial"), "LAB-0001");
    assertMatch(await guest.run("grep ' / ' /proc/mounts"), /^\/dev\/vda \/ ext4 rw/m);
    assertMatch(
      await guest.run("cat /sys/devices/system/clocksource/clocksource0/current_clocksource"),
      /^(kvm-clock|tsc)$/,
    );
    const { end, code } = ENDS[how];
    await end(guest);
    assertEquals(await guest.ended(), code);
  });
}

const TRIXIE: Choice = { suite: "trixie", flavour: "cloud" };

Deno.test("eight vCPUs of a named model, and RAM on both sides of the hole below 4 GiB", async () => {
  const control = `${await Deno.makeTempDir()}/control.sock`;
  await using guest = await boot(TRIXIE, {
    ...{ cpus: 8, memory: "8G" },
    more: ["--cpu", "x86-64-v2,hyperv,nested,sockets=2,threads=2", "--control", control],
  });
  assertEquals(await guest.run("nproc"), "8");
  const kib = Number(/\d+/.exec(await guest.run("grep MemTotal /proc/meminfo"))![0]);
  assert(kib > 7.5 * 2 ** 20, `${kib} KiB are too few`);
  await hasItsCpus(guest);
  await reseeds(guest, control);
  await guest.type("poweroff\n");
  assertEquals(await guest.ended(), 0);
});

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
    await using guest = await boot(TRIXIE, {
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
