/**
 * The file systems that Linux itself provides, and settings of the kernel.
 *
 * @module
 */
import { mount, MS_NODEV, MS_NOEXEC, MS_NOSUID } from "../../hypervisor/sys/mounts.ts";
import { reason } from "./log.ts";

const NOTHING_RISKY = MS_NOSUID | MS_NODEV | MS_NOEXEC;

const MOUNTS: [type: string, target: string, flags: number, data?: string][] = [
  ["proc", "/proc", NOTHING_RISKY],
  ["sysfs", "/sys", NOTHING_RISKY],
  ["devtmpfs", "/dev", MS_NOSUID | MS_NOEXEC, "mode=755"],
  ["tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=755"],
  ["tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777"],
  ["devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "mode=620,ptmxmode=666"],
  ["tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777"],
  // favordynmods: starting a guest moves its process to a group, which is slow otherwise.
  ["cgroup2", "/sys/fs/cgroup", NOTHING_RISKY, "favordynmods"],
];

/** What the kernel is told, file by file. */
const SETTINGS: Record<string, string> = {
  "/proc/sys/kernel/hostname": "denovisor",
  // All modules are loaded by PID 1: there is no program that the kernel could ask for one.
  "/proc/sys/kernel/modprobe": "\n",
  // The log takes what services write, without dropping lines.
  "/proc/sys/kernel/printk_devkmsg": "on\n",
  // The screen is PID 1's: only emergencies may write on it.
  "/proc/sys/kernel/printk": "1 4 1 1",
  // What the kernel says of itself is for root alone.
  "/proc/sys/kernel/dmesg_restrict": "1",
  "/proc/sys/kernel/kptr_restrict": "2",
  // The console listens on 80 and 443 as a user without privileges.
  "/proc/sys/net/ipv4/ip_unprivileged_port_start": "80",
  // Cards and guests' taps have no addresses of the host's: bridges are switched on one by one.
  "/proc/sys/net/ipv6/conf/default/disable_ipv6": "1",
  // Guests' RAM comes in huge pages or is merged where that is asked for, and nothing else does.
  "/sys/kernel/mm/transparent_hugepage/enabled": "madvise",
  "/sys/kernel/mm/transparent_hugepage/shmem_enabled": "advise",
  "/sys/kernel/mm/ksm/run": "1",
};

/** What is kept free for cards' interrupts and the like. For huge pages' sake, Linux keeps a 20th. */
const KEPT_FREE = { path: "/proc/sys/vm/min_free_kbytes", kib: 16 * 1024 };
/** A host with less would miss it: guests are to have 600 MiB of 1 GiB. */
const SMALL_HOST_BYTES = 4 * 1024 ** 3;

/** Mounts them; returns what went wrong, since there is no log to write to yet. */
export function mountFirst(): string[] {
  const problems: string[] = [];
  const attempt = (step: () => void) => {
    try {
      step();
    } catch (error) {
      problems.push(reason(error));
    }
  };
  for (const [type, target, flags, data] of MOUNTS) {
    attempt(() => Deno.mkdirSync(target, { recursive: true }));
    attempt(() => mount(type, target, { flags, data }));
  }
  for (const [path, value] of Object.entries(SETTINGS)) {
    attempt(() => Deno.writeTextFileSync(path, value));
  }
  // Behind the settings of huge pages, of which each has Linux work it out anew.
  attempt(() => {
    const { path, kib } = KEPT_FREE;
    const isMore = Number(Deno.readTextFileSync(path)) > kib;
    if (isMore && Deno.systemMemoryInfo().total < SMALL_HOST_BYTES) {
      Deno.writeTextFileSync(path, String(kib));
    }
  });
  return problems;
}
