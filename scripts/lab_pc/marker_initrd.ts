/**
 * The smallest initial RAM disk that shows that a kernel has reached user space: it says so on the
 * console and powers off.
 *
 * @module
 */
import { builtOnce, removeTree } from "../setup/built_once.ts";
import { inTrixie, trixieRoot } from "../setup/trixie.ts";

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
export async function markerInitrd(): Promise<string> {
  const trixie = await trixieRoot();
  return await builtOnce({
    name: "marker-initrd",
    madeFrom: trixie + INIT,
    step: "building the initial RAM disk of the probe",
    async build(target) {
      const staging = `${target}.tree`;
      await removeTree(staging);
      for (const folder of ["bin", "dev", "proc"]) {
        await Deno.mkdir(`${staging}/${folder}`, { recursive: true });
      }
      await Deno.copyFile(`${trixie}/usr/bin/busybox`, `${staging}/bin/busybox`);
      await Deno.writeTextFile(`${staging}/init`, INIT);
      await Deno.chmod(`${staging}/init`, 0o755);
      await inTrixie(
        ["sh", "-c", 'find . | cpio --quiet -o -H newc -R 0:0 > "$0"', target],
        { cwd: staging },
      );
      await removeTree(staging);
    },
  });
}
