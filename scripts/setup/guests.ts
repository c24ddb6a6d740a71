/**
 * Stock Debian systems for guests: kernel and initial RAM disk just as Debian's packages ship and
 * make them, and a root file system to log in to.
 *
 * @module
 */
import { builtOnce, removeTree } from "./built_once.ts";
import { run } from "./command.ts";
import { fetchDebs, readLock } from "./debs.ts";
import { hostPackages } from "./host_packages.ts";
import type { Suite } from "./mirror.ts";
import { debianRoot } from "./trixie.ts";

/** Which system. */
export interface GuestChoice {
  /** bookworm has Linux 6.1, trixie 6.12. */
  suite: Suite;
  /** `cloud` has the drivers of virtual machines alone. */
  flavour: "cloud" | "generic";
}

/** Files of a guest; not to be written to, since everyone shares them. */
export interface GuestSystem {
  /** bzImage. */
  kernel: string;
  initrd: string;
  /**
   * Raw ext4 without a partition table, of both flavours: boot with `root=/dev/vda`. Copy it
   * sparsely before a guest writes to it.
   */
  disk: string;
  /** Boots to a login prompt on the first serial port. */
  cmdline: string;
}

/** Who may log in to a guest at its serial port. */
export const GUEST_LOGIN = { user: "root", password: "denovisor" } as const;

const LOCK = "scripts/setup/packages.lock";
const KERNELS = { cloud: "linux-image-cloud-amd64", generic: "linux-image-amd64" } as const;
const FLAVOURS = ["cloud", "generic"] as const;

/** Returns a guest's files, built on the first call. */
export async function guestSystem(choice: GuestChoice): Promise<GuestSystem> {
  const { suite, flavour } = choice;
  const lock = await readLock(LOCK);
  const folder = await builtOnce({
    name: `guest-${suite}`,
    madeFrom: [
      ...FLAVOURS.map((it) => lock[suite]![KERNELS[it]].sha256),
      ...PACKAGES,
      CUSTOMIZE,
      NEEDLESS_MODULES,
    ].join("\n"),
    step: `building the Debian ${suite} system for guests (about a minute)`,
    build: (target) => buildGuests(suite, target),
  });
  return {
    kernel: `${folder}/${flavour}/vmlinuz`,
    initrd: `${folder}/${flavour}/initrd.img`,
    disk: `${folder}/disk.raw`,
    cmdline: "root=/dev/vda rw console=ttyS0 quiet",
  };
}

const PACKAGES = [
  "acpid",
  "busybox",
  "e2fsprogs",
  "ifupdown",
  "initramfs-tools",
  "iperf3",
  "iproute2",
  "iputils-ping",
  "kmod",
  "login",
  "mount",
  "netbase",
  "procps",
  "qemu-guest-agent",
  "socat",
  "sysvinit-core",
  "udev",
  "zstd",
];

/**
 * sysvinit with a boot script of a few lines: at emulated speed Debian's own scripts take most of a
 * minute and systemd longer, and what is under test is the machine below them. The script loads
 * what the virtio devices and the power button ask for, and that is all a guest needs.
 */
const BOOT_SCRIPT = `#!/bin/sh
PATH=/usr/sbin:/usr/bin:/sbin:/bin
case $1 in
start)
  mountpoint -q /proc || mount -t proc proc /proc
  mountpoint -q /sys || mount -t sysfs sys /sys
  mountpoint -q /dev/pts || { mkdir -p /dev/pts; mount -t devpts -o gid=5,mode=620 pts /dev/pts; }
  mountpoint -q /run || mount -t tmpfs -o mode=755 run /run
  mount -o remount,rw / && ln -sf /proc/mounts /etc/mtab
  read -r name < /etc/hostname && echo "$name" > /proc/sys/kernel/hostname
  ip link set lo up
  modprobe -qab button evdev $(cat /sys/bus/virtio/devices/*/modalias)
  acpid
  ;;
stop)
  kill -TERM -1
  sync
  mount -o remount,ro /
  busybox "$2" -f
  ;;
esac
`;

