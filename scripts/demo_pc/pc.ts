/**
 * A PC for the appliance: QEMU with firmware, a disk, a network card, a display and a serial
 * port. The lab's PC is another: it boots our tools, this one boots our product.
 *
 * @module
 */
import { Qmp } from "../lab_pc/qmp.ts";
import { trixieCommand, trixieRoot } from "../setup/trixie.ts";
import type { Acceleration } from "./acceleration.ts";
import { SerialScreen } from "./serial_screen.ts";

/** What starts the PC: UEFI, UEFI that starts signed programs alone, or a BIOS. */
export type Firmware = "uefi" | "secure-boot" | "bios";

/** How the disk is connected, as QEMU's arguments for the drive "disk". */
const DISK_BUSES = {
  nvme: ["-device", "nvme,drive=disk,serial=denovisor,bootindex=0"],
  sata: ["-device", "ide-hd,bus=ide.0,drive=disk,bootindex=0"],
  usb: ["-device", "qemu-xhci", "-device", "usb-storage,drive=disk,bootindex=0"],
  virtio: ["-device", "virtio-blk-pci,drive=disk,bootindex=0"],
} as const;

export interface PcOptions {
  /** The raw image that is the PC's disk. */
  disk: string;
  /**
   * A file for the log of all that is written to the disk, as dm-log-writes keeps it: a test's, which makes of it
   * what a power cut would leave. A log that is there goes on.
   */
  writeLog?: string;
  /** Whether what the disk is told to make safe stays in this machine's memory all the same. */
  unsafe?: boolean;
  /** NVMe by default. */
  diskBus?: keyof typeof DISK_BUSES;
  /** More disks, on NVMe: raw images by their serial numbers. */
  otherDisks?: Readonly<Record<string, string>>;
  /** UEFI by default. Secure Boot's keys are those that come with OVMF for tests. */
  firmware?: Firmware;
  /** Whether it goes on when it restarts, where it keeps off by default. */
  restarts?: boolean;
  /** QEMU's name of the network card's model; e1000e by default. */
  card?: string;
  acceleration: Acceleration;
  memoryMiB?: number;
  /** A port on this machine's loopback for each of the PC's. */
  forwards: readonly { from: number; to: number }[];
  /** The firmware's variables, for a PC that is to find them again; its own for this time without. */
  variables?: string;
  /** Words added to the kernel's command line. */
  kernelWords?: string;
}

/** What a disk was asked. */
export interface DiskFigures {
  readBytes: number;
  writtenBytes: number;
  writes: number;
  flushes: number;
}

const FIRMWARE = "/usr/share/OVMF";
/** The program and the variables of UEFI. */
const UEFI_FILES = {
  "uefi": ["OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"],
  "secure-boot": ["OVMF_CODE_4M.secboot.fd", "OVMF_VARS_4M.snakeoil.fd"],
} as const;

/** One running PC. It ends with {@linkcode Symbol.asyncDispose}, or with this process. */
export class Pc implements AsyncDisposable {
  /** What it writes to its serial port. */
  readonly screen: SerialScreen;
  /** `performance.now()` when the power went on. */
  readonly poweredOn: number;
  readonly #child: Deno.ChildProcess;
  readonly #qmp: Qmp;
  readonly #folder: string;

  private constructor(
    parts: { child: Deno.ChildProcess; qmp: Qmp; folder: string; screen: SerialScreen },
    poweredOn: number,
  ) {
    this.#child = parts.child;
    this.#qmp = parts.qmp;
    this.#folder = parts.folder;
    this.screen = parts.screen;
    this.poweredOn = poweredOn;
  }

