/**
 * The lab itself: that what it offers is there and real.
 *
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { MARKER, markerInitrd } from "../../scripts/lab_pc/marker_initrd.ts";
import { guestSystem } from "../../scripts/setup/guests.ts";
import { CHECKOUT } from "../../scripts/setup/checkout.ts";
import { run } from "../../scripts/setup/command.ts";

Deno.test("the lab's KVM boots a stock kernel in QEMU", async () => {
  const guest = await guestSystem({ suite: "trixie", flavour: "cloud" });
  const { stdout } = await run([
    ...["timeout", "-s", "KILL", "120", "qemu-system-x86_64"],
    ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ...["-machine", "microvm,rtc=on", "-accel", "kvm", "-cpu", "host", "-m", "256"],
    ...["-kernel", guest.kernel, "-initrd", await markerInitrd(), "-serial", "stdio"],
    ...["-append", "console=ttyS0 quiet panic=-1 reboot=t"],
  ]);
  assertStringIncludes(stdout, MARKER);
});

Deno.test("the lab makes taps and bridges, and vhost opens", async () => {
  await run(["ip", "link", "add", "labbr0", "type", "bridge"]);
  try {
    await run(["ip", "tuntap", "add", "labtap0", "mode", "tap", "vnet_hdr"]);
    await run(["ip", "link", "set", "labtap0", "master", "labbr0", "up"]);
    const { stdout } = await run(["ip", "-brief", "link", "show", "master", "labbr0"]);
    assertStringIncludes(stdout, "labtap0");
    for (const name of ["vhost-net", "vhost-vsock", "kvm"]) {
      (await Deno.open(`/dev/${name}`, { read: true, write: true })).close();
    }
  } finally {
    await run(["ip", "link", "delete", "labbr0"]);
    await run(["ip", "link", "delete", "labtap0"]).catch(() => {});
  }
});

Deno.test({
  name: "a scratch disk takes XFS, whose files share their blocks when copied",
  ignore: Deno.env.has("LAB_NATIVE"),
  async fn() {
    const folder = await Deno.makeTempDir();
    await run(["mkfs.xfs", "-q", "-f", "-m", "reflink=1", "/dev/vdc"]);
    await run(["mount", "/dev/vdc", folder]);
    try {
      await Deno.writeFile(`${folder}/one`, new Uint8Array(32 * 2 ** 20).fill(7));
      await run(["sync", "-f", folder]);
      const used = async () =>
        Number(/^\s*\d+/m.exec((await run(["df", "--output=used", "-m", folder])).stdout)![0]);
      const before = await used();
      await run(["cp", "--reflink=always", `${folder}/one`, `${folder}/two`]);
      assert(await used() - before < 8, "a reflink took as much as a copy");
      assertEquals((await Deno.stat(`${folder}/two`)).size, 32 * 2 ** 20);
    } finally {
      await run(["umount", folder]);
    }
  },
});

Deno.test("the checkout is writable, and what is written there outlives the lab", async () => {
  const path = `${CHECKOUT}/.cache/lab-was-here`;
  await Deno.writeTextFile(path, "yes");
  assertEquals(await Deno.readTextFile(path), "yes");
  await Deno.remove(path);
});

Deno.test("the lab reaches no network", async () => {
  const reached = await run(["ip", "route"]).then(({ stdout }) => stdout.trim());
  assertEquals(reached, "");
});
