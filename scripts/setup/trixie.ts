/**
 * A small root of Debian trixie, beside the machine's own Debian: it has the tools that Debian 12
 * lacks or has too old, above all QEMU 10 (version 7 corrupts nested guests).
 *
 * @module
 */
import { builtOnce } from "./built_once.ts";
import { CHECKOUT } from "./checkout.ts";
import { type CommandOptions, type CommandOutput, run } from "./command.ts";
import { hostPackages } from "./host_packages.ts";
import { fetchSettings, sourcesFor } from "./mirror.ts";

/** What the root holds; a changed list builds a new root. */
const PACKAGES = [
  // The emulated PC, and the peer that our VMM is measured against.
  "qemu-system-x86",
  "qemu-utils",
  "ovmf",
  // Images.
  "dosfstools",
  "e2fsprogs",
  "erofs-utils",
  "fdisk",
  "mtools",
  "squashfs-tools",
  "systemd-boot-efi",
  "systemd-ukify",
  "xfsprogs",
  "xz-utils",
  "zstd",
  "cpio",
  // The lab's own user space, and what tests measure with.
  "busybox-static",
  "ca-certificates",
  "curl",
  "dnsmasq-base",
  "fio",
  "iperf3",
  "iproute2",
  "iputils-ping",
  "kmod",
  "mount",
  "nftables",
  "procps",
  "socat",
  "strace",
  "util-linux",
  // The same loop in C, to compare with.
  "gcc",
  "libc6-dev",
];

/** What building the root, and entering it, needs on this machine. */
const HOST_PACKAGES = [
  "ca-certificates",
  "debian-archive-keyring",
  "mmdebstrap",
  "mount",
  "util-linux",
];

let root: Promise<string> | undefined;

/** The path of the root, built on the first call. */
export function trixieRoot(): Promise<string> {
  return root ??= buildRoot();
}

async function buildRoot(): Promise<string> {
  return await builtOnce({
    name: "trixie",
    madeFrom: PACKAGES.join("\n"),
    step: "building a small root of Debian trixie with QEMU 10 (about a minute)",
    async build(target) {
      await hostPackages(HOST_PACKAGES);
      await debianRoot(target, { suite: "trixie", packages: PACKAGES });
    },
  });
}

/** What a root of Debian is made of. */
export interface RootRecipe {
  suite: "bookworm" | "trixie";
  packages: readonly string[];
  /** What comes without being named: essential packages alone, or apt too, which is the default. */
  variant?: "essential" | "apt";
  /** More options for mmdebstrap, such as hooks. */
  options?: readonly string[];
}

/** Makes a root of Debian at `target`, a path that does not exist, with apt settings of its own. */
export async function debianRoot(target: string, recipe: RootRecipe): Promise<void> {
  const sources = await sourcesFor(recipe.suite);
  const settings = await fetchSettings();
  const docs = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"];
  await run(
    [
      "mmdebstrap",
      "--quiet",
      "--mode=root",
      `--variant=${recipe.variant ?? "apt"}`,
      "--format=directory",
      ...settings.map((line) => `--aptopt=${line}`),
      ...docs.map((path) => `--dpkgopt=path-exclude=${path}`),
      `--include=${recipe.packages.join(",")}`,
      ...(recipe.options ?? []),
      recipe.suite,
      target,
      "-",
    ],
    { stdin: sources.join("\n") + "\n", env: { DEBIAN_FRONTEND: "noninteractive" } },
  );
}

/** How to run a command in a root; all optional. */
export interface InRootOptions extends CommandOptions {
  /** Folders of this machine that are visible at the same path, besides the checkout and /tmp. */
  bind?: readonly string[];
}

/** Runs a command in the trixie root to its end. */
export async function inTrixie(
  command: readonly string[],
  options: InRootOptions = {},
): Promise<CommandOutput> {
  const { cwd, bind, ...rest } = options;
  await hostPackages(HOST_PACKAGES);
  return await run(trixieCommand(await trixieRoot(), command, { cwd, bind }), {
    shownAs: command.join(" "),
    ...rest,
  });
}

/**
 * The command line that runs `command` in `root`: a process of the same id and no other, which
 * dies with its parent. It sees this machine's /dev, /proc, /sys, /tmp and the checkout; whatever
 * else it writes into the root is gone when it ends. Nothing stays mounted.
 */
export function trixieCommand(
  root: string,
  command: readonly string[],
  options: { cwd?: string; bind?: readonly string[] } = {},
): string[] {
  const shared = ["/dev", "/proc", "/sys", "/tmp", CHECKOUT, ...(options.bind ?? [])];
  return [
    "setpriv",
    "--pdeathsig=KILL",
    "unshare",
    "--mount",
    "--propagation=private",
    "sh",
    "-c",
    ENTER_ROOT,
    "sh",
    root,
    options.cwd ?? CHECKOUT,
    String(shared.length),
    ...shared,
    ...command,
  ];
}

/**
 * Arguments: the root, the folder to work in, the number of shared paths, those paths, the command.
 * The layer above the root lies in memory, mounted over a folder of the root where nobody else
 * sees it.
 */
const ENTER_ROOT = `set -e
root=$1 cwd=$2 count=$3; shift 3
layer=$root/mnt
mount -t tmpfs -o mode=755 layer "$layer"
mkdir "$layer/upper" "$layer/work" "$layer/root"
mount -t overlay -o "lowerdir=$root,upperdir=$layer/upper,workdir=$layer/work" root "$layer/root"
while [ "$count" -gt 0 ]; do
  if [ -d "$1" ]; then
    mkdir -p "$layer/root$1"
    mount --rbind "$1" "$layer/root$1"
  fi
  count=$((count - 1)); shift
done
exec chroot "$layer/root" /bin/sh -c 'cd "$0" && exec "$@"' "$cwd" "$@"
`;
