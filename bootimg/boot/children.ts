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
  await readTool(program, args);
}

export interface ReadToolOptions {
  /** Exit codes that are no failure besides 0. */
  codes?: readonly number[];
  /** How long it may take; as long as it wants without. */
  limitMs?: number;
}

/** More than any program prints that is of use. */
const MOST_PRINTED_BYTES = 1024 * 1024;

/** Runs a program to its end and returns what it printed; throws with what it said if it fails. */
export async function readTool(
  program: string,
  args: string[],
  options: ReadToolOptions = {},
): Promise<string> {
  const { codes = [], limitMs } = options;
  const child = spawn(program, { args, stdin: "null", stdout: "piped", stderr: "piped" });
  const kill = () => {
    try {
      child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
  };
  const timer = limitMs === undefined ? undefined : setTimeout(kill, limitMs);
  try {
    const [status, printed, said] = await Promise.all([
      child.status,
      firstText(child.stdout, MOST_PRINTED_BYTES),
      firstText(child.stderr, MOST_PRINTED_BYTES),
    ]);
    if (!status.success && !codes.includes(status.code)) {
      const why = said.trim() || (status.signal ?? status.code);
      throw new Error(`Cannot run "${program} ${args.join(" ")}": ${why}`);
    }
    return printed;
  } finally {
    clearTimeout(timer);
  }
}

/** The first bytes of a stream as text; what is beyond is read and forgotten. */
async function firstText(stream: ReadableStream<Uint8Array>, most: number): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const bytes of stream) {
    if (text.length < most) text += decoder.decode(bytes, { stream: true });
  }
  return text.slice(0, most);
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
