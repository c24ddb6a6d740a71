/**
 * How a VMM is run: with this same Deno, offline, and with an environment of its own.
 *
 * @module
 */
import type { VmmCommand } from "./lives/vmm_process.ts";

/** A bundle needs nothing that it does not hold. */
const BUNDLE_FLAGS = ["--no-config", "--no-remote", "--no-npm", "--no-lock"];

/** The command for the VMM's program at `file`, a source file or a bundle. */
export function vmmCommand(file: string): VmmCommand {
  return {
    program: Deno.execPath(),
    args: [
      "run",
      ...(file.endsWith(".js") ? BUNDLE_FLAGS : []),
      "--quiet",
      "--no-prompt",
      "--no-check",
      "--cached-only",
      "--no-code-cache",
      // A VMM gives back what its start left behind.
      "--v8-flags=--expose-gc",
      // Calling the kernel by FFI is everything already, and Deno has no grant for files of /proc but
      // this one: a VMM's cage is to be made by the kernel, not by Deno.
      "--allow-all",
      file,
    ],
    env: inherited(["PATH", "HOME", "DENO_DIR", "LD_LIBRARY_PATH"]),
  };
}

function inherited(names: string[]): Record<string, string> {
  const env: Record<string, string> = { DENO_NO_UPDATE_CHECK: "1", NO_COLOR: "1" };
  for (const name of names) {
    const value = Deno.env.get(name);
    if (value !== undefined) env[name] = value;
  }
  return env;
}
