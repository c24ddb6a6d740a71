/**
 * Looks after a process that fuzzes: one that crashes or hangs cannot tell which case it was.
 *
 * @module
 */

/** What a process is to fuzz; passed as JSON. */
export interface Task {
  name: string;
  seed: number;
  /** The case to begin with, such as "17", or a failed one's way down to its smallest: "17:2:0". */
  path?: string;
  seconds: number;
  /** A file in which the process keeps the number of the case that it is at. */
  progress: string;
}

/** A case that takes longer hangs; generous, as the machine may be busy. */
const HANG_MS = 60_000;
const LOOK_MS = 2_000;
const WORKER = new URL("./worker.ts", import.meta.url).pathname;

/** Fuzzes; true where nothing was found. */
export async function fuzz(task: Omit<Task, "progress">): Promise<boolean> {
  const progress = await Deno.makeTempFile({ prefix: "fuzz-" });
  try {
    return await watch({ ...task, progress });
  } finally {
    await Deno.remove(progress);
  }
}

async function watch(task: Task): Promise<boolean> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "--quiet", WORKER, JSON.stringify(task)],
    stdin: "null",
  }).spawn();
  let at = -1;
  let since = Date.now();
  let hangs = false;
  const timer = setInterval(() => {
    const now = caseNumber(task.progress);
    if (now !== at) {
      at = now;
      since = Date.now();
    } else if (Date.now() - since > HANG_MS) {
      hangs = true;
      child.kill("SIGKILL");
    }
  }, LOOK_MS);
  const status = await child.status;
  clearInterval(timer);
  if (status.success) return true;
  // With code 1 it has told all there is to tell.
  if (status.code === 1) return false;
  const how = hangs ? "HANGS" : `CRASHED (${status.signal ?? `exit code ${status.code}`})`;
  const { name, seed } = task;
  console.error(`${name}: ${how}. Again:\n  ${again(name, seed, caseNumber(task.progress))}`);
  return false;
}

function again(name: string, seed: number, path: number): string {
  return `deno task fuzz ${name} --seed ${seed} --path ${path}`;
}

/** Where the process is; 0 before it has begun. */
function caseNumber(progress: string): number {
  const bytes = Deno.readFileSync(progress);
  return bytes.length < 4 ? 0 : new DataView(bytes.buffer).getUint32(0, true);
}
