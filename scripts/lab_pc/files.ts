/**
 * What the lab's PC boots from: Debian trixie's kernel, an initial RAM disk that only finds the
 * root, and the root itself, an image of the trixie root with Deno in it.
 *
 * @module
 */
import { builtOnce, removeTree } from "../setup/built_once.ts";
import { run } from "../setup/command.ts";
import { fetchDebs, readLock, unpackDeb } from "../setup/debs.ts";
import { inTrixie, trixieRoot } from "../setup/trixie.ts";

/** Pins the kernel that the lab boots, and those that its guests boot. */
export const KERNEL_LOCK = "scripts/setup/packages.lock";

/** An unpacked kernel package. */
export interface KernelFiles {
  /** As `uname -r` gives it. */
  release: string;
  /** bzImage. */
  kernel: string;
  /** The root under which `/lib/modules/RELEASE` lies, with its dependency lists made. */
  modulesRoot: string;
}

/** What {@linkcode labFiles} returns: paths in the cache. */
export interface LabFiles {
  kernel: string;
  initrd: string;
  /** Raw ext4. */
  root: string;
}

/** The kernel of trixie, unpacked, with the lists that modprobe reads. */
export async function trixieKernel(): Promise<KernelFiles> {
  const lock = await readLock(KERNEL_LOCK);
  const pin = lock.trixie!["linux-image-amd64"];
  const folder = await builtOnce({
    name: "lab-kernel",
    madeFrom: pin.sha256,
    step: "unpacking the lab's kernel",
    async build(target) {
      const { "linux-image-amd64": deb } = await fetchDebs(KERNEL_LOCK, "trixie", [
        "linux-image-amd64",
      ]);
      await unpackDeb(deb, target);
      // The packages of a merged /usr carry /usr/lib alone; modprobe asks for /lib.
      await Deno.symlink("usr/lib", `${target}/lib`).catch(() => {});
      await inTrixie(["depmod", "-b", target, releaseIn(target)]);
    },
  });
  const release = releaseIn(folder);
  return { release, kernel: `${folder}/boot/vmlinuz-${release}`, modulesRoot: folder };
}

/** Builds whatever of the lab's files is missing. */
export async function labFiles(): Promise<LabFiles> {
  const kernel = await trixieKernel();
  const initrd = await builtOnce({
    name: "lab-initrd",
    madeFrom: kernel.modulesRoot + INITRD_INIT + INITRD_MODULES,
    step: "building the lab's initial RAM disk",
    build: (target) => buildInitrd(kernel, target),
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

async function buildInitrd(kernel: KernelFiles, target: string): Promise<void> {
  const staging = `${target}.tree`;
  await removeTree(staging);
  for (const dir of ["bin", "proc", "sys", "dev", "modules"]) {
    await Deno.mkdir(`${staging}/${dir}`, { recursive: true });
  }
  await Deno.copyFile(`${await trixieRoot()}/usr/bin/busybox`, `${staging}/bin/busybox`);
  const order: string[] = [];
  for (const path of await moduleFiles(kernel, INITRD_MODULES)) {
    const name = path.replace(/^.*\/|\.xz$/g, "");
    await inTrixie(["sh", "-c", 'xz -dc "$0" > "$1"', path, `${staging}/modules/${name}`]);
    order.push(`/modules/${name}`);
  }
  await Deno.writeTextFile(`${staging}/modules/order`, order.join("\n") + "\n");
  await Deno.writeTextFile(`${staging}/init`, INITRD_INIT);
  await Deno.chmod(`${staging}/init`, 0o755);
  await inTrixie(
    ["sh", "-c", 'find . | cpio --quiet -o -H newc -R 0:0 > "$0"', target],
    { cwd: staging },
  );
  await removeTree(staging);
}

/** The files of the named modules and of all that they need, in the order to load them. */
export async function moduleFiles(
  kernel: KernelFiles,
  names: readonly string[],
): Promise<string[]> {
  const files = new Set<string>();
  for (const name of names) {
    const { stdout } = await inTrixie([
      "modprobe",
      "--dirname",
      kernel.modulesRoot,
      "--set-version",
      kernel.release,
      "--show-depends",
      name,
    ]);
    for (const [, path] of stdout.matchAll(/^insmod (\S+)/gm)) files.add(path);
  }
  return [...files];
}

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

function releaseIn(folder: string): string {
  for (const { name } of Deno.readDirSync(`${folder}/boot`)) {
    if (name.startsWith("vmlinuz-")) return name.slice("vmlinuz-".length);
  }
  throw new Error(`Cannot find a kernel in "${folder}/boot": delete the folder to unpack it anew`);
}
