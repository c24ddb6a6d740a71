/**
 * The machine monitors that are compared, ours and QEMU's two PCs, and how each is told to run one
 * and the same guest.
 *
 * @module
 */
import { vmmCommand } from "../../hypervisor/supervisor/vmm_command.ts";

/** What is compared. */
export const MONITORS = ["denovisor", "microvm", "q35"] as const;

/** One of {@linkcode MONITORS}. */
export type Monitor = typeof MONITORS[number];

/** The guest that all of them run. */
export interface GuestSpec {
  cpus: number;
  memoryMiB: number;
  /** A kernel with its RAM disk, or a guest of a few bytes. */
  boots: { kernel: string; initrd: string } | { tinyKernel: string; tinyFirmware: string };
  disks?: readonly DiskSpec[];
  /** Names of taps. */
  taps?: readonly string[];
}

/** A raw file as a disk. */
export interface DiskSpec {
  path: string;
  /** Past the host's page cache (O_DIRECT). */
  direct: boolean;
}

/** Our VMM as the supervisor runs it. */
export interface Programs {
  /** Its bundle. */
  vmm: string;
  /** Where it keeps kernels that it has unpacked. */
  kernelCache: string;
}

const CMDLINE = "console=ttyS0 quiet panic=-1 reboot=t stay";

/** What cannot lead to two guests of one address: `52:54:00` is where virtual machines' lie. */
const mac = (monitor: Monitor, index: number) =>
  `52:54:00:be:0${MONITORS.indexOf(monitor)}:0${index}`;

/** The command that runs the guest, its serial port on standard input and output. */
export function commandOf(monitor: Monitor, guest: GuestSpec, programs: Programs): string[] {
  return monitor === "denovisor" ? ours(guest, programs) : qemu(monitor, guest);
}

function ours(guest: GuestSpec, { vmm, kernelCache }: Programs): string[] {
  const { program, args } = vmmCommand(vmm);
  const command = [program, ...args, "--cpus", `${guest.cpus}`, "--memory", `${guest.memoryMiB}M`];
  if ("initrd" in guest.boots) {
    const { kernel, initrd } = guest.boots;
    command.push("--kernel", kernel, "--initrd", initrd, "--cmdline", CMDLINE);
    command.push("--kernel-cache", kernelCache);
  } else {
    command.push("--kernel", guest.boots.tinyKernel);
  }
  for (const { path, direct } of guest.disks ?? []) {
    command.push("--disk", direct ? `${path},cache=direct` : path);
  }
  for (const [index, tap] of (guest.taps ?? []).entries()) {
    command.push("--net", `${tap},mac=${mac("denovisor", index)}`);
  }
  return command;
}

/** QEMU at its best: no device that nobody asked for, vhost-net, io_uring with a thread per disk. */
function qemu(monitor: "microvm" | "q35", guest: GuestSpec): string[] {
  const { disks = [], taps = [] } = guest;
  // microvm's own transport has no MSI-X, which costs more at run time than PCI does at boot.
  const pci = disks.length + taps.length > 0 ? ",pcie=on" : "";
  const command = [
    ...["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    // Without a clock chip Linux waits three seconds for one.
    ...["-machine", monitor === "microvm" ? `microvm,rtc=on${pci}` : "q35"],
    ...["-accel", "kvm", "-cpu", "host", "-smp", `${guest.cpus}`, "-m", `${guest.memoryMiB}`],
    ...["-serial", "stdio"],
  ];
  if ("initrd" in guest.boots) {
    const { kernel, initrd } = guest.boots;
    command.push("-kernel", kernel, "-initrd", initrd, "-append", CMDLINE);
  } else {
    command.push("-bios", guest.boots.tinyFirmware);
  }
  for (const [index, { path, direct }] of disks.entries()) {
    const cache = direct ? "none" : "writeback";
    command.push("-object", `iothread,id=thread${index}`);
    // Every contender has the same file, one after the other.
    const drive = `if=none,id=disk${index},format=raw,file=${path},file.locking=off`;
    command.push("-drive", `${drive},cache=${cache},aio=io_uring`);
    command.push("-device", `virtio-blk-pci,drive=disk${index},iothread=thread${index},romfile=`);
  }
  for (const [index, tap] of taps.entries()) {
    command.push("-netdev", `tap,id=net${index},ifname=${tap},script=no,downscript=no,vhost=on`);
    const device = `virtio-net-pci,netdev=net${index},mac=${mac(monitor, index)},romfile=`;
    command.push("-device", device);
  }
  return command;
}
