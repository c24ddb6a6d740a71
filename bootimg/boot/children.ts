/**
 * PID 1's own children, told apart from the orphans that it inherits.
 *
 * @module
 */
import { deadChildren, reap } from "../../hypervisor/sys/orphans.ts";
import { log } from "./log.ts";

/** Those that Deno waits for; reaping one here would take its exit code from Deno. */
const own = new Set<number>();

/** The wait after a SIGCHLD, in which more may come and Deno reaps its own. */
const GATHER_MS = 20;

/** Starts a process as `Deno.Command` does, known as one of our own until Deno has reaped it. */
export function spawn(program: string, options: Deno.CommandOptions): Deno.ChildProcess {
  // Nothing else runs between the start and the note, so a look for orphans cannot fall in between.
  const child = new Deno.Command(program, options).spawn();
  own.add(child.pid);
  child.status.finally(() => own.delete(child.pid)).catch(() => {});
  return child;
}

/** Runs a program to its end; throws with what it said if it fails. */
export async function runTool(program: string, args: string[]): Promise<void> {
  const child = spawn(program, { args, stdin: "null", stdout: "null", stderr: "piped" });
  const [status, said] = await Promise.all([child.status, new Response(child.stderr).text()]);
  if (!status.success) {
    throw new Error(`Cannot run "${program} ${args.join(" ")}": ${said.trim() || status.code}`);
  }
}

/** Reaps orphans as they die, from now on. */
export function reapOrphans(): void {
  let gathering = false;
  Deno.addSignalListener("SIGCHLD", () => {
    if (gathering) return;
    gathering = true;
    setTimeout(() => {
      gathering = false;
      for (const pid of deadChildren()) {
        if (!own.has(pid) && reap(pid)) log(`reaped the orphan ${pid}`);
      }
    }, GATHER_MS);
  });
}