/** Runs outside the root, whose path it is given, with the kernels' packages in its /var/tmp. */
const CUSTOMIZE = `#!/bin/sh
set -e
root=$1
echo guest > "$root/etc/hostname"
echo '127.0.0.1 localhost guest' > "$root/etc/hosts"
echo '/dev/vda / ext4 noatime,errors=remount-ro 0 0' > "$root/etc/fstab"
cat > "$root/etc/inittab" <<'END'
id:2:initdefault:
si::sysinit:/etc/init.d/guest start
l0:0:wait:/etc/init.d/guest stop poweroff
l6:6:wait:/etc/init.d/guest stop reboot
S0:2345:respawn:/sbin/agetty --keep-baud 115200 ttyS0 vt220
END
cat > "$root/etc/init.d/guest" <<'END'
${BOOT_SCRIPT}END
chmod 755 "$root/etc/init.d/guest"
mkdir -p "$root/etc/acpi/events"
printf 'event=button/power.*\naction=/sbin/poweroff\n' > "$root/etc/acpi/events/power"
echo '${GUEST_LOGIN.user}:${GUEST_LOGIN.password}' | chroot "$root" chpasswd
chroot "$root" sh -c 'dpkg --install /var/tmp/kernels/*.deb'
rm -r "$root/var/tmp/kernels"
`;

/** Drivers of hardware that no guest has: on the initial RAM disk as ever, off the guest's disk. */
const NEEDLESS_MODULES = [
  "sound",
  "net/bluetooth",
  "net/mac80211",
  "net/wireless",
  "net/batman-adv",
  ...[
    "accessibility",
    "ata",
    "bluetooth",
    "comedi",
    "edac",
    "firewire",
    "gpu",
    "hid",
    "hwmon",
    "iio",
    "infiniband",
    "input/gameport",
    "input/joystick",
    "input/misc",
    "input/mouse",
    "input/tablet",
    "input/touchscreen",
    "isdn",
    "leds",
    "media",
    "message",
    "mfd",
    "mmc",
    "mtd",
    "net/can",
    "net/ethernet",
    "net/usb",
    "net/wireless",
    "net/wwan",
    "nfc",
    "pcmcia",
    "platform",
    "power",
    "scsi",
    "staging",
    "thunderbolt",
    "usb",
    "video",
  ].map((name) => `drivers/${name}`),
].join("\n");

async function buildGuests(suite: Suite, target: string): Promise<void> {
  await hostPackages(["mmdebstrap", "debian-archive-keyring", "ca-certificates", "e2fsprogs"]);
  const names = FLAVOURS.map((it) => KERNELS[it]);
  const debs = await fetchDebs(LOCK, suite, names);
  await Deno.mkdir(target);
  const kernels = `${target}/kernels`;
  await Deno.mkdir(kernels);
  for (const name of names) await Deno.copyFile(debs[name], `${kernels}/${name}.deb`);
  const customize = `${target}/customize`;
  await Deno.writeTextFile(customize, CUSTOMIZE);
  await Deno.chmod(customize, 0o755);
  const root = `${target}/root`;
  await debianRoot(root, {
    suite,
    variant: "essential",
    packages: PACKAGES,
    options: [`--customize-hook=copy-in ${kernels} /var/tmp`, `--customize-hook=${customize}`],
  });
  for (const flavour of FLAVOURS) await takeKernel(root, `${target}/${flavour}`, flavour);
  await prune(root);
  const { stdout } = await run(["du", "-sm", root]);
  await run([
    ...["mkfs.ext4", "-q", "-F", "-m0", "-d", root],
    ...[`${target}/disk.raw`, `${parseInt(stdout) + 96}M`],
  ]);
  await removeTree(root);
  await removeTree(kernels);
  await removeTree(customize);
}

async function takeKernel(
  root: string,
  target: string,
  flavour: GuestChoice["flavour"],
): Promise<void> {
  await Deno.mkdir(target);
  const releases = [...Deno.readDirSync(`${root}/boot`)]
    .filter(({ name }) => name.startsWith("vmlinuz-"))
    .map(({ name }) => name.slice("vmlinuz-".length))
    .filter((release) => release.includes("-cloud-") === (flavour === "cloud"));
  if (releases.length !== 1) {
    throw new Error(
      `Cannot find the ${flavour} kernel in "${root}/boot": found ${releases.length}`,
    );
  }
  await Deno.rename(`${root}/boot/vmlinuz-${releases[0]}`, `${target}/vmlinuz`);
  await Deno.rename(`${root}/boot/initrd.img-${releases[0]}`, `${target}/initrd.img`);
}

async function prune(root: string): Promise<void> {
  for (const { name } of Deno.readDirSync(`${root}/boot`)) await removeTree(`${root}/boot/${name}`);
  const modules = `${root}/usr/lib/modules`;
  const folder = await Deno.stat(modules).then(() => modules, () => `${root}/lib/modules`);
  for (const { name: release } of Deno.readDirSync(folder)) {
    for (const needless of NEEDLESS_MODULES.split("\n")) {
      await removeTree(`${folder}/${release}/kernel/${needless}`);
    }
    await run(["chroot", root, "depmod", release]);
  }
}
