/**
 * The stock guest of most tests: all of it is Debian's but its initial RAM disk, which only mounts the
 * disk. Debian's own looks for much that is not there, which takes long in the emulated PC; `boot_test.ts`
 * boots with that.
 *
 * @module
 */
import { type GuestSystem, guestSystem } from "./guests.ts";
import { trixieKernel } from "./kernels.ts";
import { smallInitrd } from "./small_initrd.ts";

const MODULES = ["virtio_blk", "ext4"];

const INIT = `#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
while read -r module; do /bin/busybox insmod "$module"; done < /modules/order
/bin/busybox mkdir /root
/bin/busybox mount -t ext4 -o noatime /dev/vda /root
for folder in dev proc sys; do /bin/busybox mount --move /$folder /root/$folder; done
exec /bin/busybox switch_root /root /sbin/init
`;

/** Its files, built on the first call. */
export async function quickGuest(): Promise<GuestSystem> {
  const system = await guestSystem({ suite: "trixie", flavour: "cloud" });
  const kernel = await trixieKernel("cloud");
  const initrd = await smallInitrd({
    name: "quick-initrd",
    init: INIT,
    modules: { kernel, names: MODULES },
  });
  return { ...system, initrd };
}
