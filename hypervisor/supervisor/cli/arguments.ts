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

/** A command's own words and options; every option must be one of `allowed`. */
export function parseRest(
  rest: string[],
  allowed: { strings?: string[]; booleans?: string[] },
): { words: string[]; options: Record<string, string | boolean | undefined> } {
  const { _, ...options } = parseArgs(rest, {
    string: ["_", ...allowed.strings ?? []],
    boolean: allowed.booleans ?? [],
    unknown(arg, key) {
      if (key !== undefined) throw new UsageError(`there is no option "${arg}"`);
    },
  });
  return { words: _.map(String), options };
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
