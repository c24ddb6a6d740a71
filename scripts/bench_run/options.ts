/**
 * The command line of the benchmarks.
 *
 * @module
 */
import { parseArgs } from "@std/cli";
import { BENCHES, type BenchName, OVER_HOSTS } from "./rows.ts";

/** What to measure and how thoroughly. */
export interface BenchOptions {
  chosen: BenchName[];
  rounds: number;
  seconds: number;
  guests: number;
  /** How many PCs there are. */
  hosts: number;
  /** On this machine's own KVM. */
  native: boolean;
  /** A folder with room for disks, where there is no lab. */
  scratch: string | undefined;
  /** Measure nothing, but put the last results into the README. */
  readme: boolean;
}

/** Shown with every refused command line. */
export const USAGE = `Usage: ./scripts/bench [--rounds N] [--seconds N] [--guests N] [NAME...]
       ./scripts/bench --hosts 2 [migrate]
       ./scripts/bench --native [--scratch FOLDER] [NAME...]
       ./scripts/bench --readme

Measures our VMM beside QEMU, in one boot of the lab; without a NAME, all of these:
  exits    one exit to the device model and back, in our loop and in the same in C
  start    from a monitor's start to the guest's first instruction
  boot     from a monitor's start to the guest's init
  memory   what an idle monitor and the kernel have for it, its guest's RAM not counted
  cpu      openssl, timer latency and tasks that wake each other, in the guest
  block    fio in the guest, through the page cache and past it
  net      iperf3 and sockperf with the guest, through vhost-net
  density  many small guests: time to start them, the host's memory, its CPU when they idle
  restore  a guest that was saved: from telling a monitor that waits to its first instruction
  save     how long a guest stands still for it, idle and busy
  forks    many guests out of one that runs: time and memory for each
  migrate  the same for a guest that moves to another monitor of the host
  upgrade  the same for one whose VMM is upgraded, and as a guest sees it; QEMU has no such thing

  --rounds N        runs of each contender, taken in turns (5)
  --seconds N       of each run that goes by time (3)
  --guests N        how many guests density starts, and half of what forks does (50)
  --hosts 2         in two PCs, from one to the other; only migrate can
  --native          on this machine, if its KVM serves; QEMU from its PATH, if there is one
  --scratch FOLDER  with --native, where block puts its disks (/var/tmp)
  --readme          put the results of the last runs into README.md

Prints a table and writes out/bench.json, in which each benchmark stays until it is measured again.`;

/** Reads the arguments after the command's name; throws a SyntaxError or RangeError. */
export function parseBenchOptions(args: readonly string[]): BenchOptions {
  const unknown: string[] = [];
  const flags = parseArgs([...args], {
    string: ["rounds", "seconds", "guests", "hosts", "scratch"],
    boolean: ["native", "readme"],
    unknown(arg: string, key?: string) {
      if (key !== undefined) unknown.push(arg);
      return key === undefined;
    },
  });
  if (unknown.length > 0) {
    throw new SyntaxError(`Cannot read option "${unknown[0]}": there is none of that name`);
  }
  const names = flags._.map(String);
  const hosts = whole("--hosts", flags.hosts ?? "1", 2);
  if (hosts > 1 && flags.native) {
    throw new RangeError("Cannot measure natively on 2 hosts: this machine is one");
  }
  const twice = Object.values(OVER_HOSTS);
  const known = hosts > 1 ? Object.keys(OVER_HOSTS) : BENCHES.filter((it) => !twice.includes(it));
  const stranger = names.find((it) => !known.includes(it));
  if (stranger !== undefined) {
    const where = hosts > 1 ? " over 2 hosts" : "";
    throw new SyntaxError(
      `Cannot measure "${stranger}"${where}: there is no benchmark of that name`,
    );
  }
  const chosen = (known as BenchName[]).filter((it) => names.length === 0 || names.includes(it));
  return {
    chosen: hosts > 1 ? chosen.map((it) => OVER_HOSTS[it]!) : chosen,
    hosts,
    rounds: whole("--rounds", flags.rounds ?? "5", 99),
    seconds: whole("--seconds", flags.seconds ?? "3", 600),
    guests: whole("--guests", flags.guests ?? "50", 500),
    native: flags.native,
    scratch: flags.scratch,
    readme: flags.readme,
  };
}

function whole(option: string, text: string, most: number): number {
  const number = /^\d{1,4}$/.test(text) ? Number(text) : NaN;
  if (!(number >= 1 && number <= most)) {
    throw new RangeError(
      `Cannot read option "${option}": "${text}" is not a whole number from 1 to ${most}`,
    );
  }
  return number;
}
