/**
 * Debian trixie's kernels, unpacked.
 *
 * @module
 */
import { builtOnce } from "./built_once.ts";
import { fetchDebs, readLock, unpackDeb } from "./debs.ts";
import { inTrixie } from "./trixie.ts";

/** Pins the kernel that the lab boots, and those that its guests boot. */
const LOCK = "scripts/setup/packages.lock";
const PACKAGES = { cloud: "linux-image-cloud-amd64", generic: "linux-image-amd64" } as const;

/** An unpacked kernel package. */
export interface KernelFiles {
  /** As `uname -r` gives it. */
  release: string;
  /** bzImage. */
  kernel: string;
  /** The root under which `/lib/modules/RELEASE` lies, with its dependency lists made. */
  modulesRoot: string;
}

/** A kernel of trixie with the lists that modprobe reads, unpacked on the first call. */
export async function trixieKernel(flavour: keyof typeof PACKAGES): Promise<KernelFiles> {
  const name = PACKAGES[flavour];
  const pin = (await readLock(LOCK)).trixie![name];
  const folder = await builtOnce({
    name: `kernel-${flavour}`,
    madeFrom: pin.sha256,
    step: `unpacking Debian trixie's ${flavour} kernel`,
    async build(target) {
      await unpackDeb((await fetchDebs(LOCK, "trixie", [name]))[name], target);
      // The packages of a merged /usr carry /usr/lib alone; modprobe asks for /lib.
      await Deno.symlink("usr/lib", `${target}/lib`).catch(() => {});
      await inTrixie(["depmod", "-b", target, releaseIn(target)]);
    },
  });
  const release = releaseIn(folder);
  return { release, kernel: `${folder}/boot/vmlinuz-${release}`, modulesRoot: folder };
}

/** The files of the named modules and of all that they need, in the order to load them. */
export async function moduleFiles(
  kernel: KernelFiles,
  names: readonly string[],
): Promise<string[]> {
  const files = new Set<string>();
  for (const name of names) {
    const { stdout } = await inTrixie([
      ...["modprobe", "--dirname", kernel.modulesRoot, "--set-version", kernel.release],
      ...["--show-depends", name],
    ]);
    for (const [, path] of stdout.matchAll(/^insmod (\S+)/gm)) files.add(path);
  }
  return [...files];
}

function releaseIn(folder: string): string {
  for (const { name } of Deno.readDirSync(`${folder}/boot`)) {
    if (name.startsWith("vmlinuz-")) return name.slice("vmlinuz-".length);
  }
  throw new Error(`Cannot find a kernel in "${folder}/boot": delete the folder to unpack it anew`);
}
