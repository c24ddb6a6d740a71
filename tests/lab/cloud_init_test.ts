/**
 * A real system reads its cloud-init disk, and so do those that are forked of it while they run.
 *
 * @module
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { hostMemoryMiB } from "../../hypervisor/supervisor/host.ts";
import type { Guest } from "../../hypervisor/supervisor/api/schemas.ts";
import { fileStream } from "../../hypervisor/supervisor/images/file_stream.ts";
import { TestHost } from "../../hypervisor/supervisor/testing/test_host.ts";
import { vmmCommand } from "../../hypervisor/supervisor/vmm_command.ts";
import { quickGuest } from "../../scripts/setup/quick_guest.ts";
import { Ground } from "./ground.ts";
import { VMM } from "./running_guest.ts";
import { SerialPort } from "./serial_port.ts";

const USER_DATA = "#cloud-config\nruncmd: [echo ü]\n";
const NETWORK_CONFIG = "version: 2\nethernets: {}\n";
const KEY = `ssh-ed25519 ${btoa("\0\0\0\x0bssh-ed25519\0\0\0\x20key")} me@home`;

const SEEN = "/mnt/meta-data";
const MOUNT = "mount -t iso9660 -o ro /dev/vdb /mnt";
/** How often the kernel was told of a new generation id. It tells user space by its log alone. */
const FORKED = "dmesg | grep -c 'crng reseeded due to virtual machine fork'";
const MOUNT_ANEW = `umount /mnt && ${MOUNT}`;
async function guestOn(host: TestHost): Promise<Guest> {
  const system = await quickGuest();
  const images = { kernel: system.kernel, initrd: system.initrd, disk: system.disk };
  for (const [kind, path] of Object.entries(images) as ["kernel", string][]) {
    await host.supervisor.images.put({ kind, name: kind }, fileStream(await Deno.open(path)));
  }
  return await host.guest({
    ...{ kernel: "kernel", initrd: "initrd", cmdline: system.cmdline, memoryMiB: 192 },
    ...{ nets: [], disks: [{ image: "disk" }] },
    cloudInit: { userData: USER_DATA, networkConfig: NETWORK_CONFIG, sshKeys: [KEY] },
  });
}

function metaData({ cloudInit }: Guest): string {
  const { instanceId, hostname } = cloudInit!;
  return `instance-id: "${instanceId}"\nlocal-hostname: "${hostname}"\npublic-keys:\n  - "${KEY}"`;
}

Deno.test("a Linux reads who it is, and its child who that is, once it reads anew", async (t) => {
  await using ground = await Ground.lay();
  await using host = await TestHost.start({
    parent: ground.path,
    command: vmmCommand(VMM),
    memoryMiB: hostMemoryMiB,
    poolSize: 1,
  });
  const guest = await guestOn(host);
  const run = async ({ id }: { id: string }, command: string) => {
    using port = await SerialPort.open(host.path("run/guests", id, "control.sock"));
    return await port.run(command);
  };
  await host.start(guest.id);
  {
    using port = await SerialPort.open(host.path("run/guests", guest.id, "control.sock"));
    await port.logIn();
  }
  await run(guest, "modprobe isofs; mkdir -p /mnt");

  await t.step("it finds the disk by its label, and all that is on it", async () => {
    assertEquals(await run(guest, "blkid -t LABEL=cidata -o device"), "/dev/vdb");
    assertEquals(await run(guest, "cat /sys/block/vdb/serial /sys/block/vdb/ro"), "cidata1");
    await run(guest, MOUNT);
    assertEquals(await run(guest, "ls /mnt"), "meta-data  network-config  user-data");
    assertEquals(await run(guest, `cat ${SEEN}`), metaData(guest));
    const sums = await run(guest, "(cd /mnt; sha256sum user-data network-config) | cut -d' ' -f1");
    const digests = await Promise.all(
      [USER_DATA, NETWORK_CONFIG].map(async (text) =>
        new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)))
          .toHex()
      ),
    );
    assertEquals(sums.split("\n"), digests);
    assertEquals(await run(guest, "dmesg | grep -iE 'isofs.*(error|bad|fail)' || true"), "");
  });

  // What a kernel remembers of a disk goes on with it for as long as somebody has the disk mounted.
  const task = host.local.client.call("forkGuest", { params: { id: guest.id }, body: {} });
  const child = await host.get((await host.done(task)).made[0]);
  await t.step("its child remembers what was read before, and reads who it is anew", async () => {
    assertEquals(await run(child, `cat ${SEEN}`), metaData(guest));
    await run(child, MOUNT_ANEW);
    assertEquals(await run(child, `cat ${SEEN}`), metaData(child));
    assertStringIncludes(metaData(child), 'local-hostname: "web-1"');
  });

  await t.step(
    "the child's kernel knows at once that it is a copy, and reseeds its random numbers",
    async () => {
      assertEquals(await run(child, `${FORKED} || true`), "1");
      assertEquals(await run(guest, `${FORKED} || true`), "0");
    },
  );

  await t.step("the guest is who it was", async () => {
    await run(guest, MOUNT_ANEW);
    assertEquals(await run(guest, `cat ${SEEN}`), metaData(guest));
  });
});
