/**
 * The soak's command line, and how it ends.
 *
 * @module
 */
import { parseArgs } from "@std/cli";

/** How often what is done, on one host ... */
const ON_ONE = { saves: 100, forks: 100, sends: 50, upgrades: 50 };
/** ... and on two. */
const ON_TWO = { moves: 50 };
/** Beside how many cuts: how many of them a PC starts from, how often a plug is pulled, and more. */
const OF_CUTS = { starts: 5, plugs: 5, seed: 1, idle: 0 };

export type SoakOptions =
  | { hosts: "all"; times: { minutes: number } }
  | { hosts: 1; times: typeof ON_ONE }
  | { hosts: 2; times: typeof ON_TWO }
  | { hosts: "appliance"; times: typeof OF_CUTS & { cuts: number; again: boolean; here: boolean } };

/** Exit codes. */
export const EXIT = {
  held: 0,
  failed: 1,
  usage: 2,
  /** The emulation ended it: nothing was seen to be lost, and not all was tried. */
  noVerdict: 3,
} as const;

export const USAGE = `Usage: deno task soak --minutes N
       deno task soak [--saves N] [--forks N] [--sends N] [--upgrades N]
       deno task soak --hosts 2 [--moves N]
       deno task soak --power-cuts N [--starts N] [--plugs N] [--seed N] [--idle N] [--again] [--here]

Does so many times to one guest what must lose nothing, and looks each time whether it has.
  --minutes N   all of what follows in turns, until so many minutes are over
  --saves N     saves it and goes on from that (${ON_ONE.saves})
  --forks N     forks it (${ON_ONE.forks})
  --sends N     sends it to another VMM of the host (${ON_ONE.sends})
  --upgrades N  puts another VMM under it (${ON_ONE.upgrades})
  --hosts 2     in two PCs with a supervisor each, instead of all that:
  --moves N     moves it to the other host (${ON_TWO.moves})
  --power-cuts N  instead of all that, looks at the appliance's disk after as many power cuts:
  --starts N    starts a PC from so many of these disks (${OF_CUTS.starts})
  --plugs N     pulls a PC's plug so many times (${OF_CUTS.plugs})
  --seed N      cuts at other moments (${OF_CUTS.seed})
  --idle N      tells what the idle appliance writes in so many minutes (${OF_CUTS.idle})
  --again       cuts the work of the last time, in out/power-cuts, which takes a PC minutes
  --here        has the supervisor alone work, on this machine: no PC, and none is started

The exit code is 0 where nothing was lost, 1 where something was, and 3 where the emulated PC ended by
itself: then run it again.`;

/** Reads the arguments; throws a SyntaxError. */
export function parseSoakOptions(args: readonly string[]): SoakOptions {
  const unknown: string[] = [];
  const flags = parseArgs([...args], {
    string: ["minutes", "hosts", "power-cuts", ...[ON_ONE, ON_TWO, OF_CUTS].flatMap(Object.keys)],
    boolean: ["again", "here"],
    unknown: (arg) => void unknown.push(arg),
  }) as Record<string, unknown>;
  if (unknown.length > 0) throw new SyntaxError(`Cannot soak: there is no option "${unknown[0]}"`);
  if (flags.minutes !== undefined) {
    const others = [ON_ONE, ON_TWO, OF_CUTS].flatMap(Object.keys);
    refuse(flags, ["hosts", "power-cuts", ...others], "--minutes");
    refuseSwitches(flags);
    return { hosts: "all", times: { minutes: number("minutes", flags.minutes) } };
  }
  if (flags["power-cuts"] !== undefined) {
    refuse(flags, ["hosts", ...Object.keys(ON_ONE), ...Object.keys(ON_TWO)], "--power-cuts");
    const cuts = number("power-cuts", flags["power-cuts"]);
    const [again, here] = [flags.again === true, flags.here === true];
    return { hosts: "appliance", times: { cuts, ...numbers(flags, OF_CUTS), again, here } };
  }
  const hosts = String(flags.hosts ?? "1");
  if (hosts !== "1" && hosts !== "2") {
    throw new SyntaxError(`Cannot soak: "--hosts ${hosts}" is not 1 or 2`);
  }
  refuseSwitches(flags);
  const [usual, others] = hosts === "1" ? [ON_ONE, ON_TWO] : [ON_TWO, ON_ONE];
  refuse(flags, [...Object.keys(others), ...Object.keys(OF_CUTS)], `--hosts ${hosts}`);
  return { hosts: Number(hosts), times: numbers(flags, usual) } as SoakOptions;
}

type Flags = Record<string, unknown>;

function refuse(flags: Flags, names: readonly string[], kind: string): void {
  for (const name of names) {
    if (flags[name] !== undefined) {
      throw new SyntaxError(`Cannot soak: "--${name}" is not for ${kind}`);
    }
  }
}

function refuseSwitches(flags: Flags): void {
  for (const name of ["again", "here"]) {
    if (flags[name] !== true) continue;
    throw new SyntaxError(`Cannot soak: "--${name}" is for --power-cuts`);
  }
}

function numbers<T extends Record<string, number>>(flags: Flags, usual: T): T {
  const found = Object.entries(usual).map(([name, usual]) => [
    name,
    number(name, flags[name] ?? usual),
  ]);
  return Object.fromEntries(found);
}

function number(name: string, given: unknown): number {
  const text = String(given);
  if (!/^\d{1,5}$/.test(text)) {
    throw new SyntaxError(`Cannot soak: "--${name} ${text}" is not a number of times`);
  }
  return Number(text);
}