  /** Switches a new PC on. */
  static async start(options: PcOptions): Promise<Pc> {
    const root = await trixieRoot();
    const folder = await Deno.makeTempDir({ prefix: "denovisor-pc-" });
    const { variables = `${folder}/vars.fd`, firmware = "uefi" } = options;
    if (firmware !== "bios") {
      await copyUnlessThere(`${root}${FIRMWARE}/${UEFI_FILES[firmware][1]}`, variables);
    }
    const command = trixieCommand(
      root,
      ["qemu-system-x86_64", ...pcArguments({ ...options, variables }, folder)],
      { bind: [options.disk.replace(/\/[^/]*$/, "")] },
    );
    const poweredOn = performance.now();
    // In a session of its own: Ctrl-C at the terminal must not pull the PC's plug.
    const child = new Deno.Command("setsid", {
      args: command,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const screen = new SerialScreen(child.stdout, child.stderr, poweredOn);
    try {
      const qmp = await connect(`${folder}/qmp`, screen);
      return new Pc({ child, qmp, folder, screen }, poweredOn);
    } catch (error) {
      await end(child, folder);
      throw error;
    }
  }

  /** Seconds since the power went on. */
  get seconds(): number {
    return (performance.now() - this.poweredOn) / 1000;
  }

  /** Presses the ACPI power button. */
  async powerButton(): Promise<void> {
    await this.#qmp.execute("system_powerdown");
  }

  /** Presses keys one after the other, by QEMU's names: "ret", "esc", "down", "a", "spc". */
  async type(...keys: string[]): Promise<void> {
    for (const key of keys) {
      await this.#qmp.execute("send-key", { keys: [{ type: "qcode", data: key }] });
      // A keyboard that is typed on faster than a machine reads it loses keys.
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
  }

  /** What has been asked of its first disk since it was switched on. */
  async diskFigures(): Promise<DiskFigures> {
    const all = await this.#qmp.execute("query-blockstats") as {
      device?: string;
      "node-name"?: string;
      qdev?: string;
      stats: Record<string, number>;
    }[];
    const found = all.find((it) => it.device === "disk" || it["node-name"] === "disk");
    if (!found) throw new Error("Cannot tell what the disk was asked: QEMU has none of its name");
    const { wr_bytes, wr_operations, flush_operations, rd_bytes } = found.stats;
    return {
      ...{ writtenBytes: wr_bytes, writes: wr_operations },
      ...{ flushes: flush_operations, readBytes: rd_bytes },
    };
  }

  /** Saves a picture of the display as PNG. */
  async picture(path: string): Promise<void> {
    const own = `${this.#folder}/display.png`;
    await this.#qmp.execute("screendump", { filename: own, format: "png" });
    await Deno.copyFile(own, path);
  }

  /** Whether the PC has switched itself off within the time. */
  async isOff(limitSeconds: number): Promise<boolean> {
    const { promise: limit, resolve } = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => resolve(false), limitSeconds * 1000);
    const off = this.#child.status.then(({ code }) => code === 0);
    return await Promise.race([off, limit]).finally(() => clearTimeout(timer));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#qmp[Symbol.dispose]();
    } catch {
      // QEMU has closed it.
    }
    await end(this.#child, this.#folder);
  }
}

/** QEMU's arguments; `folder` holds the firmware's variables and the monitor's socket. */
export function pcArguments(options: PcOptions, folder: string): string[] {
  const { acceleration, memoryMiB = 3072, forwards, kernelWords } = options;
  const { variables = `${folder}/vars.fd` } = options;
  const ports = forwards.map(({ from, to }) => `hostfwd=tcp:127.0.0.1:${from}-:${to}`);
  const args = [
    ...["-nodefaults", "-no-user-config", "-display", "none", "-vga", "std"],
    ...(options.restarts ? [] : ["-no-reboot"]),
    ...["-machine", options.firmware === "secure-boot" ? "q35,smm=on" : "q35"],
    ...acceleration.arguments,
    ...["-m", String(memoryMiB)],
    ...firmwareArguments(options.firmware ?? "uefi", variables),
    ...diskArguments(options),
    ...DISK_BUSES[options.diskBus ?? "nvme"],
    ...Object.entries(options.otherDisks ?? {}).flatMap(([serial, file], i) => [
      ...["-drive", `if=none,id=other${i},format=raw,cache=writeback,discard=unmap,file=${file}`],
      ...["-device", `nvme,drive=other${i},serial=${serial}`],
    ]),
    ...["-netdev", ["user", "id=net", ...ports].join(",")],
    ...["-device", `${options.card ?? "e1000e"},netdev=net,romfile=`],
    ...["-serial", "stdio", "-qmp", `unix:${folder}/qmp,server=on,wait=off`],
  ];
  if (kernelWords) {
    args.push(
      "-smbios",
      `type=11,value=io.systemd.stub.kernel-cmdline-extra=${kernelWords.replaceAll(",", ",,")}`,
    );
  }
  return args;
}

function diskArguments({ disk, writeLog, unsafe }: PcOptions): string[] {
  if (writeLog === undefined) {
    const cache = unsafe ? "unsafe" : "writeback";
    return ["-drive", `if=none,id=disk,format=raw,cache=${cache},discard=unmap,file=${disk}`];
  }
  const file = (filename: string) => ({ driver: "file", filename });
  const hasLog = Deno.statSync(writeLog).size > 0;
  const node = {
    ...{ driver: "blklogwrites", "node-name": "disk", discard: "unmap" },
    file: { ...file(disk), discard: "unmap" },
    log: file(writeLog),
    ...(hasLog ? { "log-append": true } : { "log-sector-size": 512 }),
    "log-super-update-interval": 1,
  };
  return ["-blockdev", JSON.stringify(node)];
}

function firmwareArguments(firmware: Firmware, variables: string): string[] {
  // QEMU's own is a BIOS.
  if (firmware === "bios") return [];
  const [program] = UEFI_FILES[firmware];
  return [
    ...["-drive", `if=pflash,format=raw,unit=0,readonly=on,file=${FIRMWARE}/${program}`],
    ...["-drive", `if=pflash,format=raw,unit=1,file=${variables}`],
    // What is in the variables is for the firmware alone, or Secure Boot would be none.
    ...(firmware === "secure-boot"
      ? ["-global", "driver=cfi.pflash01,property=secure,value=on"]
      : []),
  ];
}

/** A port of this machine's loopback that was free a moment ago. */
export function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

async function copyUnlessThere(from: string, to: string): Promise<void> {
  try {
    await Deno.lstat(to);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    await Deno.copyFile(from, to);
  }
}

async function connect(path: string, screen: SerialScreen): Promise<Qmp> {
  const until = performance.now() + 20_000;
  while (true) {
    try {
      return await Qmp.connect(path);
    } catch (error) {
      if (screen.hasEnded || performance.now() > until) {
        throw new Error(`Cannot start the PC: QEMU does not answer\n${screen.lastWords}`, {
          cause: error,
        });
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

async function end(child: Deno.ChildProcess, folder: string): Promise<void> {
  try {
    child.kill("SIGKILL");
  } catch {
    // It has ended already.
  }
  await child.status;
  await Deno.remove(folder, { recursive: true });
}
