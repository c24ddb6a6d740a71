/**
 * A guest on a host that has neither vhost-net nor io_uring: the VMM then moves frames and blocks with
 * plain system calls.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { quickGuest } from "../../scripts/setup/quick_guest.ts";
import { RunningGuest } from "./running_guest.ts";

const TAP = "labtap9";
const HOST = "10.98.0.1";
const GUEST = "10.98.0.2";
const IO_URING_DISABLED = "/proc/sys/kernel/io_uring_disabled";

const ip = (...args: string[]) => new Deno.Command("ip", { args }).output();

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

/** What the VMM has open. */
function descriptors(pid: number): string[] {
  return [...Deno.readDirSync(`/proc/${pid}/fd`)].map(({ name }) => {
    try {
      return Deno.readLinkSync(`/proc/${pid}/fd/${name}`);
    } catch {
      return "";
    }
  });
}

Deno.test("without vhost-net and io_uring, disk and network work and nothing is altered on the way", async () => {
  const before = Deno.readTextFileSync(IO_URING_DISABLED);
  Deno.writeTextFileSync(IO_URING_DISABLED, "2");
  Deno.renameSync("/dev/vhost-net", "/dev/vhost-net.away");
  const system = await quickGuest();
  const disk = await Deno.makeTempFile({ suffix: ".raw" });
  await new Deno.Command("cp", { args: ["--sparse=always", system.disk, disk] }).output();
  await ip("tuntap", "add", "dev", TAP, "mode", "tap", "vnet_hdr");
  await ip("addr", "add", `${HOST}/24`, "dev", TAP);
  await ip("link", "set", TAP, "up");
  try {
    await using guest = await RunningGuest.booted([
      ...["--kernel", system.kernel, "--initrd", system.initrd, "--cmdline", system.cmdline],
      ...["--disk", disk, "--cpus", "2", "--memory", "256M"],
      ...["--net", `${TAP},mac=52:54:00:aa:bb:09`],
    ]);
    const open = descriptors(guest.pid);
    assert(open.some((name) => name.includes("/dev/net/tun")), "the tap is seen");
    assert(!open.some((name) => /io_uring|vhost/.test(name)), "neither is in use");

    await guest.run("head -c 4M /dev/urandom > /root/noise; sync");
    const sum = await guest.run("sha256sum < /root/noise");
    await guest.run("echo 3 > /proc/sys/vm/drop_caches");
    assertEquals(await guest.run("sha256sum < /root/noise"), sum);

    // Whatever its udev calls it.
    const nic = await guest.run("ls /sys/class/net | grep -v lo");
    await guest.run(`ip addr add ${GUEST}/24 dev ${nic} && ip link set ${nic} up`);
    assertMatch(await guest.run(`ping -c 3 -i 0.3 ${HOST}`), / 0% packet loss/);

    using listener = Deno.listen({ hostname: HOST, port: 7001 });
    const sending = guest.run(`busybox nc ${HOST} 7001 < /root/noise`);
    using incoming = await listener.accept();
    const received = new Uint8Array(await new Response(incoming.readable).arrayBuffer());
    await sending;
    assertEquals(await sha256(received), sum.split(" ")[0]);

    const noise = new Uint8Array(4 << 20);
    for (let at = 0; at < noise.length; at += 65536) {
      crypto.getRandomValues(noise.subarray(at, at + 65536));
    }
    const receiving = guest.run("busybox nc -l -p 7002 | sha256sum");
    const outgoing = await connect(GUEST, 7002);
    await new Blob([noise]).stream().pipeTo(outgoing.writable);
    assertEquals((await receiving).split(" ")[0], await sha256(noise));

    // A driver that lets go of the device and takes it up again finds it as new.
    const drivers = "/sys/bus/virtio/drivers/virtio_net";
    const id = await guest.run(`ls ${drivers} | grep ^virtio`);
    await guest.run(`echo ${id} > ${drivers}/unbind; echo ${id} > ${drivers}/bind; sleep 1`);
    const again = await guest.run("ls /sys/class/net | grep -v lo");
    await guest.run(`ip addr add ${GUEST}/24 dev ${again} && ip link set ${again} up`);
    assertMatch(await guest.run(`ping -c 3 -i 0.3 ${HOST}`), / 0% packet loss/);

    await guest.type("poweroff\n");
    assertEquals(await guest.ended(), 0);
  } finally {
    await ip("link", "del", TAP);
    Deno.renameSync("/dev/vhost-net.away", "/dev/vhost-net");
    Deno.writeTextFileSync(IO_URING_DISABLED, before);
    await Deno.remove(disk);
  }
});

/** Connects as soon as somebody listens. */
async function connect(hostname: string, port: number): Promise<Deno.TcpConn> {
  const until = Date.now() + 60_000;
  for (;;) {
    try {
      return await Deno.connect({ hostname, port });
    } catch (error) {
      if (Date.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}
