/**
 * What the lab's PC boots from: Debian trixie's kernel, an initial RAM disk that only finds the
 * root, and the root itself, an image of the trixie root with Deno in it.
 *
 * @module
 */
import { builtOnce, removeTree } from "../setup/built_once.ts";
import { run } from "../setup/command.ts";
import { type KernelFiles, trixieKernel } from "../setup/kernels.ts";
import { smallInitrd } from "../setup/small_initrd.ts";
import { inTrixie, trixieRoot } from "../setup/trixie.ts";

/** What {@linkcode labFiles} returns: paths in the cache. */
export interface LabFiles {
  kernel: string;
  initrd: string;
  /** Raw ext4. */
  root: string;
}

/** Builds whatever of the lab's files is missing. */
export async function labFiles(): Promise<LabFiles> {
  const kernel = await trixieKernel("generic");
  const initrd = await smallInitrd({
    name: "lab-initrd",
    init: INITRD_INIT,
    modules: { kernel, names: INITRD_MODULES },
  });
  const trixie = await trixieRoot();
  const deno = Deno.execPath();
  const init = await Deno.readTextFile(new URL("init.sh", import.meta.url));
  const root = await builtOnce({
    name: "lab-root",
    madeFrom: [kernel.modulesRoot, trixie, Deno.version.deno, init].join("\n"),
    step: "building the lab's root file system",
    build: (target) => buildRoot({ kernel, trixie, deno, init }, target),
  });
  return { kernel: kernel.kernel, initrd, root };
}

const INITRD_MODULES = ["virtio_blk", "ext4", "overlay"];

/**
 * Only the root's disk is bound here: the scratch disks keep their drivers waiting until after the
 * warm start, since their sizes are those of each run.
 */
const INITRD_INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
echo 0 > /sys/bus/virtio/drivers_autoprobe
while read -r module; do insmod "$module"; done < /modules/order
for device in /sys/bus/virtio/devices/*; do
  [ "$(cat "$device/device")" = 0x0002 ] || continue
  echo "\${device##*/}" > /sys/bus/virtio/drivers/virtio_blk/bind
  break
done
mkdir -p /lower /layer /root
mount -t ext4 -o ro,noatime /dev/vda /lower
mount -t tmpfs -o mode=755 layer /layer
mkdir /layer/upper /layer/work
mount -t overlay -o lowerdir=/lower,upperdir=/layer/upper,workdir=/layer/work root /root
mount --move /dev /root/dev
mount --move /proc /root/proc
mount --move /sys /root/sys
exec switch_root /root /lab-init
`;

interface RootParts {
  kernel: KernelFiles;
  trixie: string;
  deno: string;
  init: string;
}

async function buildRoot(parts: RootParts, target: string): Promise<void> {
  const staging = `${target}.tree`;
  await removeTree(staging);
  // Hard links: the tree is only read, and a copy of half a gigabyte takes its time.
  await run(["cp", "-al", parts.trixie, staging]);
  await run([
    "cp",
    "-al",
    `${parts.kernel.modulesRoot}/lib/modules/.`,
    await made(`${staging}/usr/lib/modules`),
  ]);
  await Deno.copyFile(parts.deno, `${await made(`${staging}/usr/local/bin`)}/deno`);
  await Deno.chmod(`${staging}/usr/local/bin/deno`, 0o755);
  await Deno.writeTextFile(`${staging}/lab-init`, parts.init);
  await Deno.chmod(`${staging}/lab-init`, 0o755);
  const { stdout } = await run(["du", "-sm", staging]);
  const mebibytes = Math.ceil(parseInt(stdout) * 1.1) + 64;
  await inTrixie([
    "mkfs.ext4",
    "-q",
    "-F",
    "-m0",
    "-O",
    "^has_journal",
    "-E",
    "lazy_itable_init=1",
    "-d",
    staging,
    target,
    `${mebibytes}M`,
  ]);
  await removeTree(staging);
}

async function made(folder: string): Promise<string> {
  await Deno.mkdir(folder, { recursive: true });
  return folder;
}
