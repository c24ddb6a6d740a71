/**
 * Running a program to its end, with an error that shows what it said.
 *
 * @module
 */

/** How to run a program; all optional. */
export interface CommandOptions {
  cwd?: string;
  env?: Record<string, string>;
  /** Written to its standard input, which is empty otherwise. */
  stdin?: string | Uint8Array;
  /** Kills the program. */
  signal?: AbortSignal;
  /** What an error calls the command, if not by all its words. */
  shownAs?: string;
}

/** What a program printed. */
export interface CommandOutput {
  stdout: string;
  stderr: string;
}

/** Runs `command` to its end and returns what it printed; throws if it fails. */
export async function run(
  command: readonly string[],
  options: CommandOptions = {},
): Promise<CommandOutput> {
  const [program, ...args] = command;
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command(program, {
      args,
      cwd: options.cwd,
      env: options.env,
      signal: options.signal,
      stdin: options.stdin === undefined ? "null" : "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  } catch (error) {
    throw new Error(`Cannot run "${program}": ${(error as Error).message}`, { cause: error });
  }
  if (options.stdin !== undefined) {
    const bytes = typeof options.stdin === "string"
      ? new TextEncoder().encode(options.stdin)
      : options.stdin;
    const writer = child.stdin.getWriter();
    // A program that ends before it read everything closes the pipe; its exit code tells the rest.
    await writer.write(bytes).then(() => writer.close()).catch(() => {});
  }
  const output = await child.output();
  const stdout = new TextDecoder().decode(output.stdout);
  const stderr = new TextDecoder().decode(output.stderr);
  if (!output.success) {
    const said = (stderr.trim() || stdout.trim()).split("\n").slice(-15).join("\n  ");
    throw new Error(
      `Cannot run "${
        options.shownAs ?? command.join(" ")
      }": it ended with code ${output.code}\n  ${said}`,
    );
  }
  return { stdout, stderr };
}
