/**
 * The command line: what the API can, from a shell on the host.
 *
 * @module
 */
import { ApiError } from "../api/client.ts";
import { unixApi } from "../api/unix.ts";
import type { Context } from "./command.ts";
import { COMMANDS, usage } from "./commands.ts";
import { parseCommandLine, UsageError } from "./arguments.ts";

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

/** Runs one command and returns the exit code. */
export async function run(args: string[], out: Context["out"]): Promise<number> {
  try {
    const { socket, json, command, rest } = parseCommandLine(args);
    if (command === null || command === "help") {
      await out(usage());
      return 0;
    }
    const found = COMMANDS.find(({ name }) => name === command);
    if (found === undefined) throw new UsageError(`there is no command "${command}"`);
    using api = unixApi(socket);
    await found.run({ api, json, out }, rest);
    return 0;
  } catch (error) {
    if (error instanceof UsageError) {
      console.error(`denovisor: ${error.message}\n\n${usage()}`);
      return EXIT_USAGE;
    }
    if (error instanceof ApiError) {
      console.error(error.message);
      for (const { path, message } of error.problem.fields ?? []) {
        console.error(`  ${path}: ${message}`);
      }
      return EXIT_FAILED;
    }
    console.error(error instanceof Error ? error.message : String(error));
    return EXIT_FAILED;
  }
}

async function print(text: string) {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length;) at += await Deno.stdout.write(bytes.subarray(at));
}

if (import.meta.main) Deno.exit(await run(Deno.args, print));
