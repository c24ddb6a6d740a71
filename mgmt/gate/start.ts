export { parseOptions } from "./options.ts";

/** Runs a program; what it cannot do is told in one line, and in its exit code. */
export async function exitOnError(program: () => Promise<void>): Promise<void> {
  try {
    await program();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    Deno.exit(1);
  }
}
