/**
 * The VMM's process: `deno task vmm --help`.
 *
 * @module
 */
import { parseArgs } from "@std/cli";
import { DISK_FLAG_HELP, diskFromFlag } from "./config/disk.ts";
import { CPU_FLAG_HELP, cpuFromFlag } from "./config/cpu.ts";
import { ConfigError } from "./config/fields.ts";
import { parseConfig, parseStart } from "./config/guest.ts";
import { balloonFlag, memoryFlag, numaFlag, pinFlags } from "./config/memory_flags.ts";
import { NET_FLAG_HELP, netFromFlag } from "./config/net.ts";
import { socketFlags } from "./config/socket_flags.ts";
import { EXIT_CODES } from "./control.ts";
import { runGuest, runWaiting } from "./run.ts";
import { verifySnapshot } from "./snapshot/directory.ts";
import { restoreFrom } from "./snapshot/restore.ts";

const USAGE = `Runs one guest.

In the foreground, its serial port on this terminal (Ctrl-] ends it):
  deno task vmm --kernel FILE [--initrd FILE] [--disk FILE[,OPTION]...]...
                [--net TAP[,OPTION]...]... [--cmdline TEXT] [--name NAME]
                [--cpus 1] [--cpu MODEL[,OPTION]...]
                [--memory 512M[,huge-pages=transparent|2M|1G|none][,mergeable][,hotplug=2G[,requested=1G]]]
                [--balloon 0M[,no-deflate-on-oom][,no-reporting]] [--pin VCPU,CPU[+CPU]...]...
                [--numa 256M[,cpus=N[+N]...][,host=N[+N]...][,distances=N[+N]...]]...
                [--hotplug-ports 0] [--kernel-cache FOLDER] [--control SOCKET]
                [--console SOCKET[,size=80x25]] [--port SOCKET[,name=org.qemu.guest_agent.0]]...
                [--vsock SOCKET[,cid=3] | --vsock ,backend=vhost[,cid=3]]

${CPU_FLAG_HELP}

${NET_FLAG_HELP}

${DISK_FLAG_HELP}

From a snapshot, which the control request "save" makes; with --config, on other disks, taps and
sockets; --verify reads all of one and says whether it is whole:
  deno task vmm --restore DIRECTORY [--identity new|same] [--config FILE.json] [--control SOCKET]
  deno task vmm --verify DIRECTORY

For a supervisor, which speaks over a unix socket (hypervisor/vmm/control.ts):
  deno run ... main.ts --config FILE.json --control SOCKET
  deno run ... main.ts --wait --control SOCKET        (and is told later what to run)

Exit code: ${Object.entries(EXIT_CODES).map(([k, v]) => `${v} ${k}`).join(", ")}`;

const STRINGS = [
  "kernel",
  "kernel-cache",
  "initrd",
  "cmdline",
  "memory",
  "balloon",
  "cpus",
  "cpu",
  "name",
  "config",
  "control",
  "hotplug-ports",
  "console",
  "vsock",
  "restore",
  "identity",
  "verify",
];
const LISTS = ["disk", "net", "pin", "numa", "port"];

function main(args: string[]): number {
  const unknown: string[] = [];
  const flags = parseArgs(args, {
    string: [...STRINGS, ...LISTS],
    collect: LISTS,
    boolean: ["help", "wait"],
    unknown: (arg: string) => {
      unknown.push(arg);
      return false;
    },
  });
  if (flags.help) {
    console.log(USAGE);
    return 0;
  }
  if (unknown.length > 0) throw new ConfigError(`Cannot use "${unknown[0]}": see --help`);
  if (flags.wait) {
    if (!flags.control) throw new ConfigError("Cannot use --wait without --control SOCKET");
    return runWaiting(flags.control);
  }
  if (flags.verify !== undefined) return verify(flags.verify);
  if (flags.restore !== undefined) {
    const { identity = "new", restore: directory } = flags;
    if (identity !== "new" && identity !== "same") {
      throw new ConfigError(`Cannot use --identity "${identity}": it is new or same`);
    }
    const source = () => {
      const config = flags.config === undefined ? undefined : readJson(flags.config);
      return restoreFrom(directory, { config, identity });
    };
    return runGuest(source, { socket: flags.control, hasTerminal: !flags.control });
  }
  if (flags.config !== undefined) {
    if (!flags.control) throw new ConfigError("Cannot use --config without --control SOCKET");
    const start = parseStart(readJson(flags.config));
    return runGuest(() => start, { socket: flags.control, hasTerminal: false });
  }
  const config = parseConfig({
    name: flags.name || "guest",
    kernel: flags.kernel,
    kernelCache: flags["kernel-cache"],
    initrd: flags.initrd,
    cmdline: flags.cmdline ?? "console=ttyS0",
    ...memoryFlag(flags.memory ?? "512M"),
    balloon: flags.balloon === undefined ? undefined : balloonFlag(flags.balloon),
    cpus: Number(flags.cpus ?? "1"),
    cpu: flags.cpu === undefined ? undefined : cpuFromFlag(flags.cpu, Number(flags.cpus ?? "1")),
    numaNodes: flags.numa.length === 0 ? undefined : flags.numa.map(numaFlag),
    cpuAffinity: pinFlags(flags.pin, Number(flags.cpus ?? "1")),
    disks: flags.disk.map(diskFromFlag),
    nets: flags.net.map(netFromFlag),
    hotplugPorts: Number(flags["hotplug-ports"] ?? "0"),
    ...socketFlags({ console: flags.console, port: flags.port, vsock: flags.vsock }),
  });
  return runGuest(() => ({ config }), { socket: flags.control, hasTerminal: true });
}

/** Reads all of a snapshot; its exit code. */
function verify(directory: string): number {
  try {
    const { config, takenAt } = verifySnapshot(directory);
    console.log(
      `"${config.name}", saved at ${new Date(takenAt).toISOString()}: all of it is there`,
    );
    return 0;
  } catch (cause) {
    throw new ConfigError((cause as Error).message, { cause });
  }
}

function readJson(path: string): unknown {
  let text: string;
  try {
    text = Deno.readTextFileSync(path);
  } catch (error) {
    throw new ConfigError(`Cannot read the configuration "${path}": ${(error as Error).message}`);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new ConfigError(`Cannot read the configuration "${path}": ${error.message}`);
  }
}

if (import.meta.main) {
  let code: number;
  try {
    code = main(Deno.args);
  } catch (error) {
    console.error((error as Error).message);
    code = error instanceof ConfigError ? EXIT_CODES.refused : EXIT_CODES.host;
  }
  Deno.exit(code);
}
