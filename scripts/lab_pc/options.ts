/**
 * The lab's command line.
 *
 * @module
 */

/** A run of the lab. */
export interface LabOptions {
  command: string[];
  /** On this machine's own KVM instead of the emulated PC. */
  native: boolean;
  cpus: number;
  memoryMiB: number;
  /** Sizes of the scratch disks in bytes. */
  disks: number[];
  /** PCs, which share an Ethernet segment where they are several; each is as all that says. */
  hosts: number;
}

/** Shown with every refused command line. */
export const USAGE =
  `Usage: ./scripts/lab [--native] [--cpus N] [--memory MiB] [--disk SIZE]... [--hosts N] [--] COMMAND...

Runs COMMAND in an emulated PC with AMD-V, with this checkout at the same path, as root.
  --native      on this machine itself, if its KVM can boot a Linux kernel
  --cpus N      1 to 8 (2)
  --memory MiB  1024 to 16384 (4096)
  --disk SIZE   a scratch disk /dev/vdb, /dev/vdc ..., such as 512M or 8G (two of 8G)
  --hosts N     1 or 2 such PCs (1); of two, each runs COMMAND, with LAB_HOST=1 and LAB_HOST=2, and has
                the address 10.97.0.1 or 10.97.0.2; when the first is through, both are over`;

/** Reads the arguments after the command's name; throws a SyntaxError or RangeError. */
export function parseLabOptions(args: readonly string[]): LabOptions {
  const options: LabOptions = {
    ...{ command: [], native: false, cpus: 2, memoryMiB: 4096, disks: [], hosts: 1 },
  };
  let at = 0;
  const value = (option: string): string => {
    const text = args[++at];
    if (text === undefined) {
      throw new SyntaxError(`Cannot read option "${option}": it needs a value`);
    }
    return text;
  };
  for (; at < args.length; at++) {
    const arg = args[at];
    if (arg === "--") {
      at++;
      break;
    }
    if (!arg.startsWith("-")) break;
    switch (arg) {
      case "--native":
        options.native = true;
        break;
      case "--cpus":
        options.cpus = whole(arg, value(arg), { least: 1, most: 8 });
        break;
      case "--memory":
        options.memoryMiB = whole(arg, value(arg), { least: 1024, most: 16384 });
        break;
      case "--disk":
        options.disks.push(parseSize(arg, value(arg)));
        break;
      case "--hosts":
        options.hosts = whole(arg, value(arg), { least: 1, most: 2 });
        break;
      default:
        throw new SyntaxError(`Cannot read option "${arg}": there is none of that name`);
    }
  }
  options.command = args.slice(at);
  if (options.command.length === 0) {
    throw new SyntaxError("Cannot run the lab: no COMMAND was given");
  }
  if (options.disks.length > 8) {
    throw new RangeError(`Cannot attach ${options.disks.length} disks: 8 at most`);
  }
  if (options.native && options.hosts > 1) {
    throw new RangeError("Cannot run natively on 2 hosts: this machine is one");
  }
  if (options.disks.length === 0) options.disks = [8 * 2 ** 30, 8 * 2 ** 30];
  return options;
}

function whole(option: string, text: string, range: { least: number; most: number }): number {
  const number = /^\d{1,6}$/.test(text) ? Number(text) : NaN;
  if (!(number >= range.least && number <= range.most)) {
    throw new RangeError(
      `Cannot read option "${option}": "${text}" is not a whole number from ${range.least} to ${range.most}`,
    );
  }
  return number;
}

function parseSize(option: string, text: string): number {
  const match = /^([1-9]\d{0,4})([MG])$/.exec(text);
  if (!match) {
    throw new SyntaxError(
      `Cannot read option "${option}": "${text}" is not a size such as 512M or 8G`,
    );
  }
  return Number(match[1]) * (match[2] === "G" ? 2 ** 30 : 2 ** 20);
}
