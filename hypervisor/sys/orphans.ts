/**
 * Reaping processes whose parent died: the duty of PID 1.
 *
 * @module
 */
import { libraryOf } from "./library.ts";

const libc = libraryOf({
  waitpid: { parameters: ["i32", "pointer", "i32"], result: "i32" },
});

const WNOHANG = 1;

/**
 * Removes the dead child `pid` from the process table; true if it was a dead child. Never asks for
 * "any child": that would take the exit codes of Deno's own children from Deno.
 */
export function reap(pid: number): boolean {
  return libc.symbols.waitpid(pid, null, WNOHANG) === pid;
}

/** The pids of this process's children that are dead and not reaped yet, by what /proc says. */
export function deadChildren(parent = Deno.pid): number[] {
  const dead: number[] = [];
  for (const entry of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(entry.name)) continue;
    let stat: string;
    try {
      stat = Deno.readTextFileSync(`/proc/${entry.name}/stat`);
    } catch {
      continue; // Gone since the listing.
    }
    const process = parseStat(stat);
    if (process.state === "Z" && process.parent === parent) dead.push(Number(entry.name));
  }
  return dead;
}

/** The state's letter and the parent in a line of /proc/PID/stat. */
export function parseStat(stat: string): { state: string; parent: number } {
  // The second field is the program's name in parentheses, and may itself hold any of ") (".
  const fields = stat.slice(stat.lastIndexOf(")") + 1).trim().split(/\s+/);
  const [state, parent] = fields;
  if (!/^[A-Za-z]$/.test(state ?? "") || !/^\d+$/.test(parent ?? "")) {
    throw new SyntaxError(`Cannot parse a process's status "${stat.trim()}": no state and parent`);
  }
  return { state, parent: Number(parent) };
}
