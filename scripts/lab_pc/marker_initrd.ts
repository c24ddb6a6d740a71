/**
 * The smallest initial RAM disk that shows that a kernel has reached user space: it says so on the
 * console and powers off.
 *
 * @module
 */
import { smallInitrd } from "../setup/small_initrd.ts";

/** What the console shows when user space is reached; the seconds since the kernel's start follow. */
export const MARKER = "user space reached";

/** With `stay` on the kernel's command line the system idles instead of powering off. */
const INIT = `#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
read -r uptime rest < /proc/uptime
echo "${MARKER} after $uptime s" > /dev/console
case " $(/bin/busybox cat /proc/cmdline) " in
*" stay "*) while :; do /bin/busybox sleep 1000; done ;;
esac
/bin/busybox poweroff -f
`;

/** The path of the initial RAM disk, built on the first call. */
export function markerInitrd(): Promise<string> {
  return smallInitrd({ name: "marker-initrd", init: INIT });
}
