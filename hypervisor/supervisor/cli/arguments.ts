/**
 * The words of a command line.
 *
 * @module
 */
import { parseArgs } from "@std/cli";

/** What the person typed makes no sense. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

export const DEFAULT_SOCKET = "/run/denovisor/supervisor.sock";

export interface CommandLine {
  socket: string;
  json: boolean;
  command: string | null;
  rest: string[];
}

/** Splits off what all commands share. */
export function parseCommandLine(args: string[]): CommandLine {
  const parsed = parseArgs(args, {
    string: ["socket"],
    boolean: ["json", "help"],
    stopEarly: true,
    unknown(arg, key) {
      if (key !== undefined) throw new UsageError(`there is no option "${arg}"`);
    },
  });
  const [command, ...rest] = parsed._.map(String);
  return {
    socket: parsed.socket || DEFAULT_SOCKET,
    json: parsed.json,
    command: parsed.help ? "help" : command ?? null,
    rest,
  };
}

export type Options = Record<string, string | boolean | string[] | undefined>;

/** A command's own words and options; every option must be one of `allowed`. */
export function parseRest(
  rest: string[],
  allowed: { strings?: string[]; booleans?: string[]; lists?: string[] },
): { words: string[]; options: Options } {
  const { _, ...options } = parseArgs(rest, {
    string: ["_", ...allowed.strings ?? [], ...allowed.lists ?? []],
    boolean: allowed.booleans ?? [],
    collect: allowed.lists ?? [],
    unknown(arg, key) {
      if (key !== undefined) throw new UsageError(`there is no option "${arg}"`);
    },
  });
  return { words: _.map(String), options: options as Options };
}

/** A whole number out of an option; undefined where it was not given. */
export function wholeNumber(value: unknown, name: string): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== "string" || !/^[0-9]{1,9}$/.test(value)) {
    throw new UsageError(`--${name} must be a whole number and is "${value}"`);
  }
  return Number(value);
}

/** A size such as 512, 512M or 2G, in MiB. */
export function mebibytes(value: unknown, name: string): number | undefined {
  if (value === undefined) return undefined;
  const match = /^([0-9]{1,9})(M|G|T)?$/i.exec(String(value));
  if (match === null) throw new UsageError(`--${name} must be a size such as 512M or 2G`);
  const factor = { M: 1, G: 1024, T: 1024 * 1024 }[match[2]?.toUpperCase() ?? "M"]!;
  return Number(match[1]) * factor;
}

/** A number of bytes such as 500K, 20M or 1G. */
export function bytes(value: unknown, name: string): number | undefined {
  if (value === undefined) return undefined;
  const match = /^([0-9]{1,9})([KMG])?$/i.exec(String(value));
  if (match === null) throw new UsageError(`--${name} must be a size such as 500K, 20M or 1G`);
  return Number(match[1]) * { "": 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 }[
    (match[2] ?? "").toUpperCase()
  ]!;
}

/** "yes" or "no"; undefined where it was not given. */
export function yesOrNo(value: unknown, name: string): boolean | undefined {
  if (value === undefined) return undefined;
  if (value !== "yes" && value !== "no") throw new UsageError(`--${name} must be yes or no`);
  return value === "yes";
}

/** One of a few words; undefined where it was not given. */
export function oneOf<const T extends string>(
  value: unknown,
  name: string,
  words: readonly T[],
): T | undefined {
  if (value === undefined) return undefined;
  const word = words.find((it) => it === value);
  if (word === undefined) throw new UsageError(`--${name} must be one of ${words.join(", ")}`);
  return word;
}

/** Sockets, cores and threads, such as 1x4x2; null for "default". */
export function topology(
  value: unknown,
): { sockets: number; cores: number; threads: number } | null | undefined {
  if (value === undefined) return undefined;
  if (value === "default") return null;
  const match = /^(\d{1,3})x(\d{1,3})x(\d{1,3})$/.exec(String(value));
  if (match === null) {
    throw new UsageError("--topology must be SOCKETSxCORESxTHREADS, such as 1x4x2, or default");
  }
  const [sockets, cores, threads] = match.slice(1).map(Number);
  return { sockets, cores, threads };
}

/** For each CPU, those of the host that it may run on, such as 0,2+3; none for "free". */
export function pinning(value: unknown): number[][] | undefined {
  if (value === undefined) return undefined;
  if (value === "free") return [];
  const text = String(value);
  if (!/^(\d{1,4}(\+\d{1,4})*)?(,(\d{1,4}(\+\d{1,4})*)?)*$/.test(text)) {
    throw new UsageError("--pin must be a list for each CPU, such as 0,2+3, or free");
  }
  return text.split(",").map((list) => list === "" ? [] : list.split("+").map(Number));
}
